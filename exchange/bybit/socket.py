"""One connection of pybit's WebSocket classes, made to tell what happens to it instead of healing itself.

pybit signs, connects and pings. What it does after that can't be trusted to run for weeks: a callback's exception, a
refused topic or bad auth ends the stream without a word, ``subscribe`` may spin, its reconnect gives up in 0.1 s or
hammers. So these subclasses take every frame as it comes, reconnect never, and say when they are closed;
``exchange.bybit.channel`` and ``exchange.bybit.trade_socket`` do the rest.
"""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import websocket
from pybit._websocket_stream import _WebSocketManager
from pybit.unified_trading import WebSocket, WebSocketTrading

from exchange.protocol import Mode

CONNECT_SECONDS = 5.0
_ONE_ATTEMPT = 2  # pybit counts down before it looks: 1 fails always, 2 is one attempt (and a last one that fails)

# The library's only timeout knob is global. It bounds connecting, the handshake and a frame that stops half way.
websocket.setdefaulttimeout(CONNECT_SECONDS)

_PYBIT: dict[str, Any] = {
    "ping_interval": 0,  # pings come from the connection's keeper, two threads a socket fewer
    "retries": _ONE_ATTEMPT,
    "restart_on_error": False,
    "private_auth_expire": 5,
}

Frame = dict[str, Any]


@dataclass(frozen=True)
class SocketOptions:
    """``url`` (``http://host:port``) replaces Bybit's address; key and secret are used by the private channel only."""

    mode: Mode
    key: str = field(repr=False)
    secret: str = field(repr=False)
    url: str | None = None


class NotWritten(Exception):
    """The connection is gone: nothing of the message left."""


class _ToldSocket(_WebSocketManager):
    """What both kinds of connection share: every frame and the end are told, nothing is healed.

    ``on_frame`` gets every JSON frame on the reader thread, ``on_closed`` is called once when the connection ended.
    ``last_arrival`` is ``time.monotonic()`` of the last frame of any kind, pongs included.
    """

    def _tell(self, options: SocketOptions, on_frame: Callable[[Frame], None], on_closed: Callable[[], None]) -> None:
        """To be called before the constructor that connects."""
        self._url = options.url
        self._on_frame = on_frame
        self._told_closed = threading.Lock()
        self._on_closed = on_closed
        self.last_arrival = time.monotonic()
        self.end_reason = ""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, by either side."""
        return self._told_closed.locked()

    def ping(self) -> None:
        """Send the JSON ping; its pong shows in ``last_arrival``."""
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self.ws.send(self.custom_ping_message)

    def cut(self) -> None:
        """End the connection now, without waiting for the other side (the library's close waits three seconds)."""
        self.exited = True
        self._stop_custom_ping_timer()
        self.ws.keep_running = False
        connection = self.ws.sock
        if connection is None or connection.sock is None:
            return
        with contextlib.suppress(OSError, websocket.WebSocketException, AttributeError):
            connection.send_close()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(sockets.SHUT_RDWR)  # wakes the reader, which then ends

    def _connect(self, url: str) -> None:
        if self._url is not None:
            url = f"ws{self._url.removeprefix('http')}{urlsplit(url).path}"
        super()._connect(url)

    def _on_message(self, message: str) -> None:
        self.last_arrival = time.monotonic()
        try:
            frame = orjson.loads(message)
        except ValueError:
            frame = None
        if isinstance(frame, dict):
            self._on_frame(frame)

    def _send_initial_ping(self) -> None:
        """The keeper pings; pybit's timer would, on a connection that broke, fail where nobody listens."""

    def _on_pong(self) -> None:
        self.last_arrival = time.monotonic()

    def _on_error(self, error: Exception) -> None:
        self.end_reason = self.end_reason or f"{type(error).__name__}: {error}"

    def _on_close(self) -> None:
        if self._told_closed.acquire(blocking=False):
            self._on_closed()


class StreamSocket(_ToldSocket, WebSocket):
    """An open connection to a stream: ``spot``, ``linear`` or ``private``.

    The constructor blocks until it is open and raises when it can't be.
    """

    def __init__(
        self,
        channel: str,
        options: SocketOptions,
        on_frame: Callable[[Frame], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._tell(options, on_frame, on_closed)
        private = channel == "private"
        super().__init__(
            channel,
            testnet=options.mode == "testnet",
            demo=options.mode == "demo" and private,  # demo accounts see the live market's public streams
            api_key=options.key if private else None,
            api_secret=options.secret if private else None,
            **_PYBIT,
        )

    def request(self, op: str, req_id: str, args: list[str]) -> None:
        """Send one operation. Raises OSError or the library's WebSocketException when the connection is gone."""
        self.ws.send(json.dumps({"op": op, "req_id": req_id, "args": args}))


class TradeConnection(_ToldSocket, WebSocketTrading):
    """An open connection for orders. The constructor blocks until it is open and raises when it can't be."""

    def __init__(
        self, options: SocketOptions, on_frame: Callable[[Frame], None], on_closed: Callable[[], None]
    ) -> None:
        self._tell(options, on_frame, on_closed)
        testnet = options.mode == "testnet"
        super().__init__(testnet=testnet, api_key=options.key, api_secret=options.secret, **_PYBIT)

    def write(self, message: Frame) -> None:
        """Send a message. Raises NotWritten when the connection is gone; with any other error it may have left."""
        connection = self.ws.sock
        if self.closed or connection is None or connection.sock is None:
            raise NotWritten("the connection is closed")
        connection.send(json.dumps(message))
