"""Bare private and trade sockets, and signed requests made by hand: what a client sends and gets, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from websockets.sync.client import ClientConnection, connect

from tests.exchange.paper.account_client import signed_headers
from tests.support.paper import PaperExchange

Row = dict[str, Any]

_numbers = count(1)


def market_order(link: str = "", **more: Any) -> Row:
    """A linear market order for 0.001 BTC."""
    fields = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
    return {**fields, "orderLinkId": link or f"made-{next(_numbers)}", **more}


# no certificates to load: that takes longer than a rate limit's window has room for
_HTTP: Row = {"timeout": 10, "verify": False}


def post(exchange: PaperExchange, path: str, fields: Row) -> httpx.Response:
    body = orjson.dumps(fields).decode()
    headers = signed_headers(exchange.key, exchange.secret, body)
    return httpx.post(f"{exchange.url}/v5/{path}", content=body, headers=headers, **_HTTP)


def get(exchange: PaperExchange, path: str, **fields: Any) -> httpx.Response:
    query = urlencode(fields)
    headers = signed_headers(exchange.key, exchange.secret, query)
    return httpx.get(f"{exchange.url}/v5/{path}?{query}", headers=headers, **_HTTP)


def orders_of(exchange: PaperExchange, link: str) -> list[Row]:
    """The orders of this orderLinkId that the exchange's own books know."""
    return [order for order in exchange.books()["orders"] if order["orderLinkId"] == link]


class Socket:
    """A bare socket; ``heard`` are the messages received so far."""

    def __init__(self, connection: ClientConnection, exchange: PaperExchange) -> None:
        self.connection = connection
        self._exchange = exchange
        self.heard: list[Row] = []

    def send(self, **message: Any) -> None:
        self.connection.send(orjson.dumps(message).decode())

    def receive(self, wanted: Callable[[Row], bool] = lambda message: True, timeout: float = 10) -> Row:
        """The next message that is ``wanted``. TimeoutError without one, ConnectionClosed when it breaks."""
        deadline = time.monotonic() + timeout
        while True:
            message = orjson.loads(self.connection.recv(timeout=max(deadline - time.monotonic(), 0.001)))
            self.heard.append(message)
            if wanted(message):
                return message

    def ask(self, **message: Any) -> Row:
        self.send(**message)
        return self.receive()

    def authenticate(self, *, secret: str | None = None, key: str | None = None, **more: Any) -> Row:
        expires = int(time.time() * 1000) + 5_000
        message = f"GET/realtime{expires}".encode()
        signature = hmac.new((secret or self._exchange.secret).encode(), message, hashlib.sha256).hexdigest()
        return self.ask(op="auth", args=[key or self._exchange.key, expires, signature], **more)

    def subscribe(self, *topics: str) -> Row:
        return self.ask(op="subscribe", args=list(topics))

    def trade(self, op: str, fields: Row, **more: Any) -> Row:
        """Send an operation of the trade socket and wait for its answer."""
        req_id = f"req-{next(_numbers)}"
        self.send(**trade_request(op, fields, reqId=req_id, **more))
        return self.receive(lambda message: message.get("reqId") == req_id)

    def until(self, done: Callable[[list[Row]], bool]) -> list[Row]:
        """Everything heard once it is ``done``."""
        while not done(self.heard):
            self.receive()
        return self.heard


def trade_request(op: str, fields: Row, **more: Any) -> Row:
    header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000)), "X-BAPI-RECV-WINDOW": "5000"}
    return {"op": op, "header": header, "args": [fields], **more}


@contextmanager
def socket_to(exchange: PaperExchange, path: str) -> Iterator[Socket]:
    with connect(f"ws://127.0.0.1:{exchange.port}/v5/{path}", max_size=None) as connection:
        yield Socket(connection, exchange)


@contextmanager
def private_socket(exchange: PaperExchange, topics: Sequence[str]) -> Iterator[Socket]:
    """A private socket, authenticated and subscribed; ``heard`` is empty."""
    with socket_to(exchange, "private") as socket:
        assert socket.authenticate()["success"] is True
        assert socket.subscribe(*topics)["success"] is True
        socket.heard.clear()
        yield socket


@contextmanager
def trade_socket(exchange: PaperExchange) -> Iterator[Socket]:
    """A trade socket, authenticated."""
    with socket_to(exchange, "trade") as socket:
        assert socket.authenticate()["retCode"] == 0
        yield socket
