"""The status page in a real browser, driven by its own protocol, while a migration goes its way."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from proxy.ladder.climb import advance, start
from proxy.ports import free_ports
from tests.conftest import Database, StartProxy
from tests.system.ladder_case import NAME, USERS, operator_of, spec

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "0123456789abcdef"
_PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


class Tab:
    """`complaints`: what the browser has logged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = await asyncio.wait_for(self._socket.receive_json(), 20)
            if said.get("id") == self._number:
                return said["result"]
            if said["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.complaints.append(said)

    async def value(self, script: str) -> Any:
        return (await self.call("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def until(self, script: str) -> None:
        async with asyncio.timeout(30):
            while not await self.value(script):  # noqa: ASYNC110 - it happens in the browser
                await asyncio.sleep(0.05)


@asynccontextmanager
async def phone(directory: Path) -> AsyncIterator[Tab]:
    port = free_ports(1)[0]
    assert CHROMIUM is not None
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", f"--remote-debugging-port={port}"]
    browser = subprocess.Popen(  # noqa: ASYNC220 - it takes no time
        [CHROMIUM, *arguments, f"--user-data-dir={directory}", "about:blank"], stderr=subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            tabs: list[dict[str, Any]] = []
            while not tabs:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                        tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
            async with http.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Runtime", "Log", "Page"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Emulation.setDeviceMetricsOverride", **_PHONE)
                yield tab
    finally:
        browser.terminate()
        browser.wait(20)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
async def test_the_page_follows_a_migration_on_a_telephone(
    database: Database, start_proxy: StartProxy, tmp_path: Path
) -> None:
    database.connect().execute(USERS)
    config = tmp_path / "pgjanus.yaml"
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    config.write_text(f"observe: {{every_s: 0.1}}\nadmin: {{token_file: {tmp_path / 'token'}}}")
    proxy = start_proxy(database, "--config", str(config))
    async with phone(tmp_path / "profile") as tab:
        await tab.call("Page.navigate", url=f"http://127.0.0.1:{proxy.admin_port}/")
        await tab.until("document.body.textContent.includes('none in this database')")
        async with operator_of(database) as operator:
            await start(operator, spec())
        await tab.until("document.querySelector('li.here')?.textContent === 'expanded'")
        with psycopg.connect(proxy.url(), application_name="<b>billing</b>", autocommit=True) as old:
            old.execute("SELECT full_name FROM users")
        await tab.until("document.body.textContent.includes('<b>billing</b> as postgres, 1 statements')")
        assert await tab.value("document.querySelector('main b')") is None
        await tab.until("new Set(document.querySelector('polyline.old').points.length &&"
                        " [...document.querySelector('polyline.old').points].map(p => p.y)).size > 1")  # fmt: skip
        await tab.until("!document.getElementById('operate').hidden && act.migration.value")
        await tab.value("window.confirm = text => { window.asked = text; return true }; act.token.value = 'guess';"
                        " act.requestSubmit()")  # fmt: skip
        await tab.until("said.textContent.includes('this is not the token') && !act.lastElementChild.disabled")
        await tab.value(f"act.token.value = '{TOKEN}'; act.requestSubmit()")
        await tab.until("said.textContent !== '' && !act.lastElementChild.disabled")
        assert "is in phase writing_both" in await tab.value("said.textContent")
        assert await tab.value("window.asked") == f'ADVANCE "{NAME}"?'
        await tab.until("document.querySelector('li.here')?.textContent === 'writing_both'")
        assert [c for c in tab.complaints if "401" not in str(c)] == [], "the browser logs the wrong token"
        tab.complaints.clear()
        async with operator_of(database) as operator:
            await advance(operator, NAME, "reading_new")
            await tab.until("document.querySelector('li.here')?.textContent === 'reading_new'")
            assert await tab.value("document.querySelector('progress').value") == 100
            await advance(operator, NAME, "contracted", force=True)
            await tab.until("document.querySelector('li.here')?.textContent === 'contracted'")
        shot = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
        (tmp_path / "page.png").write_bytes(b64decode(shot["data"]))
        assert await tab.value("document.documentElement.scrollWidth") == _PHONE["width"]
        assert tab.complaints == []
