"""Client encodings: names, literals and error positions of a managed table, byte by byte as on an unmigrated twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from proxy.wire.encodings import codec_of
from proxy.wire.messages import ErrorFields, message, read_row_description
from rules.changes import quote_identifier
from rules.loader import load_file
from rules.migration import ManagedTable
from rules.phases import Strategy, phase_named
from rules.planner import plan
from rules.snapshot import Snapshot
from tests.conftest import Server
from tests.playbook import SYNC, OrderedPins, RawClient, bind, describe, execute, kinds, local_proxy, parse
from tests.twin import expand, read_catalog

PHASES = [phase_named(Strategy.DUAL_WRITE, "writing_both"), phase_named(Strategy.BOTH, "dual")]


@dataclass(frozen=True)
class Script:
    """A table, its column, and two values for it."""

    table: str
    column: str
    first: str
    second: str


LATIN = Script("straße", "größe", "Ärger Übel", "Größer als ß")
JAPANESE = Script("表示", "ソース", "能力 十分", "ソ表 構造")  # second bytes 5C: a backslash in Shift JIS
CHINESE = Script("功能", "許可", "蓋 功", "許功 蓋許")  # the same in Big5
CYRILLIC = Script("таблица", "имя", "Анна Ярость", "Ы Ъ")
GREEK = Script("ΟΔΟΣ", "όνομα", "Σ ς", "ΑΣ σας")
ARABIC = Script("جدول", "اسم", "علي بن", "ب ت")
ASTRAL = Script("tab😀le", "na𝒳me", "𝒳 😀", "😀😀 é")
KOREAN = Script("사용자", "이름", "김 철수", "가 나다")

ENCODINGS = {
    **dict.fromkeys(["UTF8", "LATIN1", "LATIN9", "WIN1252", "LATIN5", "LATIN2", "LATIN10", "WIN1257"], LATIN),
    **dict.fromkeys(["SJIS", "EUC_JP", "EUC_JIS_2004", "SHIFT_JIS_2004"], JAPANESE),
    **dict.fromkeys(["BIG5", "GBK", "GB18030", "EUC_TW"], CHINESE),
    **dict.fromkeys(["WIN1251", "KOI8R", "KOI8U", "WIN866", "ISO_8859_5"], CYRILLIC),
    **dict.fromkeys(["WIN1253", "ISO_8859_7"], GREEK),
    "WIN1256": ARABIC,
    **dict.fromkeys(["EUC_KR", "UHC"], KOREAN),
    "utf-8": ASTRAL,
}
SCRIPTS = list(dict.fromkeys(ENCODINGS.values()))


def statements(script: Script) -> list[str]:
    table, column = quote_identifier(script.table), quote_identifier(script.column)
    a, b = script.first, script.second
    return [
        f"SELECT * FROM {table} ORDER BY id",
        f"SELECT {column}, '{a}' AS {column} FROM {table} WHERE {column} = '{b}' -- {b}",
        f"/* {a} */ INSERT INTO {table} (id, {column}) VALUES (3, '{a}'), (4, '{b}'), (5, E'\\n{a}') RETURNING *",
        f"UPDATE {table} /*{b}*/ SET {column} = '{a}' || {column} || $${b}$$ WHERE {column} <> '{b}' RETURNING *",
        f"UPDATE {table} SET {column} = '{b}' WHERE {table}.{column} LIKE '%{a[:1]}%'",
        f"SELECT {table}.* FROM {table} WHERE '{a}' = {column}",
        f"SELECT '{a}', nope FROM {table}",
        f"SELECT '{b}' || {column}, {column} + 1 FROM {table}",
        f"SELECT '{a}' FROM {table} WHERE {column} = '{b}' AND 1/(id - id) > 0",
        f"UPDATE {table} SET {column} = '{a}', id = '{b}'",
        f"SELECT '{a}' {table} FROM {table} GROUP BY nonsense",
        f"SELECT {column} '{a}' FROM {table}",
        f'PREPARE "{a}" AS SELECT {column} FROM {table} WHERE {column} = $1',
        f"EXECUTE \"{a}\" ('{a}')",
        f'DEALLOCATE "{a}"',
        f"SELECT U&'\\0041{a}' FROM {table}",
        f"DELETE FROM {table} WHERE {column} = '{a}' RETURNING '{b}', {column}",
    ]


@dataclass
class Ends:
    direct: str
    managed: str
    port: int
    proxy_port: int
    names: dict[tuple[str, int], str]


@pytest.fixture(scope="module")
def ends(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    folder = tmp_path_factory.mktemp("encodings")
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        for name in ("encoded_direct", "encoded_managed"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name}".encode())
            with psycopg.connect(server.url(name), autocommit=True) as connection:
                for script in SCRIPTS:
                    connection.execute(definition(script).encode())
        snapshot = manage(server.url("encoded_managed"), folder)
        with local_proxy(server.port, pins=OrderedPins(snapshot), planner=plan) as proxy:
            yield Ends("encoded_direct", "encoded_managed", server.port, proxy.port, {})
        for name in ("encoded_direct", "encoded_managed"):
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def definition(script: Script) -> str:
    table, column = quote_identifier(script.table), quote_identifier(script.column)
    return (
        f"CREATE TABLE {table} (id int PRIMARY KEY, {column} text);"
        f"INSERT INTO {table} VALUES (1, '{script.first}'), (2, '{script.second}')"
    )


def manage(url: str, folder: Path) -> Snapshot:
    """Every table in the middle of a migration, half of them where reads convert."""
    catalog, specs = read_catalog(url), []
    for number, script in enumerate(SCRIPTS):
        column = quote_identifier(script.column)
        file = folder / f"m{number}.yaml"
        file.write_text(
            f"table: 'public.{quote_identifier(script.table)}'\n"
            f"operations:\n"
            f"  - split_column:\n"
            f"      column: {script.column}\n"
            f"      into:\n"
            f"        {script.column}1: {{type: text, up: '\"{script.column}\" || ''{script.first}'''}}\n"
            f"        {script.column}2: {{type: text, up: 'upper({column})'}}\n"
            f'      down: \'substr("{script.column}1", 1, length("{script.column}1") - {len(script.first)})\'\n'
        )
        specs.append((load_file(file), PHASES[number % 2]))
    with psycopg.connect(url, autocommit=True) as connection:
        for spec, phase in specs:
            relation = catalog.relations[spec.table]
            expand(connection, ManagedTable(spec.compile(relation), phase, relation))
    catalog = read_catalog(url)
    tables = {}
    for spec, phase in specs:
        relation = catalog.relations[spec.table]
        tables[spec.table] = ManagedTable(spec.compile(relation), phase, relation)
    return Snapshot(1, catalog, tables)


def answers(client: RawClient, texts: list[bytes], extended: bool) -> list[list[tuple[bytes, Any]]]:
    found = []
    client.send(message(b"Q", b"BEGIN\0"))
    client.until(b"Z")
    for text in texts:
        client.send(message(b"Q", b"SAVEPOINT s\0"))
        client.until(b"Z")
        if extended:
            client.send(message(b"P", b"\0" + text + b"\0\0\0"), bind("", ""), describe("P"), execute(), SYNC)
        else:
            client.send(message(b"Q", text + b"\0"))
        messages = [shown(kind, body) for kind, body in client.until(b"Z")]
        rows = sorted(m for m in messages if m[0] == b"D")  # no order was asked for
        found.append([rows.pop(0) if m[0] == b"D" else m for m in messages])
        if any(kind == b"E" for kind, _ in found[-1]):
            client.send(message(b"Q", b"ROLLBACK TO s\0"))
            client.until(b"Z")
    client.send(message(b"Q", b"ROLLBACK\0"))
    client.until(b"Z")
    return found


def shown(kind: bytes, body: bytes) -> tuple[bytes, Any]:
    if kind == b"T":
        return kind, [(f.name, f.attnum, f.type_oid, f.typmod, f.wire_format) for f in read_row_description(body)]
    if kind == b"E":
        error = ErrorFields.read(body)
        return kind, tuple(error.get(code) for code in (b"C", b"P", b"M"))
    return kind, body


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_managed_table_in_any_encoding(ends: Ends, encoding: str, extended: bool) -> None:
    codec = codec_of(encoding)
    script = ENCODINGS[encoding]
    options = {"client_encoding": encoding}
    with (
        RawClient(ends.port, ends.direct, options) as plain,
        RawClient(ends.proxy_port, ends.managed, options) as proxied,
    ):
        if codec is None:
            text = f'SELECT 1 FROM "{script.table}"'.encode()
            assert answers(proxied, [text], extended)[0][0][1][0] == b"0A000"
            return
        texts = [sql.encode(codec) for sql in statements(script)]
        expected, seen = answers(plain, texts, extended), answers(proxied, texts, extended)
    for sql, one, other in zip(statements(script), expected, seen, strict=True):
        assert other == one, f"{encoding}: {sql}"
    assert sum(any(kind == b"E" for kind, _ in one) for one in expected) <= 8


def test_a_prepared_statement_outlives_the_encoding_it_was_sent_in(ends: Ends) -> None:
    """What the server has needs no sending again, least of all in an encoding without its characters."""
    text = f"UPDATE {CYRILLIC.table} SET id = id WHERE {CYRILLIC.column} IS NOT NULL"
    for port, database in ((ends.port, ends.direct), (ends.proxy_port, ends.managed)):
        with RawClient(port, database, {"client_encoding": "UTF8"}) as client:
            client.send(parse("p", text), bind("", "p"), execute(), SYNC)
            assert kinds(client.until(b"Z")) == "12CZ"
            client.query("SET client_encoding = 'LATIN1'")
            client.send(bind("", "p"), execute(), SYNC)
            assert client.until(b"Z")[1] == (b"C", b"UPDATE 2\0")
