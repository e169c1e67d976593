"""Candle lengths: their grids, and the window that a query asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import from_ms, to_ms
from domain.market import Category
from exchange.paper.feed import PriceKind
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.market_series import INTERVALS, Interval, kline_window, premium_bars, price_bars, trade_bars

D = Decimal
START = datetime(2025, 1, 31, 23, 55, tzinfo=UTC)
INTERVAL = st.sampled_from(list(INTERVALS.values()))
INSTANT = st.integers(0, 4_000_000_000_000)


@given(INTERVAL, INSTANT, st.integers(-200, 200))
def test_grids_are_walked_both_ways(interval: Interval, instant: int, candles: int) -> None:
    opening = interval.floor_ms(instant)
    assert opening <= instant < interval.moved_ms(opening, 1)
    assert interval.floor_ms(opening) == interval.ceil_ms(opening) == opening
    assert interval.moved_ms(interval.moved_ms(opening, candles), -candles) == opening
    assert instant <= interval.ceil_ms(instant) < interval.moved_ms(instant if interval.count else opening, 2)


@given(INTERVAL, st.none() | INSTANT, st.none() | INSTANT, st.integers(1, 1000), INSTANT)
def test_a_window_has_at_most_so_many_candles_and_none_of_the_future(
    interval: Interval, start: int | None, end: int | None, limit: int, now_ms: int
) -> None:
    first, last = kline_window(interval, start, end, limit, from_ms(now_ms))
    assert last <= from_ms(now_ms)
    assert to_ms(last) < interval.moved_ms(to_ms(first), limit)
    assert start is None or to_ms(first) >= min(start, now_ms)
    assert end is None or to_ms(last) <= end


@pytest.fixture
def feed(tmp_path: Path) -> ManualFeed:
    return ManualFeed(tmp_path / "manual.db", {"BTCUSDT": D(60_000)}, START)


def push(feed: ManualFeed, category: Category, price: int, minutes: float) -> None:
    feed.push([PushedTrade(category, "BTCUSDT", D(price), D(1))], START + timedelta(minutes=minutes))


def test_a_candle_opens_with_its_first_trade_and_is_flat_without_one(feed: ManualFeed) -> None:
    for price, minutes in ((60_100, 2.5), (60_050, 4.0), (60_300, 9.5)):
        push(feed, Category.LINEAR, price, minutes)
    five = INTERVALS["5"]

    def bars(now: datetime) -> list[tuple[int, ...]]:
        made = trade_bars(feed, Category.LINEAR, "BTCUSDT", five, START, now, now)
        return [(*map(int, (bar.open, bar.high, bar.low, bar.close, bar.volume)), bar.confirmed) for bar in made]

    closed = (60_100, 60_100, 60_050, 60_050, 2, True)
    assert bars(START + timedelta(minutes=2)) == []
    assert bars(START + timedelta(minutes=3)) == [(60_100, 60_100, 60_100, 60_100, 1, False)]
    assert bars(START + timedelta(minutes=7)) == [closed]
    assert bars(START + timedelta(minutes=15)) == [closed, (60_300,) * 4 + (1, True), (60_300,) * 4 + (0, True)]


def test_a_month_ends_where_the_next_begins(feed: ManualFeed) -> None:
    push(feed, Category.LINEAR, 60_100, 1)
    push(feed, Category.LINEAR, 60_500, 6)
    now = START + timedelta(minutes=10)
    january, february = trade_bars(
        feed, Category.LINEAR, "BTCUSDT", INTERVALS["M"], START - timedelta(days=31), now, now
    )
    assert (january.open_time, january.confirmed, january.close) == (datetime(2025, 1, 1, tzinfo=UTC), True, 60_100)
    assert (february.open_time, february.confirmed) == (datetime(2025, 2, 1, tzinfo=UTC), False)
    assert february.open == february.close == 60_500


def test_the_premium_is_the_perpetual_over_its_index(feed: ManualFeed) -> None:
    push(feed, Category.SPOT, 60_000, 1)
    push(feed, Category.LINEAR, 60_060, 1)
    now = START + timedelta(minutes=5)
    (bar,) = premium_bars(feed, "BTCUSDT", INTERVALS["5"], START, START, now)
    assert (bar.close, bar.high, bar.confirmed) == (D("0.001"), D("0.001"), True)
    (index,) = price_bars(feed, PriceKind.INDEX, "BTCUSDT", INTERVALS["5"], START, START, now)
    assert (index.close, index.volume) == (60_000, 0)
