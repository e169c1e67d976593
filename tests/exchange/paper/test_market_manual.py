"""The manual market: flat until trades are pushed, which are kept for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.candle import Timeframe
from domain.market import Category, FilterViolation, Side
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from tests.exchange.paper.market_case import sum_of

START = datetime(2025, 1, 1, tzinfo=UTC)
LINEAR, SPOT = Category.LINEAR, Category.SPOT
OPENING = {"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000)}


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[ManualFeed]:
    feed = ManualFeed(tmp_path / "manual.db", OPENING, START)
    yield feed
    feed.close()


def trade(price: str, qty: str | None = None, symbol: str = "BTCUSDT", category: Category = LINEAR) -> PushedTrade:
    return PushedTrade(category, symbol, Decimal(price), None if qty is None else Decimal(qty))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_history_is_flat_at_the_opening_price(feed: ManualFeed) -> None:
    bars = feed.bars(LINEAR, "BTCUSDT", "1d", START - timedelta(days=400), START, START)
    assert len(bars) == 400
    assert {(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars} == {
        (*[Decimal(60_000)] * 4, Decimal(0))
    }
    assert feed.last_price(SPOT, "ETHUSDT", START) == 3_000


def test_pushed_trades_happen_now_in_their_order(feed: ManualFeed) -> None:
    pushed = feed.push([trade("60100"), trade("3001", symbol="ETHUSDT"), trade("60050")], at(5))
    told = list(feed.ticks(at(4), at(5)))
    assert sorted(told, key=lambda t: (t.symbol, t.sequence)) == sorted(pushed, key=lambda t: (t.symbol, t.sequence))
    assert [t.price for t in told if t.symbol == "BTCUSDT"] == [60_100, 60_050]
    assert [t.side for t in told if t.symbol == "BTCUSDT"] == [Side.BUY, Side.SELL]
    assert list(feed.ticks(at(5), at(50))) == []


def test_a_trade_is_never_put_where_the_market_was_already_told(feed: ManualFeed) -> None:
    assert list(feed.ticks(START, at(10))) == []
    (late,) = feed.push([trade("60100")], at(9))
    assert late.at > at(10)
    assert list(feed.ticks(at(10), at(11))) == [late]


def test_candles_are_the_sum_of_the_trades(feed: ManualFeed) -> None:
    pushed = []
    for second, price in enumerate(["60000", "60500.5", "59900", "60200", "60300", "60100"]):
        pushed += feed.push([trade(price, "0.5")], at(25 * second))
    now = at(130)
    minutes = feed.bars(LINEAR, "BTCUSDT", "1m", START, now, now)
    for bar, confirmed in zip(minutes, (True, True, False), strict=True):
        inside = [t for t in pushed if bar.open_time <= t.at < bar.open_time + timedelta(minutes=1)]
        assert bar == sum_of(inside, bar.open_time, confirmed=confirmed)
    for timeframe in (Timeframe.M15, Timeframe.W1):
        (bar,) = feed.bars(LINEAR, "BTCUSDT", timeframe, timeframe.floor(START), now, now)[-1:]
        assert bar == sum_of(pushed, timeframe.floor(START), confirmed=False)
    past = feed.bars(LINEAR, "BTCUSDT", "1h", START, at(60), at(60))
    assert past == [sum_of([t for t in pushed if t.at <= at(60)], START, confirmed=False)]


def test_minutes_without_a_trade_repeat_the_last_price(feed: ManualFeed) -> None:
    feed.push([trade("61000")], at(30))
    bars = feed.bars(LINEAR, "BTCUSDT", "1m", START, at(400), at(400))
    assert [(bar.close, bar.volume > 0) for bar in bars] == [(61_000, True), *[(Decimal(61_000), False)] * 5]


def test_a_killed_market_goes_on_with_its_trades(feed: ManualFeed, tmp_path: Path) -> None:
    pushed = feed.push([trade("60100"), trade("60200", "1.5")], at(5))
    again = ManualFeed(tmp_path / "manual.db", OPENING, START)  # the first one was never closed
    assert again.epoch == feed.epoch
    assert list(again.ticks(START, at(9))) == pushed
    (further,) = again.push([trade("60300")], at(3))
    assert further.at > pushed[-1].at
    assert further.sequence == pushed[-1].sequence + 1
    again.close()


def test_a_batch_with_a_bad_trade_leaves_no_trace(feed: ManualFeed) -> None:
    for bad, error in ((trade("60000.05"), FilterViolation), (trade("1", symbol="FOOUSDT"), UnknownSymbol)):
        with pytest.raises(error):
            feed.push([trade("60100"), bad], at(5))
    with pytest.raises(FilterViolation, match="qty"):
        feed.push([trade("60100", "0")], at(5))
    assert list(feed.ticks(START, at(60))) == []
    assert feed.last_price(LINEAR, "BTCUSDT", at(60)) == 60_000


def test_recent_trades_are_the_last_known_then(feed: ManualFeed) -> None:
    pushed = [feed.push([trade(str(60_000 + i))], at(i + 1))[0] for i in range(10)]
    assert feed.recent_ticks(LINEAR, "BTCUSDT", at(8), 3) == pushed[5:8]
    assert feed.last_price(LINEAR, "BTCUSDT", at(8)) == pushed[7].price


def test_the_epoch_names_prices_and_start(feed: ManualFeed, tmp_path: Path) -> None:
    others = [
        ManualFeed(tmp_path / "a.db", {**OPENING, "BTCUSDT": Decimal(1)}, START),
        ManualFeed(tmp_path / "b.db", OPENING, at(60)),
    ]
    assert len({feed.epoch, *(other.epoch for other in others)}) == 3
    for other in others:
        other.close()
