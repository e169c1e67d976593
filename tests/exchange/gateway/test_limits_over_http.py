"""What the exchange tells of its limits, seen over real connections; and the calls that came with them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from domain.market import Category, Side
from exchange.bybit import BybitExchange
from exchange.protocol import InstrumentRefused, OrderRequest, Refused, RetryLater
from tests.exchange.gateway.raw_http import Answerer, RawHttpServer, body, ret
from tests.support.waiting import eventually

ORDER = OrderRequest(
    category=Category.LINEAR, symbol="BTCUSDT", side=Side.BUY, qty=Decimal("0.010"), order_link_id="P-E1"
)


@contextmanager
def serving(*answers: Answerer) -> Iterator[RawHttpServer]:
    server = RawHttpServer(*answers)
    try:
        yield server
    finally:
        server.close()


def with_headers(code: int, **headers: object) -> Answerer:
    """An answer with the exchange's headers about limits (underscores for dashes)."""
    payload = json.dumps(
        {"retCode": code, "retMsg": "told", "result": {"orderId": "1"}, "time": 1700000000000}
    ).encode()
    lines = "".join(f"X-Bapi-{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n{lines}\r\n"

    def answer(connection: socket.socket, _request: str) -> bool:
        connection.sendall(head.encode() + payload)
        return True

    return answer


async def test_a_higher_limit_is_learned_from_the_first_answer() -> None:
    with serving(with_headers(0, Limit=40, Limit_Status=39)) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        await exchange.place_order(ORDER)
        began = time.monotonic()
        await asyncio.gather(*(exchange.place_order(ORDER) for _ in range(20)))
        took = time.monotonic() - began
        usage = {one.name: one for one in exchange.rate_usage()}
        await exchange.close()
    assert took < 1.0, "twenty at once where only ten a second were assumed"
    assert usage["place linear"].per_second == 40.0


async def test_too_many_visits_are_not_repeated_before_the_reset() -> None:
    reset = int((time.time() + 0.8) * 1000)
    refusal = with_headers(10006, Limit=10, Limit_Status=0, Limit_Reset_Timestamp=reset)
    with serving(refusal, with_headers(0, Limit=10, Limit_Status=9)) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        with pytest.raises(RetryLater):
            await exchange.place_order(ORDER)
        began = time.time()
        await exchange.place_order(ORDER.model_copy(update={"urgent": True}))
        usage = {one.name: one for one in exchange.rate_usage()}
        await exchange.close()
    assert time.time() * 1000 > reset > began * 1000
    assert usage["place linear"].refused == 1
    assert len(server.requests) == 2


async def test_an_address_that_is_turned_away_lets_exits_try() -> None:
    with serving(body(b"", "403 Forbidden")) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        for _ in range(2):
            with pytest.raises(RetryLater):
                await exchange.place_order(ORDER)
        assert len(server.requests) == 1
        with pytest.raises(RetryLater):
            await exchange.place_order(ORDER.model_copy(update={"urgent": True}))
        await exchange.close()
    assert len(server.requests) == 2


async def test_exits_have_connections_of_their_own_when_entries_hang() -> None:
    with serving(ret(0)) as server:

        def answer(connection: socket.socket, request: str) -> bool:
            if '"reduceOnly": true' in request:
                return ret(0, "OK", orderId="1", orderLinkId="P-X1")(connection, request)
            return server.hang(connection, request)

        server.answers = [answer]
        exchange = BybitExchange("paper", "key", "secret", server.url, http_timeout_seconds=2.0)
        entries = [asyncio.create_task(exchange.place_order(ORDER)) for _ in range(7)]
        while len(server.requests) < 4:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await exchange.place_order(ORDER.model_copy(update={"urgent": True, "reduce_only": True}))
        assert time.monotonic() - began < 0.5
        await asyncio.gather(*entries, return_exceptions=True)
        await exchange.close()


async def test_a_refused_filter_says_that_the_instrument_is_another_by_now() -> None:
    with serving(ret(170140, "too small")) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        with pytest.raises(InstrumentRefused):
            await exchange.place_order(ORDER)
        await exchange.close()


async def test_an_amend_that_changes_nothing_is_success_and_one_of_an_unknown_order_is_not() -> None:
    unchanged = ret(10001, "The order remains unchanged as the parameters entered match the existing ones.")
    with serving(unchanged, ret(110001, "order not exists or too late to replace")) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        await exchange.amend_order(Category.SPOT, "BTCUSDT", "P-S1", trigger_price=Decimal("50000.0"))
        with pytest.raises(Refused) as raised:
            await exchange.amend_order(Category.LINEAR, "BTCUSDT", "P-S1", qty=Decimal("0.5"))
        await exchange.close()
    assert raised.value.code == 110001
    assert server.requests[0].startswith("POST /v5/order/amend")
    first = json.loads(server.requests[0].partition("\r\n\r\n")[2])
    assert first == {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "P-S1", "triggerPrice": "50000"}


async def test_a_stop_loss_that_is_there_already_is_success_and_one_of_no_position_is_not() -> None:
    with serving(ret(34040, "not modified"), ret(10001, "can not set tp/sl/ts for zero position")) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        await exchange.set_stop_loss("BTCUSDT", Decimal("59000.50"))
        with pytest.raises(Refused):
            await exchange.set_stop_loss("BTCUSDT", Decimal("59000.50"))
        await exchange.close()
    assert json.loads(server.requests[0].partition("\r\n\r\n")[2]) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "tpslMode": "Full",
        "positionIdx": 0,
        "stopLoss": "59000.5",
        "slTriggerBy": "LastPrice",
    }


async def test_a_refused_timestamp_has_the_clock_measured_anew() -> None:
    def answer(connection: socket.socket, request: str) -> bool:
        if "/market/time" in request:
            return ret(0, timeNano=str(time.time_ns() + 2_000_000_000))(connection, request)
        return ret(10002, "timestamp")(connection, request)

    with serving(answer) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        await exchange.start()
        while exchange.clock_offset() is None:
            await asyncio.sleep(0.01)
        first = exchange.clock_offset()
        with pytest.raises(RetryLater):
            await exchange.place_order(ORDER)
        while (again := exchange.clock_offset()) == first:
            await asyncio.sleep(0.05)
        await exchange.close()
    assert first is not None
    assert again is not None
    assert 1900 < first.offset_ms < 2100
    assert (again.measured_at - first.measured_at).total_seconds() < 10


async def test_a_clock_that_was_off_is_seen_to_be_right_again_within_seconds() -> None:
    offset_ms = -3_000

    def answer(connection: socket.socket, request: str) -> bool:
        return ret(0, timeNano=str(time.time_ns() + offset_ms * 1_000_000))(connection, request)

    with serving(answer) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        await exchange.start()

        async def measured(within: range) -> bool:
            told = exchange.clock_offset()
            return told is not None and int(told.offset_ms) in within

        await eventually(lambda: measured(range(-3_100, -2_900)), "the clock to be found off")
        offset_ms = 0
        await eventually(lambda: measured(range(-100, 100)), "the clock to be found right", timeout=10)
        await exchange.close()
