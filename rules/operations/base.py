"""What every operation has in common: its fields' types, and how its parts become a `ColumnChange`.

An operation says what it is in the general form (`parts`): the columns it takes away, each with the expression that
computes it back, and the columns it gives. Everything else follows from that, here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from rules.catalog import Column, Relation
from rules.changes import ColumnChange, Expression, ManagedColumn, hidden_name
from rules.errors import MigrationError, Place
from rules.operations.sql import (
    column_name,
    default_expression,
    did_you_mean,
    foreign_key_target,
    new_column_name,
    row_expression,
    type_name,
)
from rules.phases import HIDDEN_PREFIX, STATE_COLUMN

#: Where something is written: keys and list positions from the top; a last part `[key]` means the key, not its value.
Path = tuple[str | int, ...]
KEY = "[key]"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a definition, and where."""

    path: Path
    message: str


class DefinitionError(MigrationError):
    """One or more mistakes in a definition, a line each: where, what is wrong, what would be right.

    `errors` holds them singly; `place` is the first one's.
    """

    def __init__(self, problems: Sequence[Problem], places: Mapping[Path, Place] | None = None) -> None:
        self.problems = tuple(problems)
        errors = [_error(problem, places or {}) for problem in problems]
        self.errors = tuple(sorted(errors, key=lambda e: (e.place.line, e.place.column) if e.place else (0, 0)))
        super().__init__("\n".join(map(str, self.errors)))
        self.place = self.errors[0].place


def _error(problem: Problem, places: Mapping[Path, Place]) -> MigrationError:
    """Placed at the nearest thing around the problem that is written in the file."""
    path = problem.path
    while path and path not in places:
        path = path[:-1]
    place = places.get(path)
    return MigrationError(problem.message if place else _dotted(problem.path) + problem.message, place)


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path if part != KEY)
    return f"{text.lstrip('.')}: " if text else ""


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """Validate a string, keeping it as written; the message of a `ValueError` is the whole message."""

    def validate(text: str) -> str:
        try:
            result = check(text)
        except ValueError as error:
            raise invalid(_shortened(str(error))) from error
        except RecursionError as error:
            raise invalid("the SQL is nested too deeply") from error
        return result if isinstance(result, str) else text

    return AfterValidator(validate)


def _shortened(message: str) -> str:
    """A message that quotes a long expression keeps its beginning and what is said about it."""
    return message if len(message) <= 600 else f"{message[:200]} … {message[-300:]}"


def invalid(message: str) -> PydanticCustomError:
    """A message for pydantic, free of its own templates."""
    return PydanticCustomError("pgjanus", "{message}", {"message": message})


def invalid_at(problems: Sequence[Problem]) -> ValidationError:
    """Mistakes with their places, to raise in a model's validator: pydantic puts the model's own path in front."""
    details = [InitErrorDetails(type=invalid(p.message), loc=p.path, input=None) for p in problems]
    return ValidationError.from_exception_data("definition", details)


ColumnName = Annotated[StrictStr, _checked(column_name)]
NewColumnName = Annotated[StrictStr, _checked(new_column_name)]
RowExpression = Annotated[StrictStr, _checked(row_expression)]
DefaultExpression = Annotated[StrictStr, _checked(default_expression)]
TypeName = Annotated[StrictStr, _checked(type_name)]
ForeignKeyTarget = Annotated[StrictStr, _checked(foreign_key_target)]


class Strict(BaseModel):
    """A part of a migration file: no key but its own, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return cls.in_field_order(handler.resolve_ref_schema(handler(core_schema)))

    @classmethod
    def field_order(cls) -> list[str]:
        """Its own fields before those that it inherits: messages and editors name them in this order."""
        names = (name for owner in cls.__mro__ for name in vars(owner).get("__annotations__", {}))
        return [name for name in dict.fromkeys(names) if name in cls.model_fields]

    @classmethod
    def in_field_order(cls, schema: JsonSchemaValue) -> JsonSchemaValue:
        schema["properties"] = {name: schema["properties"][name] for name in cls.field_order()}
        return schema


class Attributes(Strict):
    """What a new column may have besides its type. Nothing is taken over from an old column by itself."""

    not_null: StrictBool = False
    """The column becomes NOT NULL, validated without blocking writers."""
    unique: StrictBool = False
    """The column gets a unique index, built CONCURRENTLY."""
    check: RowExpression | None = None
    """A CHECK over this operation's new columns, such as `amount >= 0`."""
    default: DefaultExpression | None = None
    """The column's DEFAULT: an SQL expression, so text needs SQL quotes: `"'draft'"`."""
    references: ForeignKeyTarget | None = None
    """A foreign key: `public.accounts(id) ON DELETE CASCADE`."""
    index: StrictBool = False
    """The column gets a plain index, built CONCURRENTLY."""


class NewColumn(Attributes):
    """A column that the new shape has."""

    type: TypeName = Field(examples=["text", "numeric(10,2)", "public.mood"])
    """Its SQL type; a type that is not built in with its schema."""
    up: RowExpression
    """Computes this column from the old ones: IMMUTABLE, and right for NULLs as written."""


@dataclass(frozen=True, slots=True)
class OldPart:
    """A column that the old shape has. `down` None stands for the one column of the other side, cast if need be."""

    name: str
    name_path: Path
    down: str | None
    down_path: Path


@dataclass(frozen=True, slots=True)
class NewPart:
    """A column that the new shape has. `type` None: the type of the one old column. `up` None: that column, cast."""

    name: str
    name_path: Path
    type: str | None
    up: str | None
    up_path: Path
    attributes: Attributes
    attributes_path: Path


def new_parts(columns: Mapping[str, NewColumn], path: Path) -> tuple[NewPart, ...]:
    """The parts of a `{name: {type, up, …}}` mapping that is written at `path`."""
    return tuple(
        NewPart(name, (*path, name, KEY), column.type, column.up, (*path, name, "up"), column, (*path, name))
        for name, column in columns.items()
    )


class Operation(Strict, ABC):
    """One entry of a migration's `operations`."""

    lossy: StrictBool = False
    """Say so if a value need not survive the way there and back."""

    @abstractmethod
    def old_parts(self) -> tuple[OldPart, ...]:
        """The columns that the old shape has."""

    @abstractmethod
    def new_parts(self) -> tuple[NewPart, ...]:
        """The columns that the new shape has."""

    @model_validator(mode="after")
    def _expressions_name_the_other_side(self) -> Self:
        problems = list(self._misnamed())
        if problems:
            raise invalid_at(problems)
        return self

    def _misnamed(self) -> Iterator[Problem]:
        old = tuple(part.name for part in self.old_parts())
        new = tuple(part.name for part in self.new_parts())
        for part in self.old_parts():
            yield from _foreign_names("down", part.name, part.down, new, part.down_path)
        for part_ in self.new_parts():
            if old:  # an added column's `up` may name any columns that stay; `compile` knows them
                yield from _foreign_names("up", part_.name, part_.up, old, part_.up_path)
            yield from _foreign_names(
                "check", part_.name, part_.attributes.check, new, (*part_.attributes_path, "check")
            )

    def outside_sources(self) -> Iterator[tuple[NewPart, str]]:
        """The columns that stay and that an added column's `up` names; of other operations none."""
        if not self.old_parts():
            for part in self.new_parts():
                for name in row_expression(part.up).columns if part.up else ():
                    yield part, name

    def compile(self, relation: Relation) -> ColumnChange:
        """The operation over the table as it is, before or after it was expanded.

        Raises:
            DefinitionError: a column is missing, in the way, or of a kind that cannot be managed.
        """
        problems = list(self._misfits(relation))
        if problems:
            raise DefinitionError(problems)
        olds, news = self.old_parts(), self.new_parts()
        columns = {part.name: relation.column(part.name) for part in olds}
        old = tuple(_old_column(column) for column in columns.values() if column is not None)
        new = tuple(
            ManagedColumn(
                name=part.name,
                physical=hidden_name(part.name),
                type=part.type or old[0].type,
                **part.attributes.model_dump(include=set(Attributes.model_fields)),
            )
            for part in news
        )
        change = ColumnChange(
            table=relation.table,
            old=old,
            new=new,
            up={n.name: _expression(part.up, n, old) for n, part in zip(new, news, strict=True)},
            down={o.name: _expression(part.down, o, new) for o, part in zip(old, olds, strict=True)},
            lossy=self.lossy,
        )
        return replace(change, collations=_collations(change, relation))

    def _misfits(self, relation: Relation) -> Iterator[Problem]:
        visible = [c.name for c in relation.columns if not c.name.startswith(HIDDEN_PREFIX)]
        old = {part.name for part in self.old_parts()}
        for part in self.old_parts():
            column = relation.column(part.name)
            if column is None:
                yield Problem(part.name_path, missing_column(relation, part.name, visible))
            elif column.name in relation.primary_key:
                yield Problem(part.name_path, f"{part.name} is part of the primary key of {relation.table}: "
                              "migrating a primary key is not supported yet")  # fmt: skip
            elif column.identity:
                yield Problem(part.name_path, f"{part.name} is an identity column: migrating one is not supported yet")
            elif column.generated:
                yield Problem(part.name_path, f"{part.name} is a generated column: migrating one is not supported yet")
        for new in self.new_parts():
            if new.name in visible and new.name not in old:
                yield Problem(new.name_path, f"{relation.table} already has a column {new.name}: choose another name")
            if hidden_name(new.name) == STATE_COLUMN:
                yield Problem(new.name_path, f"a new column cannot be called {new.name!r} yet: "
                              f"{STATE_COLUMN} is pgjanus' own column")  # fmt: skip
        for part_, source in self.outside_sources():
            column = relation.column(source)
            if column is None or source not in visible:
                yield Problem(part_.up_path, f"up of {part_.name}: {missing_column(relation, source, visible)}")
            elif column.generated:
                yield Problem(part_.up_path, f"up of {part_.name} names {source}, a generated column, which is not "
                              "supported yet: write that column's own expression instead")  # fmt: skip


def missing_column(relation: Relation, name: str, visible: list[str]) -> str:
    hint = did_you_mean(name, visible)
    return f"{relation.table} has no column {name}{hint}; it has {', '.join(visible) or 'none'}"


def _foreign_names(what: str, of: str, text: str | None, allowed: tuple[str, ...], path: Path) -> Iterator[Problem]:
    for name in row_expression(text).columns if text else ():
        if name not in allowed:
            may = f"it may name only {', '.join(allowed)}" if allowed else "there is no column that it could name"
            yield Problem(path, f"{what} of {of} names {name}{did_you_mean(name, allowed)}: {may}")


def _old_column(column: Column) -> ManagedColumn:
    return ManagedColumn(column.name, column.name, column.type, not_null=column.not_null, default=column.default)


def _collations(change: ColumnChange, relation: Relation) -> dict[str, str]:
    """By physical name; a new column has one only if it is an old one renamed."""
    names = [*(c.physical for c in change.old), *change.sources]
    found = {c.name: c.collation for c in relation.columns if c.name in names and c.collation is not None}
    for column in change.new:
        parts = change.up[column.name].parts
        source = relation.column(parts[1]) if len(parts) == 3 and not (parts[0] + parts[2]).strip() else None
        if source is not None and source.collation is not None and source.type == column.type:
            found[column.physical] = source.collation
    return found


def _expression(text: str | None, target: ManagedColumn, others: tuple[ManagedColumn, ...]) -> Expression:
    if text is not None:
        return row_expression(text)
    (source,) = others
    if source.type == target.type:
        return Expression(("", source.name, ""))
    return Expression(("CAST(", source.name, f" AS {target.type})"))
