"""What time it is in the market, and when it can't be told."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from domain.market import Category
from exchange.bybit import BybitExchange
from exchange.protocol import OutcomeUnknown, RetryLater
from tests.exchange.gateway.raw_http import Answerer, RawHttpServer, body, ret


@contextmanager
def serving(*answers: Answerer) -> Iterator[RawHttpServer]:
    server = RawHttpServer(*answers)
    try:
        yield server
    finally:
        server.close()


def clock_of(exchange_offset: timedelta) -> Answerer:
    """Tells the wall time of an exchange whose clock differs from ours."""

    def answer(connection: socket.socket, request: str) -> bool:
        nanoseconds = time.time_ns() + int(exchange_offset.total_seconds() * 1e9)
        return ret(0, timeSecond=str(nanoseconds // 10**9), timeNano=str(nanoseconds))(connection, request)

    return answer


async def test_a_real_exchange_has_its_own_wall_clock() -> None:
    with serving(clock_of(timedelta(seconds=30))) as server:
        exchange = BybitExchange("testnet", "key", "secret", server.url)
        clocks = [await exchange.market_clock() for _ in range(3)]
        await exchange.close()
    assert {(clock.epoch, clock.speed) for clock in clocks} == {("testnet", 1.0)}
    off = clocks[-1].now - datetime.now(UTC)
    assert timedelta(seconds=29) < off < timedelta(seconds=31)
    assert len(server.requests) == 3, "the offset is measured once a minute by three trips, not at each call"


async def test_a_real_exchanges_candle_counts_as_closed_a_little_after_its_end() -> None:
    now = datetime.now(UTC)
    rows = [[str(int((now - ago).timestamp() * 1000)), *"111111"] for ago in (timedelta(0), timedelta(seconds=60.5))]
    rows.append([str(int((now - timedelta(seconds=65)).timestamp() * 1000)), *"111111"])

    def answer(connection: socket.socket, request: str) -> bool:
        if "/market/time" in request:
            return clock_of(timedelta(0))(connection, request)
        return ret(0, list=rows)(connection, request)

    with serving(answer) as server:
        exchange = BybitExchange("testnet", "key", "secret", server.url)
        got = await exchange.candles(Category.LINEAR, "BTCUSDT", "1m", now - timedelta(minutes=5), now)
        await exchange.close()
    assert [candle.confirmed for candle in got] == [True, False, False]


def paper_clock(paused: bool) -> Answerer:
    told = {"epoch": "m1", "now": "2025-01-01T00:00:00Z", "speed": 1000.0, "paused": paused}
    return body(json.dumps({**told, "read_at": "2025-06-01T00:00:00Z"}).encode())


async def test_the_paper_clock_is_read_once_a_second_and_runs_on_between() -> None:
    with serving(paper_clock(paused=False)) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        first, second = await exchange.market_clock(), await exchange.market_clock()
        await exchange.close()
    assert len(server.requests) == 1
    assert second.now > first.now
    assert abs(first.at(second.read_at) - second.now) < timedelta(milliseconds=50)


async def test_a_paused_market_stands_still() -> None:
    with serving(paper_clock(paused=True)) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        clocks = [await exchange.market_clock() for _ in range(3)]
        await exchange.close()
    assert {clock.now for clock in clocks} == {datetime(2025, 1, 1, tzinfo=UTC)}
    assert clocks[0].wall_until(datetime(2025, 1, 2, tzinfo=UTC)) == timedelta.max


async def test_a_clock_that_cannot_be_read_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    exchange = BybitExchange("paper", "key", "secret", f"http://127.0.0.1:{free}")
    with pytest.raises(RetryLater):
        await exchange.market_clock()
    await exchange.close()
    with serving(body(b"[]")) as server:
        exchange = BybitExchange("paper", "key", "secret", server.url)
        with pytest.raises(OutcomeUnknown):
            await exchange.market_clock()
        await exchange.close()


def test_paper_mode_needs_an_address() -> None:
    with pytest.raises(ValueError, match="url"):
        BybitExchange("paper", "key", "secret")
