"""What the applications were told: the acknowledged value of every row, whoever wrote it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proxy.demo.names import Name


@dataclass
class Ledger:
    """Both applications write the same rows, one at a time per row, so that there is one truth to compare with.

    `names` holds what PostgreSQL acknowledged last; a row that nobody wrote has what `up` makes of the original.
    """

    names: dict[int, Name]
    _ids: list[int] = field(init=False)
    _claimed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._ids = list(self.names)

    @contextmanager
    def claim(self, rng: random.Random) -> Iterator[int]:
        """A row that nobody else works on until the block ends."""
        user = rng.choice(self._ids)
        while user in self._claimed or user not in self.names:
            user = rng.choice(self._ids)
        with self._claimed_now(user):
            yield user

    @contextmanager
    def claim_one_of(self, users: list[int]) -> Iterator[int | None]:
        """The same for one of a few rows; None if each of them is in somebody else's hands."""
        user = next((user for user in users if user not in self._claimed), None)
        if user is None:
            yield None
        else:
            with self._claimed_now(user):
                yield user

    @contextmanager
    def _claimed_now(self, user: int) -> Iterator[None]:
        self._claimed.add(user)
        try:
            yield
        finally:
            self._claimed.discard(user)

    def acknowledge(self, user: int, name: Name) -> None:
        if user not in self.names:
            self._ids.append(user)
        self.names[user] = name

    def forget(self, user: int) -> None:
        """The row was deleted. Its place in the list is skipped from now on."""
        del self.names[user]

    def divergent(self, rows: Iterable[tuple[int, str | None, str | None]]) -> list[str]:
        """One line for each row that is not what it should be: different, missing, or more than there should be."""
        missing = dict(self.names)
        found: list[str] = []
        for user, first, last in rows:
            if user not in missing:
                found.append(f"user {user} is {(first, last)} but should not exist")
            elif missing.pop(user) != (first, last):
                found.append(f"user {user} is {(first, last)} but was acknowledged as {self.names[user]}")
        found += [f"user {user} is missing, was acknowledged as {name}" for user, name in missing.items()]
        return found
