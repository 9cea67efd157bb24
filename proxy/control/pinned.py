"""Which transactions are pinned to which snapshot: what an acknowledgement rests on."""

from __future__ import annotations

from dataclasses import dataclass

from rules.snapshot import Snapshot


@dataclass(slots=True)
class _Pinned:
    """Transactions on one snapshot. `superseded_at`: since when it is not the current one, None if it is."""

    snapshot: Snapshot
    count: int = 0
    superseded_at: float | None = None


class PinnedTransactions:
    """Counts transactions by snapshot; snapshots are told apart by identity. Times are the caller's, in seconds."""

    def __init__(self) -> None:
        self._by_id: dict[int, _Pinned] = {}
        self._fenced: set[int] = set()
        self._current: _Pinned | None = None

    def supersede(self, snapshot: Snapshot, now: float) -> None:
        """Transactions that begin from now on are pinned to this one."""
        previous = self._current
        self._current = self._by_id[id(snapshot)] = _Pinned(snapshot)
        if previous is not None:
            previous.superseded_at = now
            if not previous.count:
                del self._by_id[id(previous.snapshot)]

    def pin(self) -> Snapshot:
        """One more transaction on the current snapshot."""
        assert self._current is not None, "no snapshot yet"
        self._current.count += 1
        return self._current.snapshot

    def unpin(self, snapshot: Snapshot) -> bool:
        """One less. Whether that was the last one of a snapshot that is no longer current."""
        pinned = self._by_id[id(snapshot)]
        assert pinned.count > 0, "unpin without a pin"
        pinned.count -= 1
        if pinned.count or pinned is self._current:
            return False
        del self._by_id[id(snapshot)]
        self._fenced.discard(id(snapshot))
        return True

    def fence_all_but(self, epoch: int) -> None:
        """The lease had run out: transactions of any other epoch than this must not touch a managed table again."""
        self._fenced |= {key for key, p in self._by_id.items() if p.count and p.snapshot.epoch != epoch}

    def is_fenced(self, snapshot: Snapshot | None) -> bool:
        """Whether this one is; None: whether any is."""
        return bool(self._fenced) if snapshot is None else id(snapshot) in self._fenced

    @property
    def lowest_epoch(self) -> int | None:
        """No transaction is at an earlier one. None if there is no transaction."""
        return min((p.snapshot.epoch for p in self._by_id.values() if p.count), default=None)

    @property
    def count(self) -> int:
        return sum(p.count for p in self._by_id.values())

    @property
    def count_behind(self) -> int:
        """Those on a snapshot that is not the current one."""
        return sum(p.count for p in self._by_id.values() if p is not self._current)

    @property
    def behind_since(self) -> float | None:
        """When the oldest snapshot that is still in use ceased to be the current one."""
        times = [p.superseded_at for p in self._by_id.values() if p.count and p.superseded_at is not None]
        return min(times, default=None)
