"""What there is to do. ADVANCE and ROLLBACK are `pgjanus advance` and `rollback`, in a process of their own: what they
compute must not stand in the way of clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Final

import click

from proxy.cli.controls import change, given_changes
from proxy.cli.explain import Asked, explain, explained
from proxy.console.cells import Row
from proxy.console.desk import Call
from proxy.console.errors import INVALID_VALUE, NOT_IN_STATE, ConsoleError
from proxy.control import registry
from rules.backfill import LIVE
from rules.phases import Shape

#: To put everything in order after an interruption, before it is killed.
_GRACE_SECONDS: Final = 20.0
_PREFIX: Final = "pgjanus: "
_SETTING: Final = "backfill."


async def advance(call: Call) -> None:
    await _step(call, "advance", may_force=True)


async def rollback(call: Call) -> None:
    await _step(call, "rollback", may_force=False)


async def _step(call: Call, verb: str, *, may_force: bool) -> None:
    words = call.words
    arguments = [words.take("the migration's name")]
    while words:
        if words.skip(("TO",)):
            arguments += ["--to", words.take("the phase")]
        elif words.skip(("TIMEOUT",)):
            arguments += ["--timeout", words.take("a number of seconds")]
        elif may_force and words.skip(("FORCE",)):
            arguments.append("--force")
        else:
            words.finish()
    outcome = await _pgjanus(call, verb, *arguments, "--json")
    call.notice(f"{outcome['migration']} is in phase {outcome['phase']}")


async def _pgjanus(call: Call, *arguments: str) -> dict[str, object]:
    """What a command of the command line prints; its progress as notices. If this is cancelled, it is interrupted.

    Raises:
        ConsoleError: it says no.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Not among the arguments, which everybody on the machine can read.
        env={**os.environ, "PGJANUS_DATABASE_URL": call.desk.url},
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    printing = asyncio.create_task(process.stdout.read())
    said: list[str] = []
    try:
        async for raw in process.stderr:
            line = raw.decode(errors="replace").strip()
            said.append(line)
            if line and not line.startswith(_PREFIX):
                call.notice(line)
        printed, code = await printing, await process.wait()
    finally:
        await _end(process)
        printing.cancel()
    if code:
        last = said[-1] if said else f"it ended with {code}"
        raise ConsoleError(NOT_IN_STATE, last.removeprefix(_PREFIX), "SHOW MIGRATIONS tells where it stands.")
    found: dict[str, object] = json.loads(printed)
    return found


async def _end(process: asyncio.subprocess.Process) -> None:
    """As Ctrl-C does, to which it may be deaf; what it holds in the database it gives back."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def pause_backfill(call: Call) -> None:
    await _change(call, await _migration(call), paused=True)


async def resume_backfill(call: Call) -> None:
    await _change(call, await _migration(call), paused=False)


async def reset_backfill(call: Call) -> None:
    await _change(call, await _migration(call), paused=None, reset=True)


async def set_backfill(call: Call) -> None:
    words = call.words
    name = words.take("backfill.NAME").lower()
    if not name.startswith(_SETTING) or name.removeprefix(_SETTING) not in LIVE:
        raise ConsoleError(
            INVALID_VALUE, f"{name} cannot be set", f"One of {', '.join(_SETTING + known for known in LIVE)}."
        )
    if not (words.skip(("=",)) or words.skip(("TO",))):
        raise words.wrong("= is missing")
    value = words.take("a value, such as '1s'")
    try:
        changes = given_changes((f"{name.removeprefix(_SETTING)}={value}",), None, None)
    except click.BadParameter as error:
        raise ConsoleError(INVALID_VALUE, error.message, "Values are those of the migration file.") from error
    await _change(call, await _migration(call, ("FOR",)), paused=None, changes=changes)


async def _change(
    call: Call, migration: str, *, paused: bool | None, changes: dict[str, object] | None = None, reset: bool = False
) -> None:
    controls, workers = await change(call.desk.url, migration, paused, changes or {}, reset)
    told = ", ".join(f"{name} {value}" for name, value in (controls.settings or {}).items())
    state = "paused" if controls.paused else "not paused"
    call.notice(f"{migration}: {state}{f', {told}' if told else ''} ({workers} workers)")


async def _migration(call: Call, before: tuple[str, ...] = ()) -> str:
    """The one that is named; the only one, if none is.

    Args:
        before: what stands in front of the name.
    """
    words = call.words
    if words and (not before or words.skip(before)):
        name = words.take("the migration's name")
        words.finish()
        return name
    words.finish()
    return await _only_migration(call)


async def _only_migration(call: Call) -> str:
    async with call.desk.connection() as connection:
        names = [row.name for row in (await registry.read_state(connection)).migrations if row.is_active]
    if len(names) == 1:
        return names[0]
    known = f"There are {', '.join(names)}." if names else "There is none in this database: pgjanus start FILE."
    raise ConsoleError(INVALID_VALUE, "which migration?", known)


async def explain_statement(call: Call) -> list[Row]:
    words = call.words
    migration, phase, shape = None, None, Shape.OLD
    if words.skip(("(",)):
        while not words.skip((")",)):
            if words.skip(("MIGRATION",)):
                migration = words.take("the migration's name")
            elif words.skip(("PHASE",)):
                phase = words.take("the phase")
            elif words.skip(("SHAPE",)):
                shape = _shape(words.take("old or new"))
            elif not words.skip((",",)):
                raise words.wrong("MIGRATION, PHASE or SHAPE, and a closing parenthesis are missing")
    sql = words.take_rest()
    if not sql:
        raise words.wrong("the statement is missing")
    asked = Asked(migration or await _only_migration(call), phase, shape, call.desk.url)
    rows: list[Row] = []
    for name, plan in await explain(asked, sql):
        found = explained(plan)
        message = found.get("message", found.get("despite"))
        rows.append((name, shape.value, found["outcome"], found.get("sql"), message, found.get("hint") or None))
    return rows


def _shape(word: str) -> Shape:
    try:
        return Shape(word.lower())
    except ValueError:
        raise ConsoleError(INVALID_VALUE, f"{word!r} is no shape", "One of old, new.") from None


async def reload(call: Call) -> None:
    call.words.finish()
    why_not = call.desk.reload()
    if why_not is not None:
        raise ConsoleError(NOT_IN_STATE, f"nothing has changed: {why_not}", "Mend the file, and RELOAD.")
    call.notice("settings and certificates are read again")


async def drain(call: Call) -> None:
    call.words.finish()
    call.notice("no more clients; this proxy ends when running transactions have ended")
    asyncio.get_running_loop().call_soon(call.desk.drain)
