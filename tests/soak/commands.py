"""`pgjanus …` as a process of its own, as an operator would start it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable


async def pgjanus(url: str, *arguments: str, say: Callable[[str], None]) -> None:
    """Run it and pass on what it prints; SystemExit if it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "proxy", *arguments),
        env={**os.environ, "PGJANUS_DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        say(line.decode(errors="replace").rstrip())
    if await process.wait() != 0:
        raise SystemExit(f"pgjanus {' '.join(arguments)} failed")
