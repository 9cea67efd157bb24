"""What drivers and pools say of their own accord: it is answered, and nothing is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.console.words import Words


@dataclass(frozen=True, slots=True)
class Pleasantry:
    """`leads_to`: the transaction status behind it, None if that stays."""

    words: tuple[str, ...]
    tag: str
    leads_to: bytes | None = None
    #: Nothing may follow: ROLLBACK of a transaction is not that of a migration.
    alone: bool = False


PLEASANTRIES: Final = (
    Pleasantry(("BEGIN",), "BEGIN", b"T"),
    Pleasantry(("START", "TRANSACTION"), "START TRANSACTION", b"T"),
    Pleasantry(("COMMIT",), "COMMIT", b"I", alone=True),
    Pleasantry(("END",), "COMMIT", b"I", alone=True),
    Pleasantry(("ROLLBACK",), "ROLLBACK", b"I", alone=True),
    Pleasantry(("DISCARD", "ALL"), "DISCARD ALL"),
    Pleasantry(("RESET", "ALL"), "RESET"),
    Pleasantry(("CLOSE", "ALL"), "CLOSE CURSOR ALL"),
    Pleasantry(("UNLISTEN", "*"), "UNLISTEN"),
    Pleasantry(("DEALLOCATE",), "DEALLOCATE"),
    *(
        Pleasantry(("SET", name.upper()), "SET")
        for name in ("application_name", "client_min_messages", "datestyle", "extra_float_digits", "timezone")
    ),
)


def pleasantry_in(words: Words) -> Pleasantry | None:
    for said in PLEASANTRIES:
        if words.begins_with(said.words) and not (said.alone and len(words.words) > len(said.words)):
            return said
    return None
