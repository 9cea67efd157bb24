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
        """Double after a full batch that took less than half of the target, halve after one that took twice as long."""
        if took_ms > 2 * self.target_ms:
            return replace(self, rows=max(min(self.rows, LEAST_ROWS), self.rows // 2))
        if met >= self.rows and took_ms < self.target_ms / 2:
            return replace(self, rows=min(MOST_ROWS, self.rows * 2))
        return self

    def halved(self) -> BatchSize:
        """Smaller, down to one row: a batch failed, and half of it may not."""
        return replace(self, rows=max(1, self.rows // 2))
