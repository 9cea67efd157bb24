from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Address, ServerUrl, read_address, read_proxy_file, read_server_url
from proxy.errors import SettingsError
from rules.phases import Shape


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:6432", Address("127.0.0.1", 6432)),
        (":6432", Address("0.0.0.0", 6432)),
        ("[::1]:6432", Address("::1", 6432)),
        ("db.example:1", Address("db.example", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert read_address(text, "--listen") == address
    assert read_address(str(address), "--listen") == address


@pytest.mark.parametrize("text", ["", "6432", "host", "host:", "host:x", "host:0", "host:65536"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SettingsError, match="--listen"):
        read_address(text, "--listen")


@pytest.mark.parametrize(
    ("url", "address", "database"),
    [
        ("postgresql://db", Address("db", 5432), None),
        ("postgres://me:pass@db:6000/shop", Address("db", 6000), "shop"),
        ("postgresql://[::1]:5433/a%20b", Address("::1", 5433), "a b"),
        ("postgresql:///shop?host=/run/pg&port=5433", Address("/run/pg/.s.PGSQL.5433", 0), "shop"),
        ("postgresql://%2Frun%2Fpg/shop", Address("/run/pg/.s.PGSQL.5432", 0), "shop"),
        ("postgresql://db?dbname=shop", Address("db", 5432), "shop"),
    ],
)
def test_server_urls(url: str, address: Address, database: str | None) -> None:
    assert read_server_url(url, "--server") == ServerUrl(address, database)


@pytest.mark.parametrize("url", ["db:5432", "mysql://me:pass@db/", "postgresql://db:port/x"])
def test_what_is_no_server_url_is_said_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="--server") as caught:
        read_server_url(url, "--server")
    assert "pass@" not in str(caught.value)


def test_the_first_match_decides_the_shape(tmp_path: Path) -> None:
    path = tmp_path / "pgjanus.yaml"
    path.write_text(
        "clients:\n  - {user: 'etl_*', shape: old}\n  - {user: 'etl_9', shape: new}\n"
        "  - {database: shop, application_name: web, shape: new}\nlimits: {drain_timeout_s: 3}\n"
    )
    file = read_proxy_file(path)
    assert file.shape_for("etl_9", "shop", "web") is Shape.OLD
    assert file.shape_for("me", "shop", "web") is Shape.NEW
    assert file.shape_for("me", "other", "web") is None
    assert file.limits.drain_timeout_s == 3
    assert file.lease.seconds > 3 * file.lease.heartbeat_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clients: [", "not valid YAML"),
        ("klients: []", "klients"),
        ("clients: [{user: a}]", r"clients\.0\.shape"),
        ("limits: {drain_timeout_s: soon}", r"limits\.drain_timeout_s"),
        ("lease: {seconds: 2}", "at most a third"),
    ],
)
def test_a_wrong_settings_file_is_one_line_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pgjanus.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_proxy_file(path)
    assert "\n" not in str(caught.value)
