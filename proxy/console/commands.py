"""The table of commands: SHOW HELP, docs/console.md and a test read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from proxy.console import acts, shows
from proxy.console.cells import Column, Kind, Row, text
from proxy.console.desk import Call
from proxy.console.errors import LISTED, SYNTAX_ERROR, ConsoleError
from proxy.console.words import Words

Run = Callable[[Call], Awaitable[Sequence[Row] | None]]


@dataclass(frozen=True, slots=True)
class Command:
    """`columns` of its answer; none if it has no rows. `changes`: not for readers, nor in a transaction."""

    name: tuple[str, ...]
    arguments: str
    does: str
    run: Run = field(compare=False)
    columns: tuple[Column, ...] = ()
    changes: bool = False

    @property
    def usage(self) -> str:
        return " ".join((*self.name, *([self.arguments] if self.arguments else [])))

    @property
    def tag(self) -> str:
        return self.name[0] if self.columns else " ".join(self.name)


def _integers(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.INTEGER) for name in names)


def _numbers(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.NUMBER) for name in names)


def _booleans(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Kind.BOOLEAN) for name in names)


async def _help(call: Call) -> list[Row]:
    return [(command.usage, command.does) for command in COMMANDS]


def _show(name: str, does: str, run: Run, *columns: Column) -> Command:
    async def without_arguments(call: Call) -> Sequence[Row] | None:
        call.words.finish()
        return await run(call)

    return Command(("SHOW", name), "", does, without_arguments, columns)


def _act(name: str, arguments: str, does: str, run: Run) -> Command:
    return Command(tuple(name.split()), arguments, does, run, changes=True)


COMMANDS: Final = (
    _show("HELP", "these commands", _help, *text("command", "does")),
    _show(
        "MIGRATIONS",
        "each migration: phase, gates, rows by row state",
        shows.migrations,
        *text("name", "table", "strategy", "phase", "next_phase", "gates"),
        *_integers("rows_old", "rows_both", "rows_new"),
        *_booleans("held"),
    ),
    _show(
        "BACKFILL",
        "how far each backfill is, what it waits for",
        shows.backfill,
        *text("migration", "empties", "status", "reason"),
        *_booleans("paused"),
        *text("settings"),
        *_integers("rows_done", "rows_total"),
        *_numbers("percent", "rows_per_s", "eta_s"),
        *_integers("workers", "bad_rows"),
        *text("waited"),
    ),
    _show(
        "PROXIES",
        "every proxy of this database, and how far it has come along",
        shows.proxies,
        *text("id", "application_name", "host"),
        *_integers("pid"),
        *_booleans("live"),
        *_integers("epoch_acked", "epoch", "transactions", "transactions_behind"),
        *_numbers("oldest_behind_s", "heartbeat_age_s"),
        *text("closed"),
    ),
    _show(
        "CLIENTS",
        "the clients of this process",
        shows.clients,
        *text("user", "database", "application_name", "shape", "address"),
        *_booleans("encrypted"),
        *text("state"),
        *_integers("epoch"),
        *_numbers("age_s"),
    ),
    _show(
        "SERVERS",
        "its connections to PostgreSQL",
        shows.servers,
        *_integers("pid"),
        *_booleans("encrypted"),
        *text("user", "database", "application_name", "state"),
    ),
    _show(
        "STATEMENTS",
        "what was sent in the phase expanded, and the phases that would refuse it",
        shows.statements,
        *text("migration", "shape"),
        *_integers("seen"),
        *text("statement", "refused_in", "senders", "last_seen"),
    ),
    _show(
        "USAGE",
        "who uses which shape of which migration",
        shows.usage,
        *text("migration", "shape", "application_name", "user"),
        *_integers("statements"),
        *text("last_seen"),
        *_numbers("age_s"),
        *text("sample"),
    ),
    _show(
        "REFUSALS",
        "the latest statements that this process refused",
        shows.refusals,
        *text("migration", "sqlstate", "reason", "application_name", "user"),
        *_integers("times"),
        *text("last_at", "statement"),
    ),
    _show("STATS", "the metrics of this process", shows.stats, *text("name", "labels"), *_numbers("value")),
    _show("CONFIG", "the settings that are in force", shows.config, *text("name", "value")),
    _show("VERSION", "the version of pgjanus", shows.version, *text("version")),
    _act("PAUSE BACKFILL", "[m]", "tells the workers of a migration to stop for now", acts.pause_backfill),
    _act("RESUME BACKFILL", "[m]", "lets them go on", acts.resume_backfill),
    _act(
        "SET",
        "backfill.NAME = 'VALUE' [FOR m]",
        "another limit for running workers, by its name in the migration file",
        acts.set_backfill,
    ),
    _act("RESET BACKFILL", "[m]", "the limits of the migration file again", acts.reset_backfill),
    _act("ADVANCE", "m [TO phase] [FORCE] [TIMEOUT seconds]", "one rung up, or up to a phase", acts.advance),
    _act("ROLLBACK", "m [TO phase] [TIMEOUT seconds]", "one rung down, or down to a phase", acts.rollback),
    Command(
        ("EXPLAIN",),
        "[(MIGRATION m, PHASE p, SHAPE old|new)] statement",
        "what becomes of a statement",
        acts.explain_statement,
        text("phase", "shape", "outcome", "statement", "message", "hint"),
    ),
    _act("RELOAD", "", "reads the settings file and the certificates again", acts.reload),
    _act("DRAIN", "", "ends this proxy, as SIGTERM does", acts.drain),
)


def find(words: Words) -> Command:
    """The command that a text begins with; its name is taken from the words.

    Raises:
        ConsoleError: there is no such command.
    """
    for command in COMMANDS:
        if words.skip(command.name):
            return command
    said = " ".join(word.text.upper() for word in words.words[:2])
    near = get_close_matches(said, [" ".join(command.name) for command in COMMANDS], n=1)
    hint = f"{f'Did you mean {near[0]}? ' if near else ''}{LISTED}"
    raise ConsoleError(SYNTAX_ERROR, f"the console has no command {said}", hint, words.start + 1)
