"""A topic that normally speaks and is silent, and more symbols than one socket carries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Category
from exchange.bybit import BybitExchange, silence
from exchange.bybit.shards import Shards
from exchange.bybit.silence import Talk
from exchange.protocol import StreamGap, Ticker
from tests.exchange.gateway.scripted_socket import ScriptedVenue, scripted_venue
from tests.exchange.gateway.test_streams import Heard, connected, trade, until


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedVenue]:
    async with scripted_venue() as made:
        yield made


@pytest.fixture
async def exchange(venue: ScriptedVenue) -> AsyncIterator[BybitExchange]:
    async with connected(venue) as made:
        yield made


async def speak(venue: ScriptedVenue, topic: str, row: dict[str, Any], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await venue.push(topic, row)
        await asyncio.sleep(0.05)


async def test_a_ticker_that_spoke_and_is_silent_is_noticed_though_the_socket_answers(
    venue: ScriptedVenue, exchange: BybitExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_REGULAR_SECONDS", 1.0)
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 1.5)
    heard, gaps = list[Ticker](), list[StreamGap]()
    subscription = exchange.subscribe_tickers(Category.SPOT, "BTCUSDT", heard.append, gaps.append)
    await subscription.wait_live(5)
    await speak(venue, "tickers.BTCUSDT", {"symbol": "BTCUSDT", "lastPrice": "10"}, 1.5)
    silent_since = time.monotonic()
    await until(lambda: venue.connects == 2)
    assert time.monotonic() - silent_since < 1.5 + 1.5
    await until(lambda: gaps)
    assert (gaps[0].back_at - gaps[0].lost_at).total_seconds() >= 1.4, "the gap begins with the last word"
    await asyncio.sleep(2.5)
    assert venue.connects == 2, "on the new connection it has to show anew that it speaks"


async def test_a_quiet_symbol_is_left_in_peace(
    venue: ScriptedVenue, exchange: BybitExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.3)
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    await subscription.wait_live(5)
    await venue.push("publicTrade.BTCUSDT", [trade(1)])
    await until(lambda: heard.all)
    await asyncio.sleep(1.0)
    assert venue.connects == 1
    [fresh] = exchange.freshness()
    assert fresh.last_message_age_seconds is not None
    assert fresh.last_message_age_seconds >= 1.0
    assert fresh.age_seconds is not None


async def test_a_topic_that_was_never_served_has_no_age(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    venue.refused_topics = {"publicTrade.NOPE"}
    heard = Heard()
    exchange.subscribe_trades(Category.LINEAR, "NOPE", heard.trades, heard.gap)
    good = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    assert await good.wait_live(5)
    fresh = {one.stream: one for one in exchange.freshness()}
    assert fresh["linear:publicTrade.NOPE"].age_seconds is None
    assert not fresh["linear:publicTrade.NOPE"].connected
    age = fresh["linear:publicTrade.BTCUSDT"].age_seconds
    assert age is not None
    assert age < 5


async def test_many_symbols_are_spread_over_sockets_and_a_symbol_stays_on_one(
    venue: ScriptedVenue, exchange: BybitExchange
) -> None:
    symbols = [f"A{number:03}LONGNAMEUSDT" for number in range(200)]
    heard = {symbol: Heard() for symbol in symbols}
    subscriptions = []
    for symbol in symbols:
        one = heard[symbol]
        subscriptions.append(exchange.subscribe_trades(Category.LINEAR, symbol, one.trades, one.gap))
        subscriptions.append(exchange.subscribe_candles(Category.LINEAR, symbol, "15m", lambda _: None, one.gap))
    for subscription in subscriptions:
        assert await subscription.wait_live(20)
    assert venue.connects == 3
    topics = [venue.subscribed[connection] for connection in venue.open_connections()]
    assert sum(len(each) for each in topics) == 400
    for each in topics:
        assert sum(len(topic) for topic in each) < 21_000
        assert {topic.rpartition(".")[2] for topic in each if topic.startswith("kline")} == {
            topic.rpartition(".")[2] for topic in each if topic.startswith("publicTrade")
        }
    for number, symbol in enumerate(symbols):
        await venue.push(f"publicTrade.{symbol}", [trade(number, symbol)])
    await until(lambda: all(one.all for one in heard.values()))
    assert all(one.stream.startswith("linear:") for one in exchange.freshness())


@given(st.lists(st.tuples(st.sampled_from(list(Category)), st.integers(0, 400), st.booleans()), max_size=500))
def test_no_socket_carries_too_much_and_a_place_that_is_left_is_free(steps: list[tuple[Category, int, bool]]) -> None:
    shards, entered = Shards(), dict[tuple[Category, str], list[int]]()
    for category, number, enters in steps:
        symbol = f"S{number}USDT"
        if enters:
            entered.setdefault((category, symbol), []).append(shards.enter(category, symbol))
        elif entered.get((category, symbol)):
            shards.leave(category, symbol)
            entered[category, symbol].pop()
    for category in Category:
        held = {key: numbers for key, numbers in entered.items() if numbers and key[0] is category}
        assert all(len(set(numbers)) == 1 for numbers in held.values())
        for shard in {numbers[0] for numbers in held.values()}:
            names = [symbol for (_, symbol), numbers in held.items() if numbers[0] == shard]
            assert sum(7 * (len(name) + len("publicTrade..")) for name in names) < 21_000


@given(st.lists(st.floats(min_value=0.01, max_value=20.0), max_size=100), st.floats(min_value=0, max_value=30))
def test_silence_is_news_only_after_a_minute_without_a_pause(gaps: list[float], after: float) -> None:
    talk, now = Talk(), 0.0
    talk.heard(now)
    spoke = 0.0
    for gap in gaps:
        now += gap
        talk.heard(now)
        spoke = spoke + gap if gap <= 2.0 else 0.0
    if abs(spoke - 60.0) > 1e-6:
        assert talk.regular == (spoke >= 60.0)
    assert talk.fell_silent(now + after) == (talk.regular and now + after - now > silence.SILENCE_SECONDS)
