"""How many rows the next batch takes. Pure: milliseconds in, rows out."""

from __future__ import annotations

from dataclasses import dataclass, replace

START_ROWS = 500
LEAST_ROWS = 50
MOST_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class BatchSize:
    """`rows` of the next batch, steered so that one takes about `target_ms`.

    Below `LEAST_ROWS` only after a failure, to find the bad row or to get by with shorter locks.
    """

    target_ms: int
    rows: int = START_ROWS

    def after(self, took_ms: float, met: int) -> BatchSize:
        """Towards the target by the pace of the last batch, at most to half or double; after a full batch only, because
        a smaller one says little about a pace."""
        if met < self.rows or took_ms <= 0:
            return self if took_ms <= 2 * self.target_ms else self.halved(LEAST_ROWS)
        factor = min(2.0, max(0.5, self.target_ms / took_ms))
        return replace(self, rows=min(MOST_ROWS, max(min(self.rows, LEAST_ROWS), round(self.rows * factor))))

    def halved(self, least: int = 1) -> BatchSize:
        """Smaller: a batch failed, and half of it may not."""
        return replace(self, rows=max(min(self.rows, least), self.rows // 2))
