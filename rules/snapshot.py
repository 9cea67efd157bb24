"""`Snapshot`: the whole of what a transaction is pinned to. Immutable; a new one is made for each epoch or catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.catalog import Catalog, TableName
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX


@dataclass(frozen=True)
class Snapshot:
    """Managed tables at one epoch, and the catalog they were compiled against."""

    epoch: int
    catalog: Catalog
    tables: Mapping[TableName, ManagedTable] = field(default_factory=dict)
    mentions: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # The cheap test that lets almost every statement pass unparsed. PostgreSQL folds only ASCII case in
        # identifiers; U&"…" can spell a name in escapes, so its mere presence counts as a mention.
        if self.tables:
            names = sorted({re.escape(t.name.replace('"', '""')) for t in self.tables})
            pattern = re.compile("|".join([*names, re.escape(HIDDEN_PREFIX), r'u&"']), re.IGNORECASE)
            object.__setattr__(self, "mentions", pattern)

    def may_concern(self, sql: str) -> bool:
        """False only if `sql` cannot possibly name a managed table."""
        return self.mentions is not None and self.mentions.search(sql) is not None
