"""`MigrationSpec`: what a migration file says, as written; `compile` makes a `Migration` of it.

The same model reads files (`rules.loader`), is stored in the database as JSON, and gives editors their JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PrivateAttr,
    StrictStr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from rules.backfill import BackfillSpec, DefaultSpec
from rules.catalog import Relation, TableName
from rules.changes import Expression, parse_expression
from rules.errors import MigrationError, Place
from rules.explanations import problems_in
from rules.migration import Guard, Migration, OnUnsupported
from rules.operations import OPERATIONS
from rules.operations.base import (
    KEY,
    DefinitionError,
    NewPart,
    OldPart,
    Operation,
    Path,
    Problem,
    Strict,
    invalid,
    invalid_at,
)
from rules.operations.sql import DEFAULT_SCHEMA, NAME_LIMIT_BYTES, did_you_mean
from rules.phases import HIDDEN_PREFIX, Strategy
from rules.quantities import Period, seconds

MAX_OPERATIONS = 50
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_TABLE = re.compile(r'(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)')
_SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast", "pgjanus"})


def _migration_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise invalid(f"{text!r} cannot name a migration: up to 63 letters, digits and _ . - without spaces, "
                      "the first a letter, a digit or _")  # fmt: skip
    return text


def _table(value: object) -> TableName:
    if isinstance(value, TableName):
        return value
    if not isinstance(value, str):
        raise invalid("a table is wanted: its schema and name, such as public.users")
    match = _TABLE.fullmatch(value)
    if not match:
        raise invalid(f"{value!r} is not a table: give its schema and name, such as public.users "
                      '(a name with a dot in it in double quotes: public."odd.name")')  # fmt: skip
    schema, name = (part and _unquoted(part) for part in match.groups())
    table = TableName(schema or DEFAULT_SCHEMA, name)
    for part in (table.schema, table.name):
        if len(part.encode(errors="replace")) > NAME_LIMIT_BYTES or not part.strip() or not part.isprintable():
            raise invalid(f"{part!r} cannot name a table or schema in PostgreSQL")
    if table.schema in _SYSTEM_SCHEMAS or table.schema.startswith("pg_"):
        raise invalid(f"{table} is a system table: only tables of your own can be migrated")
    return table


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _table_text(table: TableName) -> str:
    """The inverse of reading it."""
    return ".".join(
        '"' + part.replace('"', '""') + '"' if "." in part or '"' in part else part
        for part in (table.schema, table.name)
    )


def _off(value: object) -> object:
    """YAML 1.1 reads a bare `off` as false."""
    return Guard.OFF.value if value is False else value


Table = Annotated[
    TableName,
    BeforeValidator(_table),
    PlainSerializer(_table_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["public.users"]}),
]


class _OneKey:
    """Reads `{kind: {…}}` as the operation of that kind, so that an error's path is the path in the file."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def body(kind: str) -> Callable[[object], object]:
            return lambda entry: entry[kind] if isinstance(entry, Mapping) else entry

        choices: dict[Any, CoreSchema] = {
            kind: core_schema.no_info_before_validator_function(body(kind), handler.generate_schema(model))
            for kind, model in OPERATIONS.items()
        }
        kinds = {model: kind for kind, model in OPERATIONS.items()}
        return core_schema.no_info_before_validator_function(
            _one_kind,
            core_schema.tagged_union_schema(choices, discriminator=_kind_of),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda operation: {kinds[type(operation)]: operation.model_dump(mode="json", exclude_none=True)}
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "oneOf": [
                {
                    "type": "object",
                    "description": model.__doc__,
                    "properties": {kind: model.in_field_order(handler(model.__pydantic_core_schema__))},
                    "required": [kind],
                    "additionalProperties": False,
                }
                for kind, model in OPERATIONS.items()
            ]
        }


def _kind_of(entry: object) -> str | None:
    if isinstance(entry, Mapping):
        return str(next(iter(entry)))
    return next((kind for kind, model in OPERATIONS.items() if isinstance(entry, model)), None)


def _one_kind(entry: object) -> object:
    if isinstance(entry, Operation):
        return entry
    kinds = ", ".join(OPERATIONS)
    if not isinstance(entry, Mapping) or not entry:
        raise invalid(f"an operation is written as `- kind: {{…}}`; the kinds are {kinds}")
    first, *others = entry
    if first not in OPERATIONS:
        raise invalid_at([Problem((first, KEY), f"unknown operation {first!r}{did_you_mean(first, OPERATIONS)}: "
                          f"one of {kinds}")])  # fmt: skip
    if others:
        raise invalid_at([Problem((others[0], KEY), f"a second key, {others[0]!r}, in one operation: "
                          "start each operation with its own `-`, and indent what belongs to it")])  # fmt: skip
    return entry


class MigrationSpec(Strict):
    """A pgjanus migration: one table, its operations, a strategy."""

    migration: Annotated[StrictStr, AfterValidator(_migration_name)]
    """The migration's name; the file's name if left out."""
    table: Table
    """The table, with its schema; the schema is `public` if left out. Case counts."""
    strategy: Literal["dual_write", "dual_read", "both"] = "dual_write"
    """Which ladder of phases the migration climbs."""
    operations: tuple[Annotated[Operation, _OneKey()], ...] = Field(min_length=1, max_length=MAX_OPERATIONS)
    """What changes: one operation per entry."""
    backfill: BackfillSpec = BackfillSpec()
    """How hard the backfill may work."""
    guard: Annotated[Literal["heal", "reject", "off"], BeforeValidator(_off)] = "heal"
    """What happens to a write that does not come through the proxy."""
    on_unsupported: Literal["refuse", "observe"] = "refuse"
    """What happens to a statement that cannot be rewritten exactly (`observe`: only in the phase `expanded`)."""
    quiet_period: Period = "1d"
    """For how long no client of the old shape may have been seen when the old columns are dropped."""

    #: Where each part was written, if it came from a file.
    _places: Mapping[Path, Place] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _operations_keep_apart(self) -> Self:
        problems = [*self._collisions(), *self._misplaced_defaults()]
        if problems:
            raise invalid_at(problems)
        return self

    def _collisions(self) -> Iterator[Problem]:
        taken: dict[str, str] = {}
        for path, operation in self._operations():
            parts: tuple[OldPart | NewPart, ...] = (*operation.old_parts(), *operation.new_parts())
            for part in parts:
                if part.name in taken:
                    yield Problem(
                        (*path, *part.name_path),
                        f"{part.name} already belongs to {taken[part.name]}: each column may be in one operation only "
                        "(change_columns does several things to a column at once)",
                    )
            label = f"operation {path[1] + 1 if isinstance(path[1], int) else path[1]}, {path[2]}"
            taken |= {part.name: label for part in parts if part.name not in taken}
        for path, operation in self._operations():
            for part_, source in operation.outside_sources():
                if source in taken:
                    yield Problem(
                        (*path, *part_.up_path),
                        f"up of {part_.name} names {source}, which belongs to {taken[source]}: it may name only "
                        "columns that stay as they are",
                    )

    def _operations(self) -> Iterator[tuple[Path, Operation]]:
        kinds = {model: kind for kind, model in OPERATIONS.items()}
        for at, operation in enumerate(self.operations):
            yield ("operations", at, kinds[type(operation)]), operation

    def placed(self, places: Mapping[Path, Place]) -> Self:
        """The same, with the places that the errors of `compile` name; a path ending in `[key]` is the key's place."""
        copy = self.model_copy()
        copy._places = places
        return copy

    def __eq__(self, other: object) -> bool:
        """Two specs are equal if they say the same, wherever they were read."""
        return isinstance(other, MigrationSpec) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def compile(self, relation: Relation) -> Migration:
        """The migration over the table as it is now; the same before the table was expanded and after.

        Raises:
            DefinitionError: the definition does not fit the table; all its mistakes, each with its place if it has one.
        """
        problems = list(self._misfits(relation))
        changes = []
        for path, operation in self._operations():
            try:
                changes.append(operation.compile(relation))
            except DefinitionError as error:
                problems += [Problem((*path, *p.path), p.message) for p in error.problems]
        if problems:
            raise DefinitionError(problems, self._places)
        return Migration(
            name=self.migration,
            table=self.table,
            strategy=Strategy(self.strategy),
            changes=tuple(changes),
            backfill=replace(self.backfill.settings(), defaults=self._defaults()),
            guard=Guard(self.guard),
            on_unsupported=OnUnsupported(self.on_unsupported),
            quiet_period_s=seconds(self.quiet_period),
        )

    def _defaults(self) -> dict[str, Expression]:
        on_error = self.backfill.on_error
        return (
            {n: parse_expression(e) for n, e in on_error.default.items()} if isinstance(on_error, DefaultSpec) else {}
        )

    def _misplaced_defaults(self) -> Iterator[Problem]:
        new = {part.name: operation for _, operation in self._operations() for part in operation.new_parts()}
        for name, expression in self._defaults().items():
            path = ("backfill", "on_error", "default", name)
            if name not in new:
                yield Problem((*path, KEY), f"{name} is no new column{did_you_mean(name, new)}: a row that cannot be "
                              f"converted lacks one of {', '.join(new)}")  # fmt: skip
                continue
            old = [part.name for part in new[name].old_parts()]
            for source in expression.columns:
                if old and source not in old:
                    yield Problem(path, f"the default of {name} names {source}: it may name only what up may name, "
                                  f"{', '.join(old)}")  # fmt: skip

    def error_at(self, path: Path, message: str) -> MigrationError:
        """A mistake that only the database could find, with its place if the spec came from a file."""
        return DefinitionError([Problem(path, message)], self._places).errors[0]

    def _misfits(self, relation: Relation) -> Iterator[Problem]:
        if relation.table != self.table:
            yield Problem(("table",), f"the migration is for {self.table}, not for {relation.table}")
        if relation.kind not in ("r", "p"):
            kind = _KINDS.get(relation.kind, "not a table")
            yield Problem(("table",), f"{self.table} is {kind}: only plain and partitioned tables can be migrated")
        gone = {part.name for _, operation in self._operations() for part in operation.old_parts()}
        stays = any(c.name not in gone and not c.name.startswith(HIDDEN_PREFIX) for c in relation.columns)
        if not stays and not any(operation.new_parts() for _, operation in self._operations()):
            yield Problem(("operations",), f"{self.table} would have no column left: drop the table instead")

    def to_json(self) -> dict[str, Any]:
        """The whole definition, defaults included, for storing it as jsonb."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, definition: object) -> MigrationSpec:
        """The inverse of `to_json`.

        Raises:
            DefinitionError: it is not a definition; every mistake with its path in it.
        """
        try:
            return cls.model_validate(definition)
        except ValidationError as error:
            raise DefinitionError(problems_in(error, cls)) from error


_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a migration file, for editors."""
    schema = MigrationSpec.model_json_schema()
    # A file may leave its name to the file's name.
    schema["required"].remove("migration")
    _leave_null_out(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _leave_null_out(node: object) -> None:
    """An attribute that is not wanted is left out of the file; null is never right."""
    if isinstance(node, list):
        for item in node:
            _leave_null_out(item)
    elif isinstance(node, dict):
        kinds = node.get("anyOf")
        if isinstance(kinds, list) and {"type": "null"} in kinds:
            (kind,) = (k for k in node.pop("anyOf") if k != {"type": "null"})
            node.pop("default", None)
            node.update(kind)
        for value in node.values():
            _leave_null_out(value)
