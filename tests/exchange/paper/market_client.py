"""pybit, unmodified, on the public side of a paper exchange; and raw sockets beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pybit.unified_trading as pybit_trading
from websockets.sync.client import ClientConnection, connect

from tests.support.paper import PaperExchange
from tests.support.waiting import wait_until

Row = dict[str, Any]


def public_session(exchange: PaperExchange) -> Any:
    """A pybit HTTP session without a key."""
    made = pybit_trading.HTTP(testnet=False, max_retries=1, timeout=5)
    made.endpoint = exchange.url
    return made


class PublicStream:
    """Messages of a pybit public socket, in order. Subscribe through ``socket`` with ``keep``."""

    def __init__(self, exchange: PaperExchange, category: str) -> None:
        pybit_trading.PUBLIC_WSS = f"ws://127.0.0.1:{exchange.port}/v5/public/{{CHANNEL_TYPE}}"
        self.messages: list[Row] = []
        self.socket = pybit_trading.WebSocket(category, testnet=False)

    def keep(self, message: Row) -> None:
        self.messages.append(copy.deepcopy(message))  # pybit hands out books and tickers that it goes on changing

    def of(self, topic: str) -> list[Row]:
        return [message for message in list(self.messages) if message["topic"] == topic]

    def wait_for(self, topic: str, count: int = 1) -> list[Row]:
        """The topic's messages once there are ``count``."""
        wait_until(lambda: len(self.of(topic)) >= count, f"{count} messages of {topic}")
        return self.of(topic)


@contextmanager
def public_stream(exchange: PaperExchange, category: str) -> Iterator[PublicStream]:
    """A pybit public socket that ends with the block."""
    stream = PublicStream(exchange, category)
    try:
        yield stream
    finally:
        stream.socket.exit()


@contextmanager
def raw_socket(exchange: PaperExchange, category: str, topics: Sequence[str] = ()) -> Iterator[ClientConnection]:
    """A bare socket, subscribed to ``topics`` when entered."""
    with connect(f"ws://127.0.0.1:{exchange.port}/v5/public/{category}", max_size=None) as socket:
        if topics:
            send(socket, op="subscribe", args=list(topics), req_id="r1")
            assert receive(socket)["success"] is True
        yield socket


def send(socket: ClientConnection, **message: Any) -> None:
    socket.send(orjson.dumps(message).decode())


def receive(socket: ClientConnection, wanted: Callable[[Row], bool] = lambda message: True) -> Row:
    """The next message that is ``wanted``; TimeoutError after ten seconds without one."""
    while True:
        message = orjson.loads(socket.recv(timeout=10))
        if wanted(message):
            return message
