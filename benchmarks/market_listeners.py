"""``python -m benchmarks.market_listeners``: sockets that listen to one topic until its last message, and nothing more.

They look at bytes only, so that on a small machine the exchange is what is measured. Tells ``ready`` when all are
subscribed, and ``done`` when each has got a message with the marker.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from typing import cast

import uvloop

_HANDSHAKE = (
    "GET /v5/public/linear HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_ACKNOWLEDGED = b'"ret_msg":"subscribe"'


class Listener(asyncio.Protocol):
    """One socket; ``subscribed`` and ``done`` are set as it gets that far."""

    def __init__(self, port: int, topic: str, marker: bytes) -> None:
        self.subscribed = asyncio.Event()
        self.done = asyncio.Event()
        self._handshake = _HANDSHAKE.format(port=port).encode()
        self._request = _masked(f'{{"op":"subscribe","args":["{topic}"]}}'.encode())
        self._marker = marker
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        seen = self._tail + data
        self._tail = seen[-200:]
        if not self.subscribed.is_set():
            if b"101 Switching" in seen and self._transport is not None:
                self._transport.write(self._request)
            if _ACKNOWLEDGED in seen:
                self.subscribed.set()
        if self._marker in seen:
            self.done.set()


def _masked(payload: bytes) -> bytes:
    """A text frame as a client sends it; the mask is 0."""
    assert len(payload) < 126
    return struct.pack("!BB", 0x81, 0x80 | len(payload)) + bytes(4) + payload


async def listen(port: int, count: int, topic: str, marker: bytes) -> None:
    listeners = [Listener(port, topic, marker) for _ in range(count)]
    loop = asyncio.get_running_loop()
    for listener in listeners:
        await loop.create_connection(lambda listener=listener: listener, "127.0.0.1", port)
    for listener in listeners:
        await listener.subscribed.wait()
    os.write(1, b"ready\n")
    for listener in listeners:
        await listener.done.wait()
    os.write(1, b"done\n")


if __name__ == "__main__":
    uvloop.run(listen(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4].encode()))
