"""`Snapshot`: the whole of what a transaction is pinned to. Immutable; a new one is made for each epoch or catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.catalog import Catalog, TableName
from rules.introspection.relations import MENTIONS as CATALOG_MENTIONS
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX


@dataclass(frozen=True)
class Snapshot:
    """Managed tables at one epoch, and the catalog they were compiled against."""

    epoch: int
    catalog: Catalog
    tables: Mapping[TableName, ManagedTable] = field(default_factory=dict)
    mentions: re.Pattern[str] | None = field(init=False, default=None)
    names: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # The cheap test that lets almost every statement pass unparsed. PostgreSQL folds only ASCII case in
        # identifiers; U&"…" can spell a name in escapes, so its mere presence counts as a mention.
        if self.tables:
            names = sorted({re.escape(t.name.replace('"', '""')) for t in self.tables})
            words = "|".join([*names, re.escape(HIDDEN_PREFIX), r'u&"'])
            object.__setattr__(self, "names", re.compile(words, re.IGNORECASE))
            object.__setattr__(self, "mentions", re.compile(f"{words}|{CATALOG_MENTIONS}", re.IGNORECASE))

    def may_concern(self, sql: str) -> bool:
        """False only if `sql` can neither name a managed table nor read of one in the system catalogs."""
        return self.mentions is not None and self.mentions.search(sql) is not None

    def may_name_managed(self, sql: str) -> bool:
        """False only if `sql` cannot possibly name a managed table: forwarding it as it is would harm no row."""
        return self.names is not None and self.names.search(sql) is not None
