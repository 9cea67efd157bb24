"""Commands by HTTP: who may, and what they get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import Database, RunningProxy, StartProxy
from tests.system.ladder_case import NAME, USERS
from tests.system.test_usage import RECIPE, pgjanus

TOKEN = "a token of the operators' own".replace(" ", "-")


def post(proxy: RunningProxy, text: str, authorization: str | None = f"Bearer {TOKEN}") -> tuple[int, dict[str, Any]]:
    headers = {} if authorization is None else {"Authorization": authorization}
    request = Request(f"http://127.0.0.1:{proxy.admin_port}/command", text.encode(), headers)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_who_has_the_token_may_act(database: Database, start_proxy: StartProxy, tmp_path: Path) -> None:
    database.connect().execute(USERS)
    token, config = tmp_path / "token", tmp_path / "pgjanus.yaml"
    token.write_text(TOKEN)
    config.write_text(f"admin: {{token_file: {token}}}")
    proxy = start_proxy(database, "--config", str(config))
    assert pgjanus(database, "start", str(RECIPE)).exit_code == 0
    for wrong in (None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer é"):
        status, said = post(proxy, f"ADVANCE {NAME}", wrong and wrong.encode().decode("latin-1"))
        assert (status, said["error"]) == (401, "this is not the token"), wrong
    status, said = post(proxy, f"ADVANCE {NAME} TO writing_both")
    assert status == 200 and said["notices"][-1] == f"{NAME} is in phase writing_both"
    status, said = post(proxy, "SHOW MIGRATIONS")
    (shown,) = [dict(zip(said["columns"], row, strict=True)) for row in said["rows"]]
    assert (status, shown["name"], shown["phase"]) == (200, NAME, "writing_both")
    for text, problem in (
        ("", "one command"),
        ("SHOW HELP; SHOW HELP", "one command"),
        ("DROP TABLE users", "no command DROP"),
        ("ADVANCE nothing", "nothing"),
        ("ADVANCE", "name is missing"),
    ):
        status, said = post(proxy, text)
        assert status == 409 and problem in said["error"] and said["hint"], text
    token.write_text(TOKEN[::-1])
    assert post(proxy, "SHOW VERSION")[0] == 401, "another token counts at once"
    assert post(proxy, "SHOW VERSION", f"Bearer {TOKEN[::-1]}")[0] == 200
    token.unlink()
    assert post(proxy, "SHOW VERSION")[0] == 404
    assert TOKEN not in proxy.log


def test_without_a_token_nobody_may(database: Database, start_proxy: StartProxy) -> None:
    status, said = post(start_proxy(database), "SHOW VERSION")
    assert (status, said["error"]) == (404, "this page only shows")
    assert "admin.token_file" in said["hint"]


@pytest.mark.parametrize("token", ["", "short", "two words of many letters", "öffentlich ist das nicht", None])
def test_what_is_no_token_is_found_at_the_start(token: str | None, tmp_path: Path) -> None:
    from proxy.config import AdminSettings
    from proxy.errors import SettingsError

    file = tmp_path / "token"
    if token is not None:
        file.write_text(token)
    with pytest.raises(SettingsError, match=r"admin\.token_file"):
        AdminSettings(token_file=file).token()
