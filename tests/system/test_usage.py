"""Who uses which shape, as real proxies write it down, and what `advance --to contracted` makes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.database import connect
from proxy.ladder.climb import abort, start
from proxy.usage import store
from proxy.usage.counting import OTHERS, Sender, Use
from rules.phases import Shape
from tests.conftest import Database, StartProxy
from tests.system.ladder_case import NAME, USERS, operator_of, spec
from tests.world import FOLDERS

_WAIT_SECONDS = 30
RECIPE = FOLDERS[0] / "split_column.yaml"


def pgjanus(database: Database, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--database-url", database.url], catch_exceptions=False)


def used(database: Database) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By application_name, user and shape."""
    found = json.loads(pgjanus(database, "usage", NAME, "--json").stdout)
    return {(u["application_name"], u["user"], u["shape"]): u for u in found}


def wait_for(database: Database, what: Callable[[dict[tuple[str, str, str], dict[str, Any]]], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not what(found := used(database)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_contracted_waits_until_the_old_shape_was_not_used_for_the_quiet_period(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    session = database.connect()
    session.execute(USERS)
    config = tmp_path / "pgjanus.yaml"
    config.write_text("observe: {every_s: 0.1}\n")
    proxies = [start_proxy(database, "--config", str(config)) for _ in range(2)]
    assert pgjanus(database, "start", str(RECIPE)).exit_code == 0
    assert pgjanus(database, "advance", NAME, "--to", "new_only").exit_code == 0
    for proxy in proxies:
        with psycopg.connect(proxy.url(), application_name="billing", autocommit=True) as old:
            for i in range(10):
                old.execute("SELECT full_name FROM users WHERE full_name <> %s", (f"secret {i}",))
            old.execute("SELECT 1")
            old.execute("SELECT count(id) FROM users")
        with psycopg.connect(proxy.url("new"), application_name="shop", autocommit=True) as new:
            new.execute("UPDATE users SET first_name = 'secret' WHERE id = 1")
    billing, shop = ("billing", "postgres", "old"), ("shop", "postgres", "new")
    wait_for(database, lambda f: f.get(billing, {}).get("statements") == 20 and f.get(shop, {}).get("statements") == 2)
    assert used(database)[billing]["sample"] == "SELECT full_name FROM users WHERE full_name <> $1"
    assert "secret" not in pgjanus(database, "usage").stdout
    minutes = dict(session.execute("SELECT shape, sum(statements)::int FROM pgjanus.usage_minutes GROUP BY 1"))
    assert minutes == {"old": 20, "new": 2}

    refused = pgjanus(database, "advance", NAME)
    assert refused.exit_code == 1
    assert "the old shape was used within the last 1 day, by billing as postgres, last" in refused.stderr
    assert "shop" not in refused.stderr and "--force" in refused.stderr
    assert session.execute("SELECT phase FROM pgjanus.migrations").fetchone() == ("new_only",)

    for proxy in proxies:
        assert proxy.stop() == 0
    session.execute("UPDATE pgjanus.usage SET last_seen = last_seen - interval '25 hours' WHERE shape = 'new'")
    refused = pgjanus(database, "advance", NAME, "--to", "contracted")
    assert refused.exit_code == 1, "the new shape does not count, and proxies that ended have left what they saw"
    forced = pgjanus(database, "advance", NAME, "--to", "contracted", "--force", "--json")
    assert json.loads(forced.stdout)["phase"] == "contracted"
    assert "warning: the old shape was used within the last 1 day, by billing as postgres" in forced.stderr
    assert len(used(database)) == 2, "what is over is still told"


def test_what_is_older_than_the_quiet_period_holds_nobody_up(database: Database, tmp_path: Path) -> None:
    session = database.connect()
    session.execute(USERS)
    file = tmp_path / RECIPE.name
    file.write_text(RECIPE.read_text() + "\nquiet_period: 2h\n")
    assert pgjanus(database, "start", str(file)).exit_code == 0
    session.execute(
        "INSERT INTO pgjanus.usage (migration, shape, application_name, username, statements, sample, last_seen)"
        " VALUES (%s, 'old', '', 'app', 1, '', now() - interval '119 minutes')",
        (NAME,),
    )
    refused = pgjanus(database, "advance", NAME, "--to", "contracted")
    assert "within the last 2 hours, by (no application_name) as app, last 1 hour ago" in refused.stderr
    session.execute("UPDATE pgjanus.usage SET last_seen = now() - interval '121 minutes'")
    assert pgjanus(database, "advance", NAME, "--to", "contracted").exit_code == 0


async def test_many_senders_are_merged_and_those_beyond_the_limit_are_counted_together(database: Database) -> None:
    database.connect().execute(USERS)
    async with operator_of(database) as operator:
        await start(operator, spec())
    connection = await connect(database.url)
    try:
        many = {Sender(NAME, Shape.OLD, f"app {i}", "u"): Use(1, "x") for i in range(store.ROWS_LIMIT + 7)}
        gone = {Sender("aborted", Shape.OLD, "app", "u"): Use(1, "x")}
        for _ in range(2):
            await store.add(connection, many | gone)
        found = {u.sender: u for u in await store.read(connection)}
        others = found.pop(Sender(NAME, Shape.OLD, *OTHERS))
        assert (len(found), {u.statements for u in found.values()}) == (store.ROWS_LIMIT, {2})
        assert others.statements == 14
        minutes = await store.read_minutes(connection, NAME)
        assert sum(count for _, _, count in minutes) == 2 * (store.ROWS_LIMIT + 7)
        await connection.execute("UPDATE pgjanus.usage_minutes SET minute = minute - interval '25 hours'")
        await store.forget_minutes(connection)
        assert await store.read_minutes(connection, NAME) == []
    finally:
        await connection.close()
    async with operator_of(database) as operator:
        await abort(operator, NAME)
    assert database.connect().execute("SELECT count(*) FROM pgjanus.usage").fetchone() == (0,)
