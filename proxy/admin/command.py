"""`POST /command`: one command of the console, for whoever has the token. The status page uses it."""

from __future__ import annotations

import hmac
from typing import Final

import structlog
from aiohttp import web

from proxy.admin.state import DESK, GATEWAY
from proxy.console.commands import find
from proxy.console.desk import Call
from proxy.console.errors import NOT_SUPPORTED, ConsoleError
from proxy.console.session import as_console_error
from proxy.console.words import Words, split
from proxy.errors import SettingsError

_SCHEME: Final = "Bearer "
#: The server is in another state than the command needs, or does not know it: the answer says which.
_REFUSED: Final = 409

log = structlog.get_logger(__name__)


async def command(request: web.Request) -> web.Response:
    """Run the text of the request. It goes on to its end if the browser does not wait for it.

    The token is in a header that no other site's page can send, so a link cannot act in somebody's name.

    Returns:
        JSON: `notices`, `columns` and `rows`; or `error` and `hint`, with 401 without the token, 404 where there is
        none in the settings, 409 if the command says no.
    """
    try:
        token = request.app[GATEWAY].file.admin.token()
    except SettingsError as error:  # the file has gone since the settings were found to be right
        log.error("admin_token_unreadable", reason=str(error))
        token = None
    if token is None:
        return _no(404, "this page only shows", "Set admin.token_file in pgjanus.yaml.")
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(errors="replace"), f"{_SCHEME}{token}".encode()):
        log.warning("admin_token_wrong", address=request.remote)
        return _no(401, "this is not the token", "It is in admin.token_file of pgjanus.yaml.")
    notices: list[str] = []
    try:
        (words,) = _only_one(await request.text())
        what = find(words)
        if what.changes:
            log.info("admin_command", address=request.remote, command=words.source[words.start : words.end])
        rows = await what.run(Call(request.app[DESK], words, notices.append))
    except ConsoleError as error:
        return _no(_REFUSED, error.message, error.hint, notices)
    except Exception as error:
        said = as_console_error(error)
        return _no(_REFUSED, said.message, said.hint, notices)
    columns = [column.name for column in what.columns]
    return web.json_response({"notices": notices, "columns": columns, "rows": [list(row) for row in rows or ()]})


def _only_one(text: str) -> list[Words]:
    commands = list(split(text))
    if len(commands) != 1:
        raise ConsoleError(NOT_SUPPORTED, "one command at a time")
    return commands


def _no(status: int, error: str, hint: str, notices: list[str] | None = None) -> web.Response:
    return web.json_response({"error": error, "hint": hint, "notices": notices or []}, status=status)
