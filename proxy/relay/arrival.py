"""A client until it is known what it wants: encryption is agreed on, and its first packet read."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from proxy.conversation.opening import Answer, Begin, Encrypt, Opening, Reject
from proxy.relay.encryption import client_handshake
from proxy.relay.ends import End
from proxy.relay.gateway import Gateway
from proxy.wire.tls import TlsStream


class Arrival:
    """
    Args:
        close: ends the connection with these last words.
    """

    def __init__(self, gateway: Gateway, client: End, close: Callable[[bytes], None]) -> None:
        self._gateway, self._client, self._close = gateway, client, close
        self._opening = Opening(gateway.encryption)

    def receive(self, data: bytes) -> Begin | None:
        """What the client wants, when that is known."""
        for event in self._opening.receive(data):
            match event:
                case Answer(answer):
                    self._client.write(answer)
                case Reject(answer):
                    self._close(answer)
                case Encrypt():
                    self._encrypt(event)
                case Begin():
                    return event
                case _:
                    assert_never(event)
        return None

    def _encrypt(self, event: Encrypt) -> None:
        context = self._gateway.client_tls
        if context is None:
            self._close(b"")  # a reload has taken it away since the client was told that there is encryption
            return
        if event.answer:
            self._client.write(event.answer)
        shaken = client_handshake(self._refuse if event.direct else None)
        self._client.encrypt(TlsStream(context, server_side=True), shaken, event.received)

    def _refuse(self) -> None:
        self._close(b"")
