"""The migrations that the model runs: small pairs of formats, and what clients of each shape write.

`up` and `down` stand here twice on purpose: as SQL for the product, as Python for what is true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """What a client assigns; the columns that it leaves out of an UPDATE keep their value."""

    columns: dict[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name} = '{value}'" for name, value in self.columns.items())


@dataclass(frozen=True, slots=True)
class Pair:
    """One change of a table `t`.

    Attributes:
        operations: YAML of the migration's only operation.
        old, new: visible columns of the two shapes.
        first: the old columns' values at the start.
        old_writes, new_writes: what clients send. A write of every column serves for INSERT, too.
        bypass: from the values of the old columns that it reads, what a writer without a proxy makes of them.
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

PAIRS = (SPLIT, ROUNDED, REFINED)
