"""JOIN … USING and NATURAL JOIN: which columns they merge, and what becomes of those (parse_clause.c).

A column that this client has under another name, or as an expression, cannot be compared by name. The join is written
with ON then, and the merged column wherever it stands bare:

    SELECT full_name FROM users u JOIN orders o USING (full_name)
    SELECT (CASE …) AS "full_name" FROM users u JOIN orders o ON ((CASE …) = "o"."full_name")
"""

from __future__ import annotations

from dataclasses import dataclass

from rules.analysis.names import AMBIGUOUS_COLUMN, Entry, Merged
from rules.analysis.values import Sources, StarItem
from rules.errors import UNDEFINED_COLUMN, Refusal
from rules.phases import Shape
from rules.plan import FieldPatch
from rules.reads import find_column, is_stored

_TEXT = (25, -1)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a join: its columns in order, each with what it comes from, and the entries it is made of.

    `unknown` are the entries whose columns are not known.
    """

    columns: tuple[tuple[str, Entry | Merged], ...]
    entries: tuple[Entry, ...]
    unknown: tuple[Entry, ...]

    @staticmethod
    def of(star: list[StarItem], entries: list[Entry]) -> Side:
        columns: list[tuple[str, Entry | Merged]] = []
        unknown: list[Entry] = []
        for item in star:
            if item.entry is None:
                columns.append((item.column, item.merged or Merged(item.column, 1)))
            elif item.column:
                columns.append((item.column, item.entry))
            elif item.entry.columns is None or item.entry.open_ended:
                columns += [(part[0], item.entry) for part in item.entry.parts if part is not None]
                unknown.append(item.entry)
            else:
                columns += [(name, item.entry) for name in item.entry.columns]
        return Side(tuple(columns), tuple(entries), tuple(unknown))

    @property
    def is_managed(self) -> bool:
        return any(e.managed is not None for e in self.entries)

    def owners(self, name: str) -> list[Entry | Merged]:
        return [owner for column, owner in self.columns if column == name]

    def is_row(self, name: str) -> bool:
        patches = [o.patch(name) for o in self.owners(name) if isinstance(o, Entry)]
        return any(p is not None and p.row for p in patches)

    def cannot_name(self, name: str, shape: Shape) -> bool:
        """Whether the bare name means something else to the server than to this client."""
        if any(name in e.hidden for e in self.entries):
            return True
        for owner in self.owners(name):
            if isinstance(owner, Merged):
                if owner.rewritten:
                    return True
            elif owner.managed is not None:
                found = find_column(owner.managed, shape, name)
                if owner.real.get(name, name) != name:
                    return True
                if found is not None and not (is_stored(owner.managed, shape) and found[1].physical == name):
                    return True
        return False

    def sources(self, name: str, side: str) -> Sources:
        """What a column is read from.

        Raises:
            Refusal: there is no such column, or more than one, in PostgreSQL's words.
        """
        owners = self.owners(name)
        if not owners and not self.unknown:
            raise Refusal(
                f'column "{name}" specified in USING clause does not exist in {side} table', sqlstate=UNDEFINED_COLUMN
            )
        if len(owners) > 1:
            raise Refusal(
                f'common column name "{name}" appears more than once in {side} table', sqlstate=AMBIGUOUS_COLUMN
            )
        owner = owners[0] if owners else self.unknown[0]
        if any(u is not owner for u in self.unknown) or (isinstance(owner, Merged) and not owner.sources):
            raise Refusal(
                f'it is not known whose column "{name}" JOIN … USING means: the columns of another item are not known',
                "Use JOIN … ON.",
            )
        if isinstance(owner, Merged):
            return owner.sources
        if owner.name is None:
            raise Refusal("this JOIN … USING has an item without a name", "Use JOIN … ON.")
        return ((owner, name),)

    def check_has(self, name: str, side: str) -> None:
        """Refuse a name that there is not, as PostgreSQL would before it looks at anything else."""
        if not self.owners(name) and not self.unknown:
            self.sources(name, side)

    def type_of(self, name: str) -> tuple[int, int] | None:
        owners = self.owners(name)
        if len(owners) != 1 or any(u is not owners[0] for u in self.unknown):
            return None
        owner = owners[0]
        if isinstance(owner, Merged):
            return owner.type
        patch = owner.patch(name)
        if patch is not None and not patch.cast:
            return patch.type_oid, patch.typmod
        return owner.types.get(name)

    def patch_of(self, name: str) -> tuple[FieldPatch | None, bool]:
        """A column's patch, and whether it is unclear. If another item has the name as well, the server refuses it."""
        for owner in self.owners(name):
            return (owner.patch, owner.unclear) if isinstance(owner, Merged) else (owner.patch(name), False)
        return None, False


def common_names(left: Side, right: Side) -> list[str] | None:
    """What NATURAL compares, in the order of the left side; None if not all columns are known."""
    if left.unknown or right.unknown:
        return None
    there = {name for name, _ in right.columns}
    return [name for name in dict.fromkeys(n for n, _ in left.columns) if name in there]


def merge(name: str, left: Side, right: Side, jointype: str, before: Merged | None, rewritten: bool) -> Merged:
    """The column that comes of it: the side's that an outer join keeps, or the first of both that is not NULL.

    Two types become their common one, which is not computed here: such a column may be compared, but not named.
    """
    joins = (before.joins if before is not None else 0) + 1
    types = left.type_of(name), right.type_of(name)
    patch, unclear = _description(left.patch_of(name), right.patch_of(name), types, jointype)
    if types[0] is None or types[0] != types[1]:
        return Merged(name, joins, rewritten=rewritten, patch=patch, unclear=unclear)
    sides = {"JOIN_RIGHT": ("right",), "JOIN_FULL": ("left", "right")}.get(jointype, ("left",))
    sources = tuple(s for side in sides for s in (left if side == "left" else right).sources(name, side))
    return Merged(name, joins, sources, types[0], rewritten, patch, unclear)


def _description(
    left: tuple[FieldPatch | None, bool],
    right: tuple[FieldPatch | None, bool],
    types: tuple[tuple[int, int] | None, tuple[int, int] | None],
    jointype: str,
) -> tuple[FieldPatch | None, bool]:
    """The patch of a merged column, and whether it is unclear (buildMergedJoinVar).

    An outer join keeps one side's column and an inner one the left side's, unless that is converted to the common type:
    it is none of a table then, and an inner join keeps the other one. A full join keeps none.
    """
    if jointype == "JOIN_FULL" or (left == right == (None, False)):
        return None, False
    if jointype == "JOIN_RIGHT":
        return right if types[0] == types[1] is not None else (None, right != (None, False))
    if types[0] == types[1] is not None or types[0] == _TEXT:  # the preferred type of its kind, which nothing replaces
        return left
    return None, jointype == "JOIN_INNER" or left != (None, False)
