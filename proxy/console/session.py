"""One client of the console: PostgreSQL's protocol, simple and extended, spoken by the proxy itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

import structlog

from proxy.cli.common import describe
from proxy.console import errors
from proxy.console.cells import Row, data_row, formats_of, row_description
from proxy.console.commands import Command, find
from proxy.console.desk import Call, Desk
from proxy.console.errors import ConsoleError
from proxy.console.pleasantries import Pleasantry, pleasantry_in
from proxy.console.words import Words, split
from proxy.relay.ends import End
from proxy.relay.reading import Reading
from proxy.wire.messages import PROTOCOL_VIOLATION, ErrorFields, error_fields, message, read_names, read_target

_INT16: Final = Struct(">h")
_INT32: Final = Struct(">i")
_PARSE_COMPLETE, _BIND_COMPLETE, _CLOSE_COMPLETE = (message(kind, b"") for kind in (b"1", b"2", b"3"))
_NO_DATA, _SUSPENDED, _EMPTY = (message(kind, b"") for kind in (b"n", b"s", b"I"))
_NO_PARAMETERS: Final = message(b"t", b"\0\0")
#: Statements and portals that one client may keep.
_KEPT_LIMIT: Final = 100

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Statement:
    """One command, or None for an empty text; `words` are taken anew at each execution."""

    text: str
    what: Command | Pleasantry | None


@dataclass(slots=True)
class Portal:
    statement: Statement
    formats: Sequence[int]
    #: What is left of its rows; None before it is executed.
    rows: list[Row] | None = None


@dataclass(slots=True)
class ConsoleSession:
    """
    Args:
        changes: whether this user may do more than look.
    """

    client: End
    reading: Reading
    desk: Desk
    user: str
    changes: bool
    #: As ReadyForQuery says it: I, T or E.
    status: bytes = b"I"
    running: asyncio.Task[Sequence[Row] | None] | None = None
    _skipping: bool = False
    _statements: dict[bytes, Statement] = field(default_factory=dict)
    _portals: dict[bytes, Portal] = field(default_factory=dict)

    def cancel(self) -> None:
        """What runs now; nothing if nothing does."""
        if self.running is not None:
            self.running.cancel("by the client")

    async def serve(self) -> None:
        """Until it leaves.

        Raises:
            ConnectionError: it is gone.
        """
        self._ready()
        while True:
            kind, body = await self.reading.message()
            if kind == b"X":
                return
            if self._skipping and kind != b"S":
                continue
            try:
                await self._handle(kind, body)
            except ConsoleError as error:
                self._fail(error)
                self._skipping = kind != b"Q"
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception as error:
                self._fail(as_console_error(error))
                self._skipping = kind != b"Q"
            if kind == b"Q":
                self._ready()

    async def _handle(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"Q":
                await self._query(_text(body.removesuffix(b"\0")))
            case b"P":
                self._parse(body)
            case b"B":
                self._bind(body)
            case b"D":
                self._describe(body)
            case b"E":
                await self._execute(body)
            case b"C":
                target, name = read_target(body) or (b"", b"")
                (self._statements if target == b"S" else self._portals).pop(name, None)
                self.client.write(_CLOSE_COMPLETE)
            case b"S":
                self._skipping = False
                self._portals.clear()
                self._ready()
            case b"H" | b"d" | b"c" | b"f":
                pass  # a flush: nothing is ever held back; and what belongs to a COPY, of which there is none
            case _:
                raise ConsoleError(errors.NOT_SUPPORTED, "the console has commands only")

    # ------------------------------------------------------------------ the simple protocol

    async def _query(self, source: str) -> None:
        empty = True
        for words in split(source):
            empty = False
            statement = _statement(words)
            rows = await self._run(statement.what, words)
            if isinstance(statement.what, Command) and statement.what.columns:
                self.client.write(row_description(statement.what.columns, formats_of((), len(statement.what.columns))))
                for row in rows or ():
                    columns = statement.what.columns
                    self.client.write(data_row(row, columns, formats_of((), len(columns))))
            self._complete(statement.what, len(rows or ()))
        if empty:
            self.client.write(_EMPTY)

    # ------------------------------------------------------------------ the extended protocol

    def _parse(self, body: bytes) -> None:
        names = read_names(body, 2)
        if names is None:
            raise ConsoleError(PROTOCOL_VIOLATION, "invalid message format", "")
        name, source = names[0], _text(names[1])
        commands = list(split(source))
        if len(commands) > 1:
            raise ConsoleError(errors.SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement", "")
        if len(self._statements) >= _KEPT_LIMIT and name not in self._statements:
            raise ConsoleError(errors.NOT_SUPPORTED, f"the console keeps {_KEPT_LIMIT} statements of a client at most")
        self._statements[name] = _statement(commands[0]) if commands else Statement(source, None)
        self.client.write(_PARSE_COMPLETE)

    def _bind(self, body: bytes) -> None:
        names = read_names(body, 2)
        if names is None:
            raise ConsoleError(PROTOCOL_VIOLATION, "invalid message format", "")
        statement = self._statements.get(names[1])
        if statement is None:
            raise ConsoleError("26000", f"prepared statement {_text(names[1])!r} does not exist", "")
        rest = body[len(names[0]) + len(names[1]) + 2 :]
        _, rest = _int16s(rest)  # the formats of parameters, of which there are none
        if len(rest) < 2 or _INT16.unpack_from(rest)[0]:
            raise ConsoleError(
                errors.NOT_SUPPORTED, "the console takes no parameters", "Write values into the command."
            )
        wanted, _ = _int16s(rest[2:])
        columns = statement.what.columns if isinstance(statement.what, Command) else ()
        if len(self._portals) >= _KEPT_LIMIT and names[0] not in self._portals:
            raise ConsoleError(errors.NOT_SUPPORTED, f"the console keeps {_KEPT_LIMIT} portals of a client at most")
        self._portals[names[0]] = Portal(statement, formats_of(wanted, len(columns)))
        self.client.write(_BIND_COMPLETE)

    def _describe(self, body: bytes) -> None:
        target, name = read_target(body) or (b"", b"")
        if target == b"S":
            statement = self._statements.get(name)
            formats: Sequence[int] | None = None
            if statement is not None:
                self.client.write(_NO_PARAMETERS)
        else:
            portal = self._portals.get(name)
            statement = portal.statement if portal is not None else None
            formats = portal.formats if portal is not None else None
        if statement is None:
            raise ConsoleError("26000" if target == b"S" else "34000", f"{_text(name)!r} does not exist", "")
        columns = statement.what.columns if isinstance(statement.what, Command) else ()
        self.client.write(row_description(columns, formats or [0] * len(columns)) if columns else _NO_DATA)

    async def _execute(self, body: bytes) -> None:
        names = read_names(body, 1)
        portal = self._portals.get(names[0]) if names is not None else None
        if names is None or portal is None:
            raise ConsoleError("34000", "portal does not exist", "")
        what, limit = portal.statement.what, _INT32.unpack_from(body, len(names[0]) + 1)[0]
        if what is None:
            self.client.write(_EMPTY)
            return
        if portal.rows is None:
            (words,) = split(portal.statement.text)
            portal.rows = list(await self._run(_statement(words).what, words) or ())
        now = portal.rows[:limit] if limit > 0 else portal.rows
        portal.rows = portal.rows[len(now) :]
        if isinstance(what, Command):
            for row in now:
                self.client.write(data_row(row, what.columns, portal.formats))
        if limit > 0 and len(now) == limit:
            self.client.write(_SUSPENDED)
        else:
            self._complete(what, len(now))

    # ------------------------------------------------------------------ both

    async def _run(self, what: Command | Pleasantry | None, words: Words) -> Sequence[Row] | None:
        """
        Args:
            words: behind the command's name.
        """
        if isinstance(what, Pleasantry):
            self.status = what.leads_to or self.status
            return None
        assert what is not None
        if self.status == b"E":
            raise ConsoleError(
                errors.FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
                "",
            )
        if what.changes:
            if not self.changes:
                raise ConsoleError(
                    errors.NOT_ALLOWED,
                    f"user {self.user!r} may only look",
                    "It is one of console.readers in pgjanus.yaml.",
                )
            if self.status != b"I":
                hint = "It could not be taken back with it: use autocommit."
                raise ConsoleError(errors.ACTIVE_TRANSACTION, f"{what.tag} cannot run inside a transaction block", hint)
            log.info("console_command", user=self.user, command=words.source[words.start : words.end])
        self.running = asyncio.ensure_future(_awaited(what, Call(self.desk, words, self._notice)))
        try:
            return await self.running
        except asyncio.CancelledError:
            if self.running.cancelled() and not _is_cancelling():
                raise ConsoleError(errors.CANCELED, "canceling statement due to user request", "") from None
            self.running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self.running
            raise
        finally:
            self.running = None

    def _complete(self, what: Command | Pleasantry | None, rows: int) -> None:
        tag = what.tag if what is not None else ""
        self.client.write(message(b"C", tag.encode() + b"\0"))

    def _notice(self, line: str) -> None:
        fields = (b"SNOTICE", b"VNOTICE", b"C00000", b"M" + line.replace("\0", "?").encode(errors="replace"))
        self.client.write(ErrorFields(tuple((f[0], f[1:]) for f in fields)).write(b"N"))

    def _fail(self, error: ConsoleError) -> None:
        if self.status == b"T":
            self.status = b"E"
        found = error_fields(
            b"ERROR", error.sqlstate, f"pgjanus: {error.message}", hint=error.hint, position=error.position
        )
        self.client.write(found.write())

    def _ready(self) -> None:
        self.client.write(message(b"Z", self.status))


async def _awaited(command: Command, call: Call) -> Sequence[Row] | None:
    return await command.run(call)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


def _statement(words: Words) -> Statement:
    """
    Raises:
        ConsoleError: there is no such command.
    """
    text = words.source[words.start : words.end]
    return Statement(text, pleasantry_in(words) or find(words))


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _int16s(body: bytes) -> tuple[list[int], bytes]:
    """The numbers behind their count, and what comes then.

    Raises:
        ConsoleError: there are fewer.
    """
    count = _INT16.unpack_from(body)[0] if len(body) >= 2 else -1
    if count < 0 or len(body) < 2 + 2 * count:
        raise ConsoleError(PROTOCOL_VIOLATION, "invalid message format", "")
    return [_INT16.unpack_from(body, 2 + 2 * i)[0] for i in range(count)], body[2 + 2 * count :]


def as_console_error(error: Exception) -> ConsoleError:
    """What is told of anything that a command did not expect."""
    said = describe(error)
    if said is None:
        log.exception("console_failed")
        return ConsoleError(errors.INTERNAL_ERROR, "internal error; the proxy's log has it", "")
    return ConsoleError(errors.NOT_IN_STATE, said)
