"""Orders over the trade socket: the same outcomes as over REST, and never both ways."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from domain.market import Category, Side
from exchange.bybit.limiter import RateLimiter
from exchange.bybit.order_commands import OrderCommands
from exchange.bybit.order_entry import OrderEntry
from exchange.bybit.rest import RestClient, RestOptions
from exchange.bybit.socket import SocketOptions
from exchange.bybit.trade_socket import TradeSocket
from exchange.protocol import DuplicateOrder, OrderRequest, OutcomeUnknown, Refused, RetryLater
from tests.exchange.gateway.raw_http import RawHttpServer, ret
from tests.support.waiting import eventually

ORDER = OrderRequest(
    category=Category.LINEAR, symbol="BTCUSDT", side=Side.BUY, qty=Decimal("0.010"), order_link_id="P-E1"
)
REST_ANSWER = ret(0, "OK", orderId="by-rest", orderLinkId="P-E1")


class TradeVenue:
    """The trade socket's other side: answers as told. ``silent``: takes requests and answers none."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.connections: list[ServerConnection] = []
        self.code = 0
        self.auth_code = 0
        self.silent = False
        self.cut_on_order = False
        self.headers = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "Timenow": "1700000000000"}

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for message in connection:
            request = json.loads(message)
            op = request["op"]
            if op == "ping":
                await connection.send(json.dumps({"op": "pong", "retCode": 0}))
            elif op == "auth":
                await connection.send(json.dumps({"op": "auth", "retCode": self.auth_code, "retMsg": "told"}))
            else:
                self.requests.append(request)
                if self.cut_on_order:
                    connection.transport.abort()
                elif not self.silent:
                    await connection.send(json.dumps(self._answer(request)))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        link = request["args"][0]["orderLinkId"]
        data = {"orderId": "by-socket", "orderLinkId": link} if self.code == 0 else {}
        told = {"retCode": self.code, "retMsg": "told", "op": request["op"], "data": data, "header": self.headers}
        return {"reqId": request["reqId"], **told}


class Commands(OrderCommands):
    def __init__(self, entry: OrderEntry, limiter: RateLimiter, rest_server: RawHttpServer, venue: TradeVenue) -> None:
        self._entry = entry
        self.limiter, self.rest_server, self.venue = limiter, rest_server, venue

    @property
    def way(self) -> str:
        return self._entry.way


@asynccontextmanager
async def commands(venue: TradeVenue, timeout: float = 0.5) -> AsyncIterator[Commands]:
    rest_server = RawHttpServer(REST_ANSWER)
    limiter = RateLimiter()
    rest = RestClient(RestOptions("paper", "key", "secret", rest_server.url, 5000, timeout, 2, 2), limiter)
    async with serve(venue.serve, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        socket = TradeSocket(SocketOptions("paper", "key", "secret", url), 5000, timeout)
        socket.start()
        entry = OrderEntry(rest, limiter, timeout, lambda: None, socket)
        made = Commands(entry, limiter, rest_server, venue)
        try:
            yield made
        finally:
            await socket.close()
            await rest.close()
            rest_server.close()


async def connected(made: Commands) -> None:
    async def asked() -> bool:
        return made.way == "websocket"

    await eventually(asked, "the trade socket", every=0.005)


async def test_an_order_goes_over_the_socket_as_it_would_by_rest() -> None:
    async with commands(TradeVenue()) as made:
        await connected(made)
        ack = await made.place_order(ORDER.model_copy(update={"stop_loss": Decimal("59000.50")}))
        assert (ack.order_id, ack.order_link_id) == ("by-socket", "P-E1")
        assert ack.exchange_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        [request] = made.venue.requests
        assert request["op"] == "order.create"
        assert request["header"]["X-BAPI-RECV-WINDOW"] == "5000"
        assert abs(int(request["header"]["X-BAPI-TIMESTAMP"]) / 1000 - time.time()) < 5
        [args] = request["args"]
        assert (args["qty"], args["stopLoss"], args["category"]) == ("0.01", "59000.5", "linear")
        assert made.rest_server.requests == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [(110072, DuplicateOrder), (110007, Refused), (10006, RetryLater), (10429, RetryLater), (10016, OutcomeUnknown)],
)
async def test_a_ret_code_is_sorted_as_by_rest(code: int, expected: type[Exception]) -> None:
    venue = TradeVenue()
    venue.code = code
    async with commands(venue) as made:
        await connected(made)
        with pytest.raises(expected) as raised:
            await made.place_order(ORDER)
        assert type(raised.value) is expected
        assert made.rest_server.requests == [], "never both ways"


async def test_an_answer_that_does_not_come_leaves_the_outcome_unknown() -> None:
    venue = TradeVenue()
    venue.silent = True
    async with commands(venue) as made:
        await connected(made)
        with pytest.raises(OutcomeUnknown):
            await made.place_order(ORDER)
        assert made.rest_server.requests == []
        venue.silent = False
        assert (await made.place_order(ORDER)).order_id == "by-socket"


async def test_a_cut_after_the_order_left_leaves_the_outcome_unknown_at_once() -> None:
    venue = TradeVenue()
    venue.cut_on_order = True
    async with commands(venue, timeout=3.0) as made:
        await connected(made)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await made.place_order(ORDER)
        assert time.monotonic() - began < 2
        assert made.rest_server.requests == []
        venue.cut_on_order = False
        await connected(made)
        assert (await made.place_order(ORDER)).order_id == "by-socket"


async def test_without_a_connection_the_order_goes_by_rest() -> None:
    venue = TradeVenue()
    venue.auth_code = 10004
    async with commands(venue) as made:
        assert made.way == "rest"
        assert (await made.place_order(ORDER)).order_id == "by-rest"
        await made.cancel_order(Category.LINEAR, "BTCUSDT", "P-E1")
        assert venue.requests == []
        assert len(made.rest_server.requests) == 2


async def test_an_order_whose_time_is_over_is_not_written() -> None:
    async with commands(TradeVenue()) as made:
        await connected(made)
        late = ORDER.model_copy(update={"not_after": datetime.now(UTC) - timedelta(seconds=1)})
        with pytest.raises(RetryLater):
            await made.place_order(late)
        assert made.venue.requests == []
        assert made.rest_server.requests == []


async def test_amends_and_cancels_go_over_the_socket_and_leverage_by_rest() -> None:
    async with commands(TradeVenue()) as made:
        await connected(made)
        await made.amend_order(Category.SPOT, "BTCUSDT", "P-S1", trigger_price=Decimal("50000.0"))
        await made.cancel_order(Category.LINEAR, "BTCUSDT", "P-E1")
        await made.set_leverage("BTCUSDT", Decimal(1))
        assert [request["op"] for request in made.venue.requests] == ["order.amend", "order.cancel"]
        assert made.venue.requests[0]["args"][0]["triggerPrice"] == "50000"
        assert len(made.rest_server.requests) == 1


async def test_answers_find_their_orders_and_teach_the_limits() -> None:
    async with commands(TradeVenue(), timeout=3.0) as made:
        await connected(made)
        made.venue.headers["X-Bapi-Limit"] = "50"
        made.venue.headers["X-Bapi-Limit-Status"] = "49"
        first = await made.place_order(ORDER)
        assert first.order_link_id == "P-E1"
        requests = [ORDER.model_copy(update={"order_link_id": f"P{number}-E1"}) for number in range(10)]
        acks = await asyncio.gather(*(made.place_order(request) for request in requests))
        assert [ack.order_link_id for ack in acks] == [request.order_link_id for request in requests]
        [usage] = [one for one in made.limiter.usage() if one.name == "place linear"]
        assert usage.per_second == 50.0
