"""The migrations that the model runs: small pairs of formats, and what clients of each shape write.

`up` and `down` stand here twice on purpose: as SQL for the product, as Python for what is true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rules.phases import Shape

Values = tuple[str, ...]
#: What the last write says, in the old shape and in the new one.
Truth = tuple[Values, Values]


@dataclass(frozen=True, slots=True)
class Write:
    """What a client assigns; the columns that it leaves out of an UPDATE keep their value."""

    columns: dict[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name} = '{value}'" for name, value in self.columns.items())


@dataclass(frozen=True, slots=True)
class Pair:
    """The changes of a table `t`.

    Attributes:
        operations: YAML of the migration's operations.
        old, new: visible columns of the two shapes.
        first: the old columns' values at the start.
        old_writes, new_writes: what clients send. A write of every column serves for INSERT, too.
        bypass: from the values of the old columns that it reads, what a writer without a proxy makes of them.
        apart: each column is a change of its own; else all of them are one.
    """

    name: str
    operations: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    up: Callable[[Values], Values]
    down: Callable[[Values], Values]
    first: Values
    old_writes: tuple[Write, ...]
    new_writes: tuple[Write, ...]
    bypass: Callable[[Values], Values]
    apart: bool = False

    def columns(self, shape: Shape) -> tuple[str, ...]:
        return self.old if shape is Shape.OLD else self.new

    def inserted(self, shape: Shape, values: Values) -> Truth:
        """What a row says that a client of that shape brings in."""
        return (values, self.up(values)) if shape is Shape.OLD else (self.down(values), values)

    def survives(self, shape: Shape, values: Values, known: Values | None) -> bool:
        """Whether what differs from the known values is the same after the way to the other format and back."""
        own = list(Shape).index(shape)
        back = self.inserted(shape.other, self.inserted(shape, values)[1 - own])[own]
        return all(v in both for v, *both in zip(values, back, known or back, strict=True))

    def updated(self, shape: Shape, values: Values, before: Truth) -> Truth:
        """What it says after such a client has set its columns to these: what did not change is not rounded."""
        after = self.inserted(shape, values)
        own = list(Shape).index(shape)
        if not self.apart:
            return before if values == before[own] else after
        other = tuple(
            old if value == known else new
            for value, known, old, new in zip(values, before[own], before[1 - own], after[1 - own], strict=True)
        )
        return (values, other) if shape is Shape.OLD else (other, values)


SPLIT = Pair(
    "split",
    """
  - split_column:
      column: name
      into:
        head: {type: text, up: "substr(name, 1, 1)"}
        tail: {type: text, up: "substr(name, 2, 1)"}
      down: "head || tail"
""",
    ("name",),
    ("head", "tail"),
    up=lambda old: (old[0][0], old[0][1]),
    down=lambda new: (new[0] + new[1],),
    first=("ab",),
    old_writes=(Write({"name": "ba"}),),
    new_writes=(Write({"head": "a"}), Write({"head": "b", "tail": "b"})),
    bypass=lambda old: ("ab" if old[0] == "bb" else "bb",),
)

#: The new format says less: the digit is lost.
ROUNDED = Pair(
    "rounded",
    """
  - change_columns:
      old: {grade: "lower(mark) || '1'"}
      new:
        mark: {type: text, up: "upper(substr(grade, 1, 1))"}
      lossy: true
""",
    ("grade",),
    ("mark",),
    up=lambda old: (old[0][0].upper(),),
    down=lambda new: (new[0].lower() + "1",),
    first=("a2",),
    old_writes=(Write({"grade": "a2"}), Write({"grade": "b1"})),
    new_writes=(Write({"mark": "A"}), Write({"mark": "B"})),
    bypass=lambda old: ("b1" if old[0] == "a2" else "a2",),
)

#: The new format says more: the old one has no digit.
REFINED = Pair(
    "refined",
    """
  - change_columns:
      old: {mark: "upper(substr(grade, 1, 1))"}
      new:
        grade: {type: text, up: "lower(mark) || '1'"}
      lossy: true
""",
    ("mark",),
    ("grade",),
    up=lambda old: (old[0].lower() + "1",),
    down=lambda new: (new[0][0].upper(),),
    first=("A",),
    old_writes=(Write({"mark": "A"}), Write({"mark": "B"})),
    new_writes=(Write({"grade": "a2"}), Write({"grade": "b1"})),
    bypass=lambda old: ("B" if old[0] == "A" else "A",),
)

#: Two changes of one row, and one row state for both: a lossy one and one that only renames.
BESIDE = Pair(
    "beside",
    f"{REFINED.operations}  - rename_column: {{column: tag, to: label}}\n",
    ("mark", "tag"),
    ("grade", "label"),
    up=lambda old: (*REFINED.up(old[:1]), old[1]),
    down=lambda new: (*REFINED.down(new[:1]), new[1]),
    first=("A", "x"),
    old_writes=(Write({"mark": "A", "tag": "x"}), Write({"tag": "y"}), Write({"mark": "B"})),
    new_writes=(Write({"grade": "a2", "label": "x"}), Write({"label": "y"}), Write({"grade": "b1"})),
    bypass=lambda old: (old[0], "y" if old[1] == "x" else "x"),
    apart=True,
)

PAIRS = (SPLIT, ROUNDED, REFINED, BESIDE)
