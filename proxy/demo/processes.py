"""The demo's processes: the proxy, and one per command, all from one directory with one environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from proxy.demo.screen import Screen
from proxy.ports import free_ports
from rules.errors import PgjanusError

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_LOG_LINES_SHOWN: Final = 10


class DemoError(PgjanusError):
    """The demo found something that should not be; its text says what."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the proxy listens: for clients of the old shape and of the new one."""

    old: int
    new: int


@dataclass
class Pgjanus:
    """`pgjanus …` as a user would type it: shown first, then run in a process of its own."""

    screen: Screen
    directory: Path
    database_url: str
    _environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # The directory is not the source's, and the demo also runs from a source that is not installed.
        source = str(Path(__file__).parent.parent.parent)
        self._environment = {
            **os.environ,
            "PGJANUS_DATABASE_URL": self.database_url,
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        }

    async def run(self, *arguments: str) -> None:
        """Run one command and show what it prints.

        Raises:
            DemoError: it did not exit with 0.
        """
        line = " ".join(("pgjanus", *arguments))
        self.screen.command(line)
        process = await self._spawn(arguments, asyncio.subprocess.PIPE)
        printed: list[str] = []
        try:
            assert process.stdout is not None
            async for raw in process.stdout:
                printed.append(raw.decode(errors="replace").rstrip())
                self.screen.say(printed[-1])
            code = await process.wait()
        finally:
            await _end(process)
        if code != 0:
            raise DemoError(f"`{line}` ended with exit code {code}: {' / '.join(printed[-3:])}")

    @asynccontextmanager
    async def serve(self, server_port: int) -> AsyncIterator[Ports]:
        """The proxy, which ends with the block.

        Raises:
            DemoError: it does not start, or was gone before the block ended.
        """
        old, new, admin = free_ports(3)
        arguments = (
            *("serve", "--server", f"postgresql://127.0.0.1:{server_port}"),
            *("--listen", f"127.0.0.1:{old}", "--listen-new", f"127.0.0.1:{new}", "--admin", f"127.0.0.1:{admin}"),
        )
        self.screen.command(" ".join(("pgjanus", *arguments, "&")))
        log = self.directory / "proxy.log"
        with log.open("wb") as output:
            process = await self._spawn(arguments, output)
        try:
            for port in (old, new):
                await _listening(port, process)
            yield Ports(old, new)
            if process.returncode is not None:
                raise DemoError(f"the proxy ended with exit code {process.returncode} before the demo did")
        except DemoError:
            for line in log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]:
                self.screen.say(f"proxy: {line}")
            raise
        finally:
            await _end(process)

    async def _spawn(self, arguments: tuple[str, ...], output: int | IO[bytes]) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C is for the demo, which ends its processes in order.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.directory,
            env=self._environment,
            start_new_session=True,
        )


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None or time.monotonic() > deadline:
                raise DemoError(f"the proxy does not listen on port {port}") from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
