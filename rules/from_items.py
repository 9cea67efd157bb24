"""Items of FROM that need a look at the catalog: functions, and joins by name."""

from __future__ import annotations

from rules.analysis import alias, alias_columns
from rules.errors import Refusal
from rules.names import Entry, Lookup
from rules.reads import find_column, is_stored
from rules.source import Node, SourceText, string, unwrap


def function_entry(lookup: Lookup, body: Node) -> Entry:
    """The entry of a function in FROM."""
    name, names = alias(body), alias_columns(body)
    names += [c["ColumnDef"]["colname"] for c in body.get("coldeflist", [])]
    calls = [unwrap(f["List"]["items"][0]) for f in body["functions"]]
    if (
        len(calls) != 1
        or calls[0][0] != "FuncCall"
        or any("List" in f and f["List"]["items"][1:] != [{}] for f in body["functions"])
    ):
        return Entry(name, None)
    function = string(calls[0][1]["funcname"][-1])
    columns = lookup.snapshot.catalog.function_columns.get(function, frozenset())
    arguments = calls[0][1].get("args", [])
    if function == "unnest" and len(arguments) > 1:
        if len(names) < len(arguments):
            return Entry(name or function, None)
        columns = frozenset()  # with several arguments they are arrays, never a tsvector
    found = [*names, *columns, *(["ordinality"] if body.get("ordinality") else [])]
    if not names and not columns:
        found.insert(0, name or function)
    return Entry(name or function, dict.fromkeys(found), open_ended=bool(columns))


def check_join(source: SourceText, lookup: Lookup, body: Node, managed: list[Entry], using: list[str]) -> None:
    """Refuse joins that compare or rename columns by name where the names are not the physical ones."""
    table = managed[0].managed
    assert table is not None
    position = source.location(unwrap(body["larg"])[1])
    if body.get("isNatural"):
        raise Refusal("NATURAL JOIN with a managed table is not supported yet", "Use JOIN … ON.", position=position)
    if "alias" in body:
        raise Refusal(
            "an alias on a join of a managed table is not supported yet",
            "Alias the tables instead.",
            position=position,
        )
    shape = lookup.client.shape
    for entry in managed:
        assert entry.managed is not None
        for name in using:
            found = find_column(entry.managed, shape, name)
            hidden = found is None and name in entry.hidden
            if hidden or (found is not None and not (is_stored(entry.managed, shape) and found[1].physical == name)):
                raise Refusal(
                    f'JOIN … USING on the managed column "{name}" is not supported yet',
                    "Use JOIN … ON.",
                    position=position,
                )
