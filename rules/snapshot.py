"""`Snapshot`: the whole of what a transaction is pinned to. Immutable; a new one is made for each epoch or catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.catalog import Catalog, TableName
from rules.dependencies import used_objects
from rules.introspection.relations import MENTIONS as CATALOG_MENTIONS
from rules.introspection.relations import SearchPath, finds_standard
from rules.migration import ManagedTable
from rules.phases import HIDDEN_PREFIX


@dataclass(frozen=True)
class Snapshot:
    """Managed tables at one epoch, and the catalog they were compiled against.

    `is_ambiguous`: another schema has a relation of a managed table's name, so search_path decides which is meant.
    """

    epoch: int
    catalog: Catalog
    tables: Mapping[TableName, ManagedTable] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False, default=())
    definitions: tuple[str, ...] = field(init=False, default=())
    is_ambiguous: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        # U&"…" can spell a name in escapes, so its mere presence counts as a mention.
        names = {_spelled(t) for t in self.tables}
        # Partitions are often called after their table: a text that names one of those mentions the table anyway.
        roots = tuple(_spelled(t) for t, managed in self.tables.items() if not managed.is_partition)
        names = {n for n in names if n in roots or not _mentions(n, roots)}
        object.__setattr__(self, "names", (*sorted(names), HIDDEN_PREFIX, 'u&"'))
        used = {_folded(o.name) for t in self.tables.values() if not t.is_partition for o in used_objects(t)}
        object.__setattr__(self, "definitions", (*_DEFINITIONS, *sorted(used)))
        managed = {t.name for t in self.tables}
        homonyms = any(t.name in managed and t not in self.tables for t in self.catalog.relations)
        object.__setattr__(self, "is_ambiguous", homonyms or len(managed) < len(self.tables))

    def may_concern(self, sql: str, path: SearchPath = None) -> bool:
        """False only if `sql` can neither name a managed table, nor read of one in the system catalogs, nor change what
        its migration rests on. `path` is the session's search_path."""
        if not self.tables:
            return False
        if finds_standard(path):
            return True
        folded = _folded(sql)
        if _mentions(folded, self.names) or _mentions(folded, self.definitions):
            return True
        return _mentions(folded, _CATALOGS) and _mentions(folded, CATALOG_MENTIONS)

    def may_name_managed(self, sql: str) -> bool:
        """False only if `sql` cannot possibly name a managed table: forwarding it as it is would harm no row."""
        return bool(self.tables) and _mentions(_folded(sql), self.names)


#: In statements that can reach a table without naming it: of a whole schema, of what a role owns, of our own schema;
#: and that read all of them as they once were.
_DEFINITIONS = ("schema", "owned", "pgjanus", "snapshot")
#: One of these is in each of CATALOG_MENTIONS.
_CATALOGS = ("pg_", "information_schema")


def _spelled(table: TableName) -> str:
    """As in a text, between quotes or not."""
    return _folded(table.name.replace('"', '""'))


def _folded(text: str) -> str:
    """A text in which two spellings of a name that PostgreSQL may take for the same are the same.

    A search for words in it costs a thousandth of what a regular expression without regard to case does.
    """
    return text.lower() if text.isascii() else text.casefold()


def _mentions(folded: str, words: tuple[str, ...]) -> bool:
    return any(word in folded for word in words)
