"""Streams stay alive: cut, silent, refused, unanswered, and what a subscriber is told of it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import structlog

from domain.market import Category
from exchange.bybit import BybitExchange, channel
from exchange.protocol import Candle, PrivateHandlers, StreamGap, Ticker, Trade
from tests.exchange.gateway.scripted_socket import ScriptedVenue, scripted_venue
from tests.support.waiting import eventually


@pytest.fixture
async def venue() -> AsyncIterator[ScriptedVenue]:
    async with scripted_venue() as made:
        yield made


@pytest.fixture
async def exchange(venue: ScriptedVenue) -> AsyncIterator[BybitExchange]:
    async with connected(venue) as made:
        yield made


@asynccontextmanager
async def connected(venue: ScriptedVenue) -> AsyncIterator[BybitExchange]:
    made = BybitExchange("paper", "key", "secret", venue.url)
    try:
        yield made
    finally:
        await made.close()


def trade(number: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"T": 1_700_000_000_000 + number, "s": symbol, "S": "Buy", "v": "0.5", "p": str(number), "i": f"t{number}"}


async def until(condition: Callable[[], object], patience: float = 10.0) -> None:
    async def asked() -> bool:
        return bool(condition())

    await eventually(asked, "the condition of the test", patience, every=0.005)


class Heard:
    """What a subscriber was told, trades and gaps in one order."""

    def __init__(self) -> None:
        self.all: list[Trade | StreamGap] = []

    def trades(self, trades: Any) -> None:
        self.all.extend(trades)

    def gap(self, gap: StreamGap) -> None:
        self.all.append(gap)

    @property
    def story(self) -> list[str]:
        return ["gap" if isinstance(one, StreamGap) else str(one.price) for one in self.all]


async def test_trades_arrive_typed_and_in_order(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    assert await subscription.wait_live(5)
    for number in range(1, 301):
        await venue.push("publicTrade.BTCUSDT", [trade(number)])
    await until(lambda: len(heard.all) == 300)
    assert heard.story == [str(number) for number in range(1, 301)]
    first = heard.all[0]
    assert isinstance(first, Trade)
    assert (first.qty, first.at.isoformat()) == (Decimal("0.5"), "2023-11-14T22:13:20.001000+00:00")


async def test_a_cut_is_healed_and_told_once_before_what_follows(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    await subscription.wait_live(5)
    await venue.push("publicTrade.BTCUSDT", [trade(1)])
    await until(lambda: heard.all)
    for round_ in (1, 2):
        await venue.cut()
        await until(lambda: bool(venue.open_connections()))
        await until(lambda: venue.subscribed[venue.open_connections()[0]] == {"publicTrade.BTCUSDT"})
        await venue.push("publicTrade.BTCUSDT", [trade(round_ + 1)])
        await until(lambda round_=round_: heard.story[-1] == str(round_ + 1))
    assert heard.story == ["1", "gap", "2", "gap", "3"]
    gap = heard.all[1]
    assert isinstance(gap, StreamGap)
    assert gap.lost_at < gap.back_at
    assert gap.stream == "linear:publicTrade.BTCUSDT"
    [fresh] = exchange.freshness()
    assert (fresh.connected, fresh.reconnects) == (True, 2)


async def test_a_venue_that_is_down_is_found_again_when_it_is_back(venue: ScriptedVenue) -> None:
    port = int(venue.url.rpartition(":")[2])
    async with connected(venue) as exchange:
        heard = Heard()
        subscription = exchange.subscribe_trades(Category.SPOT, "BTCUSDT", heard.trades, heard.gap)
        await subscription.wait_live(5)
        await venue.stop()
        await until(lambda: not exchange.freshness()[0].connected)
        assert not await subscription.wait_live(0.5)
        await venue.start(port)
        assert await subscription.wait_live(10)
        await until(lambda: heard.story == ["gap"])


async def test_silence_is_noticed(
    venue: ScriptedVenue, exchange: BybitExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "PING_SECONDS", 0.1)
    monkeypatch.setattr(channel, "SILENCE_SECONDS", 0.6)
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    await subscription.wait_live(5)
    pings = len(venue.requests)
    await until(lambda: len(venue.requests) > pings + 10)
    assert venue.connects == 1, "pongs alone keep a quiet symbol's socket"
    venue.mute = True
    await until(lambda: venue.connects == 2)
    venue.mute = False
    await until(lambda: heard.story == ["gap"])
    assert exchange.freshness()[0].connected


async def test_a_lost_acknowledgement_does_not_leave_a_dead_topic(
    venue: ScriptedVenue, exchange: BybitExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_ANSWER_SECONDS", 0.3)
    venue.acks_to_lose = 1
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    assert await subscription.wait_live(5)
    assert venue.connects == 2


async def test_a_refused_topic_is_shown_and_retried_and_hurts_no_other(
    venue: ScriptedVenue, exchange: BybitExchange
) -> None:
    venue.refused_topics = {"publicTrade.NOPE"}
    heard, refused = Heard(), Heard()
    with structlog.testing.capture_logs() as logs:
        bad = exchange.subscribe_trades(Category.LINEAR, "NOPE", refused.trades, refused.gap)
        good = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
        assert await good.wait_live(5)
        await until(lambda: any(line["event"] == "stream topic refused" for line in logs))
    assert {one.stream: one.connected for one in exchange.freshness()} == {
        "linear:publicTrade.NOPE": False,
        "linear:publicTrade.BTCUSDT": True,
    }
    venue.refused_topics = set()
    assert await bad.wait_live(10)
    assert venue.connects == 1
    asked = [request for request in venue.requests if "publicTrade.NOPE" in request.get("args", [])]
    assert len(asked) <= 5, "asked again with a pause, not in a spin"


async def test_refused_authentication_is_shown_and_retried(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    venue.auth_accepted = False
    with structlog.testing.capture_logs() as logs:
        subscription = exchange.subscribe_private(handlers(lambda *_: None))
        await until(lambda: venue.connects >= 2)
    assert any(line["event"] == "stream authentication refused" for line in logs)
    assert not any(one.connected for one in exchange.freshness())
    venue.auth_accepted = True
    assert await subscription.wait_live(10)
    [fresh] = exchange.freshness()
    assert (fresh.stream, fresh.connected) == ("private", True)


def handlers(on_any: Callable[[str, Any], None]) -> PrivateHandlers:
    return PrivateHandlers(
        on_orders=lambda rows: on_any("orders", rows),
        on_executions=lambda rows: on_any("executions", rows),
        on_positions=lambda rows: on_any("positions", rows),
        on_wallet=lambda wallet: on_any("wallet", wallet),
        on_gap=lambda gap: on_any("gap", gap),
    )


async def test_the_private_stream_tells_one_gap_for_its_four_topics(
    venue: ScriptedVenue, exchange: BybitExchange
) -> None:
    heard: list[str] = []
    subscription = exchange.subscribe_private(handlers(lambda kind, _: heard.append(kind)))
    await subscription.wait_live(5)
    await venue.cut()
    await until(lambda: "gap" in heard)
    await venue.push("wallet", [{"accountType": "UNIFIED", "totalEquity": "", "coin": []}])
    await until(lambda: "wallet" in heard)
    assert heard == ["gap", "wallet"]


async def test_a_failing_callback_hurts_nobody(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard = Heard()

    def fail(_trades: Any) -> None:
        raise RuntimeError("subscriber's own bug")

    exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", fail, heard.gap)
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    await subscription.wait_live(5)
    for number in (1, 2):
        await venue.push("publicTrade.BTCUSDT", [trade(number)])
    await until(lambda: heard.story == ["1", "2"])


async def test_a_frame_nobody_understands_hurts_nobody(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard = Heard()
    subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
    await subscription.wait_live(5)
    await venue.push("publicTrade.BTCUSDT", [{"no": "trade"}])
    for connection in venue.open_connections():
        await connection.send("not json")
        await connection.send("[]")
    await venue.push("publicTrade.BTCUSDT", [trade(2)])
    await until(lambda: heard.story == ["2"])
    assert venue.connects == 1


async def test_subscriptions_share_a_topic_and_a_socket_until_the_last_leaves(
    venue: ScriptedVenue, exchange: BybitExchange
) -> None:
    one, two, other = Heard(), Heard(), Heard()
    first = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", one.trades, one.gap)
    second = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", two.trades, two.gap)
    third = exchange.subscribe_trades(Category.LINEAR, "ETHUSDT", other.trades, other.gap)
    for subscription in (first, second, third):
        assert await subscription.wait_live(5)
    first.close()
    await venue.push("publicTrade.BTCUSDT", [trade(1)])
    await until(lambda: two.story == ["1"])
    assert one.all == []
    second.close()
    await until(lambda: venue.subscribed[venue.open_connections()[0]] == {"publicTrade.ETHUSDT"})
    assert venue.connects == 1
    third.close()
    await until(lambda: not venue.open_connections())
    again = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", one.trades, one.gap)
    assert await again.wait_live(5)
    await venue.push("publicTrade.BTCUSDT", [trade(2)])
    await until(lambda: one.story == ["2"])


async def test_fifty_subscriptions_take_one_socket_and_small_requests(
    venue: ScriptedVenue, exchange: BybitExchange
) -> None:
    heard = {f"C{number}USDT": Heard() for number in range(50)}
    subscriptions = [
        exchange.subscribe_trades(Category.SPOT, symbol, one.trades, one.gap) for symbol, one in heard.items()
    ]
    for subscription in subscriptions:
        assert await subscription.wait_live(5)
    assert venue.connects == 1
    assert max(len(request.get("args", [])) for request in venue.requests) <= 10
    for number, symbol in enumerate(heard):
        await venue.push(f"publicTrade.{symbol}", [trade(number, symbol)])
    await until(lambda: all(one.all for one in heard.values()))
    assert [one.story for one in heard.values()] == [[str(number)] for number in range(50)]


async def test_linear_tickers_are_the_snapshot_with_its_changes(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard: list[Ticker] = []
    subscription = exchange.subscribe_tickers(Category.LINEAR, "BTCUSDT", heard.append, lambda _: None)
    await subscription.wait_live(5)
    topic = "tickers.BTCUSDT"
    await venue.push(topic, {"symbol": "BTCUSDT", "bid1Price": "9"}, kind="delta")
    whole = {"symbol": "BTCUSDT", "lastPrice": "10", "bid1Price": "9.5", "ask1Price": "10.5", "markPrice": ""}
    await venue.push(topic, whole)
    await venue.push(topic, {"symbol": "BTCUSDT", "lastPrice": "11"}, kind="delta", at=1_700_000_001_000)
    await until(lambda: len(heard) == 2)
    assert (heard[0].last_price, heard[0].bid, heard[0].mark_price) == (Decimal(10), Decimal("9.5"), None)
    assert (heard[1].last_price, heard[1].bid) == (Decimal(11), Decimal("9.5"))
    assert (heard[1].at - heard[0].at).total_seconds() == 1


async def test_candles_say_whether_they_are_closed(venue: ScriptedVenue, exchange: BybitExchange) -> None:
    heard: list[Candle] = []
    subscription = exchange.subscribe_candles(Category.SPOT, "BTCUSDT", "4h", heard.append, lambda _: None)
    await subscription.wait_live(5)
    row = {"start": 1_700_006_400_000, "open": "1", "high": "3", "low": "1", "close": "2", "volume": "5"}
    await venue.push("kline.240.BTCUSDT", [{**row, "turnover": "9", "confirm": closed} for closed in (False, True)])
    await until(lambda: len(heard) == 2)
    assert [(candle.timeframe, candle.close, candle.confirmed) for candle in heard] == [
        ("4h", 2.0, False),
        ("4h", 2.0, True),
    ]


async def test_two_exchanges_in_one_process_go_to_their_own_venues(venue: ScriptedVenue) -> None:
    async with scripted_venue() as other, connected(venue) as here, connected(other) as there:
        one, two = Heard(), Heard()
        for exchange, heard in ((here, one), (there, two)):
            subscription = exchange.subscribe_trades(Category.LINEAR, "BTCUSDT", heard.trades, heard.gap)
            assert await subscription.wait_live(5)
        await venue.push("publicTrade.BTCUSDT", [trade(1)])
        await other.push("publicTrade.BTCUSDT", [trade(2)])
        await until(lambda: one.all and two.all)
        assert (one.story, two.story) == (["1"], ["2"])


async def test_closing_ends_sockets_and_threads_at_once(venue: ScriptedVenue) -> None:
    before = set(threading.enumerate())
    async with connected(venue) as exchange:
        heard = Heard()
        private = exchange.subscribe_private(handlers(lambda *_: None))
        public = [exchange.subscribe_trades(one, "BTCUSDT", heard.trades, heard.gap) for one in Category]
        for subscription in (private, *public):
            assert await subscription.wait_live(5)
        assert len(venue.open_connections()) == 3
    await until(lambda: not venue.open_connections(), patience=2)
    # the event loop's own default executor stays; sockets, pingers and timers must not

    def left() -> list[str]:
        return [t.name for t in set(threading.enumerate()) - before if not t.name.startswith("asyncio_")]

    await until(lambda: not left(), patience=2)
