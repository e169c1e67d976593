"""Every way a call can fail is one of four outcomes, seen over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from domain.market import Category, Side
from exchange.bybit import BybitExchange
from exchange.protocol import DuplicateOrder, ExchangeError, OrderRequest, OutcomeUnknown, Refused, RetryLater
from tests.exchange.gateway import raw_http
from tests.exchange.gateway.raw_http import Answerer, RawHttpServer, body, ret

ORDER = OrderRequest(
    category=Category.LINEAR, symbol="BTCUSDT", side=Side.BUY, qty=Decimal("0.010"), order_link_id="P-E1"
)
OK = ret(0, "OK", orderId="1", orderLinkId="P-E1")

MakeServer = Callable[..., RawHttpServer]


@pytest.fixture
def serve() -> Iterator[MakeServer]:
    servers: list[RawHttpServer] = []

    def make(*answers: Answerer) -> RawHttpServer:
        servers.append(RawHttpServer(*answers))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@asynccontextmanager
async def gateway(url: str, timeout: float = 0.5) -> AsyncIterator[BybitExchange]:
    exchange = BybitExchange("paper", "key", "secret", url, http_timeout_seconds=timeout)
    try:
        yield exchange
    finally:
        await exchange.close()


async def outcome(url: str) -> ExchangeError:
    async with gateway(url) as exchange:
        with pytest.raises(ExchangeError) as raised:
            await exchange.place_order(ORDER)
    return raised.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (110072, DuplicateOrder),
        (170141, DuplicateOrder),
        (10002, RetryLater),
        (10006, RetryLater),
        (10018, RetryLater),
        (10000, OutcomeUnknown),
        (10016, OutcomeUnknown),
        (170007, OutcomeUnknown),
        (10003, Refused),
        (10004, Refused),
        (10001, Refused),
        (110007, Refused),
        (170131, Refused),
        (999999, Refused),
    ],
)
async def test_a_ret_code_is_sorted_and_kept(serve: MakeServer, code: int, expected: type[ExchangeError]) -> None:
    error = await outcome(serve(ret(code, "because")).url)
    assert type(error) is expected
    assert error.code == code
    assert "because" in str(error)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (body(b"oops", "500 Internal Server Error"), OutcomeUnknown),
        (body(b"oops", "502 Bad Gateway"), OutcomeUnknown),
        (body(b"oops", "504 Gateway Timeout"), OutcomeUnknown),
        (body(b"oops", "408 Request Timeout"), OutcomeUnknown),
        (body(b"<html>", "409 Conflict"), OutcomeUnknown),
        (body(b"slow down", "429 Too Many Requests"), RetryLater),
        (body(b"slow down", "403 Forbidden"), RetryLater),
        (body(b"who are you", "401 Unauthorized"), Refused),
        (body(b"nothing here", "404 Not Found"), Refused),
        (body(b"<html>not json</html>"), OutcomeUnknown),
        (body(b""), OutcomeUnknown),
        (body(b"[]"), OutcomeUnknown),
        (body(b"null"), OutcomeUnknown),
        (body(b"{}"), OutcomeUnknown),
        (body(b'{"retCode": "what"}'), OutcomeUnknown),
        (body(b'{"retCode": 10001}'), OutcomeUnknown),
        (ret(0, "accepted", nothing="readable"), OutcomeUnknown),
        (body(b'{"retCode": 0, "result": null}'), OutcomeUnknown),
        (raw_http.close_without_answer, OutcomeUnknown),
        (raw_http.reset, OutcomeUnknown),
        (raw_http.half_an_answer, OutcomeUnknown),
    ],
)
async def test_an_answer_that_is_not_the_exchanges_own_leaves_the_outcome_unknown(
    serve: MakeServer, answer: Answerer, expected: type[ExchangeError]
) -> None:
    server = serve(answer)
    assert type(await outcome(server.url)) is expected
    assert len(server.requests) == 1, "sent once, never again by itself"


async def test_no_answer_in_time_leaves_the_outcome_unknown(serve: MakeServer) -> None:
    server = serve(OK)
    server.answers = [server.hang]
    before = time.monotonic()
    assert type(await outcome(server.url)) is OutcomeUnknown
    assert time.monotonic() - before < 3


async def test_a_connection_that_was_refused_carried_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    assert type(await outcome(f"http://127.0.0.1:{free}")) is RetryLater


async def test_an_order_does_not_wait_behind_stuck_queries(serve: MakeServer) -> None:
    server = serve(OK)

    def stuck_queries(connection: socket.socket, request: str) -> bool:
        return OK(connection, request) if request.startswith("POST") else server.hang(connection, request)

    server.answers = [stuck_queries]
    async with gateway(server.url, timeout=1.0) as exchange:
        queries = [asyncio.create_task(exchange.wallet()) for _ in range(30)]
        while len(server.requests) < 6:
            await asyncio.sleep(0.01)
        before = time.monotonic()
        await exchange.place_order(ORDER)
        assert time.monotonic() - before < 0.5
        told = await asyncio.gather(*queries, return_exceptions=True)
    kinds = {type(error) for error in told}
    assert kinds == {OutcomeUnknown, RetryLater}, "sent ones are unknown, those that never left the queue are not"
    assert sum(type(error) is OutcomeUnknown for error in told) == sum(r.startswith("GET") for r in server.requests)


async def test_an_order_says_exactly_what_was_asked(serve: MakeServer) -> None:
    server = serve(OK)
    async with gateway(server.url) as exchange:
        await exchange.place_order(ORDER.model_copy(update={"stop_loss": Decimal("60000.50"), "qty": Decimal("1E+1")}))
        await exchange.place_order(
            OrderRequest(
                category=Category.SPOT,
                symbol="BTCUSDT",
                side=Side.SELL,
                qty=Decimal("0.00001"),
                order_link_id="P-S1",
                trigger_price=Decimal("50000.0"),
                trigger_rises=False,
            )
        )
    linear, spot = (json.loads(request.partition("\r\n\r\n")[2]) for request in server.requests)
    assert linear == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Market",
        "qty": "10",
        "orderLinkId": "P-E1",
        "positionIdx": 0,
        "stopLoss": "60000.5",
        "tpslMode": "Full",
        "slTriggerBy": "LastPrice",
    }
    assert spot == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Sell",
        "orderType": "Market",
        "qty": "0.00001",
        "orderLinkId": "P-S1",
        "marketUnit": "baseCoin",
        "orderFilter": "StopOrder",
        "triggerPrice": "50000",
    }


async def test_leverage_that_is_already_so_is_success_and_other_refusals_are_not(serve: MakeServer) -> None:
    async with gateway(serve(ret(110043, "not modified")).url) as exchange:
        await exchange.set_leverage("BTCUSDT", Decimal(1))
    async with gateway(serve(ret(110013, "too much")).url) as exchange:
        with pytest.raises(Refused):
            await exchange.set_leverage("BTCUSDT", Decimal(1000))


async def test_pages_are_followed_to_the_end_with_their_cursor_untouched(serve: MakeServer) -> None:
    server = serve(
        ret(0, list=[{"id": "2", **LOG_ROW}], nextPageCursor="a%3A1%2Cb%3D"),
        ret(0, list=[{"id": "1", **LOG_ROW}], nextPageCursor=""),
    )
    async with gateway(server.url) as exchange:
        rows = await exchange.transaction_log()
    assert [row.transaction_id for row in rows] == ["1", "2"]
    assert "cursor" not in server.requests[0]
    assert "&cursor=a%3A1%2Cb%3D" in server.requests[1].splitlines()[0].replace("?", "&")


async def test_a_closed_gateway_sends_nothing(serve: MakeServer) -> None:
    server = serve(OK)
    async with gateway(server.url) as exchange:
        pass
    with pytest.raises(RetryLater):
        await exchange.place_order(ORDER)
    assert server.requests == []


async def test_closing_ends_every_thread(serve: MakeServer) -> None:
    server = serve(OK)
    async with gateway(server.url) as exchange:
        await exchange.start()
        assert sum(thread.name.startswith("bybit-") for thread in threading.enumerate()) == 14
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bybit-")]


async def test_a_call_that_is_cancelled_ends_also_in_the_moment_of_its_answer(serve: MakeServer) -> None:
    server = serve(ret(0, timeNano="1700000000000000000"))
    async with gateway(server.url, timeout=5.0) as exchange:
        began = time.monotonic()
        await exchange.server_time()
        took = time.monotonic() - began
        for number in range(200):
            call = asyncio.create_task(exchange.server_time())
            ends = time.monotonic() + took * (number % 100) / 50
            while time.monotonic() < ends and not call.done():
                await asyncio.sleep(0)
            cancelled = call.cancel()
            await asyncio.wait([call])
            assert call.cancelled() is cancelled


LOG_ROW = {"type": "TRADE", "currency": "USDT", "change": "-1.5", "cashBalance": "", "transactionTime": "1700000000000"}
