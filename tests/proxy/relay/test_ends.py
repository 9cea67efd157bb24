from __future__ import annotations

import asyncio
import socket

import uvloop

from proxy.relay.ends import End


def test_a_farewell_after_the_end_of_data_is_not_written_and_does_no_harm() -> None:
    """A proxy that shuts down says goodbye also to a server whose client has just closed its half."""

    async def scenario() -> bytes:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(lambda: End(lambda: None), sock=ours)
        end.write(b"before")
        end.end_of_data()
        end.write(b"after")
        end.close()
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            return await reader.read()
        finally:
            writer.close()

    assert uvloop.run(scenario()) == b"before"
