"""pybit, unmodified, on a paper exchange; and what its private socket told."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import httpx
import pybit.unified_trading as pybit_trading
from pybit.exceptions import InvalidRequestError

from tests.support.paper import PaperExchange
from tests.support.waiting import wait_until

Row = dict[str, Any]


def session(exchange: PaperExchange, key: str | None = None, secret: str | None = None) -> Any:
    """A pybit HTTP session on ``exchange``, without pybit's own retries."""
    made = pybit_trading.HTTP(
        testnet=False, api_key=key or exchange.key, api_secret=secret or exchange.secret, max_retries=1, timeout=5
    )
    made.endpoint = exchange.url
    return made


def refusal_code(call: Callable[..., Any], **arguments: Any) -> int:
    """The retCode that ``call`` is refused with. AssertionError when it is not."""
    try:
        answer = call(**arguments)
    except InvalidRequestError as error:
        return int(error.status_code)
    raise AssertionError(f"not refused: {answer}")


def push(exchange: PaperExchange, category: str, symbol: str, price: str, qty: str = "10") -> None:
    """Make a trade of ``qty`` coins happen on a manual market; returns when it is published."""
    exchange.control("POST", "ticks", json=[{"category": category, "symbol": symbol, "price": price, "qty": qty}])


class PrivateStream:
    """The private stream of a pybit socket, kept in order."""

    def __init__(self, exchange: PaperExchange) -> None:
        pybit_trading.PRIVATE_WSS = f"ws://127.0.0.1:{exchange.port}/v5/private"
        self.messages: list[Row] = []
        self.socket = pybit_trading.WebSocket(
            "private", testnet=False, api_key=exchange.key, api_secret=exchange.secret
        )
        for subscribe in (
            self.socket.order_stream,
            self.socket.execution_stream,
            self.socket.position_stream,
            self.socket.wallet_stream,
        ):
            subscribe(self.messages.append)

    def close(self) -> None:
        self.socket.exit()

    def rows(self, topic: str, order_id: str) -> list[Row]:
        return [
            row for m in list(self.messages) if m["topic"] == topic for row in m["data"] if row["orderId"] == order_id
        ]

    def topics_of(self, order_id: str) -> list[str]:
        """Topics of the messages from the first that names the order on."""
        messages = list(self.messages)
        first = next(i for i, m in enumerate(messages) if any(row.get("orderId") == order_id for row in m["data"]))
        return [m["topic"] for m in messages[first:]]

    def wait_for(self, topic: str, order_id: str, **wanted: Any) -> Row:
        """The first row of the order on the topic with these fields."""

        def matching() -> list[Row]:
            return [r for r in self.rows(topic, order_id) if all(r[k] == v for k, v in wanted.items())]

        wait_until(matching, f"{topic} of {order_id} with {wanted}")
        return matching()[0]


def signed_headers(key: str, secret: str, payload: str, *, at_ms: int | None = None, window: int = 5000) -> Row:
    """Headers of a signed request, made by hand."""
    stamp = str(int(time.time() * 1000) if at_ms is None else at_ms)
    signature = hmac.new(secret.encode(), f"{stamp}{key}{window}{payload}".encode(), hashlib.sha256).hexdigest()
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": str(window),
        "X-BAPI-SIGN": signature,
    }


def raw_post(exchange: PaperExchange, path: str, body: str, headers: Row | None = None) -> Row:
    """POST a body as it is, signed unless ``headers`` are given."""
    headers = signed_headers(exchange.key, exchange.secret, body) if headers is None else headers
    return httpx.post(f"{exchange.url}/v5/{path}", content=body, headers=headers, timeout=5, verify=False).json()
