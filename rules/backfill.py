"""The section `backfill` of a migration file, as written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, StrictBool, StrictStr, WithJsonSchema

from rules.operations.base import ColumnName, RowExpression, Strict, invalid
from rules.pace import BackfillSettings, OnError
from rules.quantities import Count, Duration, NoneOrSize, Percent, Size, milliseconds, share, size_bytes


class DefaultSpec(Strict):
    """Values for rows that cannot be converted."""

    default: dict[ColumnName, RowExpression] = Field(min_length=1)
    """By new column: an SQL expression over the same columns as its `up`, such as `"0"` or `"'unknown'"`."""


def _off_word(value: object) -> object:
    """YAML 1.1 reads a bare `off` as false and a bare `on` as true."""
    return {False: "off", True: "on"}.get(value, value) if isinstance(value, bool) else value


_Word = Literal["fail", "skip_and_report"]


def _on_error(value: object) -> object:
    match value:
        case Mapping():
            return DefaultSpec.model_validate(value)
        case DefaultSpec() | None:
            return value
        case str() if value in get_args(_Word):
            return value
    raise invalid(f"{value!r} is no way to deal with a row: one of {', '.join(get_args(_Word))}, or default: "
                  "with an expression for each new column")  # fmt: skip


OnErrorSpec = Annotated[
    _Word | DefaultSpec | None,
    PlainValidator(_on_error),
    PlainSerializer(lambda value: value.model_dump(mode="json") if isinstance(value, DefaultSpec) else value),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(get_args(_Word)), "type": "string"},
                {
                    "type": "object",
                    "properties": {"default": {"type": "object", "additionalProperties": {"type": "string"}}},
                    "required": ["default"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class BackfillSpec(Strict):
    """How hard the backfill may work."""

    batch_target: Duration = "100ms"
    """How long one batch should take; its size follows from that."""
    max_lag: Duration = "5s"
    """The backfill waits while a standby is further behind than this."""
    max_lag_bytes: NoneOrSize = "512MB"
    """The same in WAL that a standby has not replayed yet; `none` for any amount."""
    ignore_standbys: tuple[StrictStr, ...] = ()
    """Standbys, by application_name, that may be behind: one that is delayed on purpose, for example."""
    max_wal_rate: Size | None = None
    """It waits while the server writes more WAL than this per second."""
    wait_for_vacuum: StrictBool = True
    """It waits while the table is being vacuumed: new versions of rows then find room that is free already."""
    max_dead_rows: Percent | None = None
    """It waits while more than this share of the table is dead rows, for vacuum to remove them."""
    max_waiting_sessions: Count = 10
    """It waits while more sessions than this wait for a lock, whoever has it."""
    max_transaction_age: Duration | None = None
    """It waits while a transaction has been open for longer than this: vacuum can remove nothing younger."""
    max_active_sessions: Count | None = None
    """It waits while more sessions than this are at work."""
    max_latency: Duration | None = None
    """It waits while one in twenty statements of applications takes longer than this through any proxy."""
    check_sql: StrictStr | None = None
    """It waits while this query does not return true; a text that it returns is the reason."""
    check_url: StrictStr | None = None
    """It waits while GET on this address does not answer with 2xx; the answer's first line is the reason."""
    synchronous_commit: Annotated[Literal["off", "local", "on"], BeforeValidator(_off_word)] = "off"
    """Whether a batch waits for the disk or a standby. A crash loses rows together with their cursor: `off` is safe."""
    lock_timeout: Duration = "2s"
    """How long a batch waits for a lock before it is tried again, smaller."""
    statement_timeout: Duration = "1min"
    """How long one statement of it may take."""
    on_error: OnErrorSpec = None
    """What becomes of a row that cannot be converted: `fail` stops at the first, `skip_and_report` lists it and leaves
    the gate shut, `default: {column: expression}` gives it a value. Left out: `start` insists on there being none, and
    one that appears later is listed."""

    def settings(self) -> BackfillSettings:
        """The same in units that a program wants, without the defaults of columns."""
        match self.on_error:
            case None:
                on_error = None
            case DefaultSpec():
                on_error = OnError.DEFAULT
            case word:
                on_error = OnError(word)
        return BackfillSettings(
            batch_target_ms=milliseconds(self.batch_target),
            max_lag_ms=milliseconds(self.max_lag),
            max_lag_bytes=None if self.max_lag_bytes == "none" else size_bytes(self.max_lag_bytes),
            ignore_standbys=self.ignore_standbys,
            max_wal_bytes_per_s=None if self.max_wal_rate is None else size_bytes(self.max_wal_rate),
            wait_for_vacuum=self.wait_for_vacuum,
            max_dead_share=None if self.max_dead_rows is None else share(self.max_dead_rows),
            max_waiting=self.max_waiting_sessions,
            max_transaction_age_ms=_milliseconds(self.max_transaction_age),
            max_active=self.max_active_sessions,
            max_latency_ms=_milliseconds(self.max_latency),
            check_sql=self.check_sql,
            check_url=self.check_url,
            synchronous_commit=self.synchronous_commit,
            lock_timeout_ms=milliseconds(self.lock_timeout),
            statement_timeout_ms=milliseconds(self.statement_timeout),
            on_error=on_error,
        )


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else milliseconds(text)


#: What may be changed while a worker runs, and the setting that it is.
LIVE = {
    "batch_target": "batch_target_ms",
    "max_lag": "max_lag_ms",
    "max_lag_bytes": "max_lag_bytes",
    "ignore_standbys": "ignore_standbys",
    "max_wal_rate": "max_wal_bytes_per_s",
    "wait_for_vacuum": "wait_for_vacuum",
    "max_dead_rows": "max_dead_share",
    "max_waiting_sessions": "max_waiting",
    "max_transaction_age": "max_transaction_age_ms",
    "max_active_sessions": "max_active",
    "max_latency": "max_latency_ms",
    "lock_timeout": "lock_timeout_ms",
    "statement_timeout": "statement_timeout_ms",
}


def with_changes(settings: BackfillSettings, changes: Mapping[str, object]) -> BackfillSettings:
    """The settings with some fields of the file given anew.

    Raises:
        ValidationError: a value is not one of that field.
    """
    if not changes:
        return settings
    given = BackfillSpec.model_validate(changes).settings()
    return replace(settings, **{LIVE[name]: getattr(given, LIVE[name]) for name in changes})
