"""The synthetic market: the same for the same seed, without end, and shaped like real ones."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feed import Feed
from exchange.paper.feeds.synthetic import synthetic_feed
from tests.exchange.paper.market_case import sum_of

START = datetime(2025, 1, 1, tzinfo=UTC)
LINEAR, SPOT = Category.LINEAR, Category.SPOT
OPENING = {"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000), "NEWUSDT": Decimal("0.5")}


def market(seed: int = 1, **opening: Decimal) -> Feed:
    return synthetic_feed(opening or OPENING, seed=seed, start=START)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return market()


def returns(feed: Feed, symbol: str, days: int = 300) -> np.ndarray:
    bars = feed.bars(LINEAR, symbol, "15m", START - timedelta(days=days), START, START)
    return np.diff(np.log([float(bar.close) for bar in bars]))


def test_history_for_every_warm_up_is_there_at_once() -> None:
    begun = time.perf_counter()
    fresh = market()
    days = fresh.bars(LINEAR, "BTCUSDT", "1d", START - timedelta(days=400), START, START)
    elapsed = time.perf_counter() - begun
    assert len([bar for bar in days if bar.confirmed]) == 400
    assert len(fresh.bars(SPOT, "ETHUSDT", "1w", START - timedelta(weeks=100), START, START)) == 100
    assert elapsed < 3  # under 0.3 s where nothing else runs


def test_answers_do_not_depend_on_the_order_of_questions(feed: Feed) -> None:
    later = START + timedelta(days=50, minutes=7)
    jumped = market()
    ahead = list(jumped.ticks(later, later + timedelta(hours=1)))
    days = jumped.bars(SPOT, "NEWUSDT", "1d", START - timedelta(days=30), START, later)
    assert feed.bars(SPOT, "NEWUSDT", "1d", START - timedelta(days=30), START, later) == days
    assert list(feed.ticks(START, START + timedelta(hours=1))) == list(jumped.ticks(START, START + timedelta(hours=1)))
    assert list(feed.ticks(later, later + timedelta(hours=1))) == ahead


def test_a_symbol_does_not_depend_on_which_others_are_traded(feed: Feed) -> None:
    alone = market(ETHUSDT=Decimal(3_000))
    now = START + timedelta(days=1)
    assert alone.bars(LINEAR, "ETHUSDT", "1h", START, now, now) == feed.bars(LINEAR, "ETHUSDT", "1h", START, now, now)
    assert alone.epoch != feed.epoch


def test_another_seed_is_another_market(feed: Feed) -> None:
    other = market(seed=2)
    assert other.epoch != feed.epoch
    assert market().epoch == feed.epoch
    now = START + timedelta(days=1)
    assert other.last_price(LINEAR, "BTCUSDT", now) != feed.last_price(LINEAR, "BTCUSDT", now)


def test_every_symbol_stands_at_its_opening_price_at_the_start(feed: Feed) -> None:
    for symbol, price in OPENING.items():
        assert float(feed.last_price(SPOT, symbol, START)) == pytest.approx(float(price), rel=1e-3)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M15, Timeframe.H4])
def test_candles_are_the_sum_of_their_ticks_across_weeks(feed: Feed, timeframe: Timeframe) -> None:
    monday = Timeframe.W1.floor(START + timedelta(days=10))
    first, now = monday - 2 * timeframe.duration, monday + timeframe.duration
    for bar in feed.bars(SPOT, "BTCUSDT", timeframe, first, now - timeframe.duration, now):
        last = bar.open_time + timeframe.duration - timedelta(microseconds=1)
        inside = feed.ticks(bar.open_time - timedelta(microseconds=1), last)
        ticks = [t for t in inside if (t.category, t.symbol) == (SPOT, "BTCUSDT")]
        assert bar == sum_of(ticks, bar.open_time, confirmed=True)


def test_candles_open_where_the_last_one_closed(feed: Feed) -> None:
    for category in Category:
        bars = feed.bars(category, "ETHUSDT", "15m", START - timedelta(days=20), START + timedelta(days=20), START)
        assert all(bar.open == before.close for before, bar in pairwise(bars))


def test_spot_and_perpetual_differ_by_a_small_basis(feed: Feed) -> None:
    now = START + timedelta(days=20)
    spot, linear = (
        np.array([float(bar.close) for bar in feed.bars(category, "BTCUSDT", "1h", START, now, now)])
        for category in Category
    )
    basis = np.abs(linear / spot - 1)
    assert 0 < basis.mean() < 0.0005
    assert basis.max() < 0.002


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_returns_have_fat_tails_clustered_volatility_and_no_memory(seed: int) -> None:
    r = returns(market(seed), "BTCUSDT")
    size = np.abs(r)
    assert 0.0012 < r.std() < 0.006  # recorded BTC: 0.0029
    assert np.mean((r / r.std()) ** 4) > 6  # recorded BTC: 18
    assert abs(np.corrcoef(r[:-1], r[1:])[0, 1]) < 0.05  # recorded BTC: 0.002
    assert np.corrcoef(size[:-1], size[1:])[0, 1] > 0.12  # recorded BTC: 0.32
    assert np.corrcoef(size[:-96], size[96:])[0, 1] > 0.05  # recorded BTC, a day apart: 0.12


def test_other_symbols_follow_bitcoin(feed: Feed) -> None:
    bitcoin = returns(feed, "BTCUSDT")
    for symbol in ("ETHUSDT", "NEWUSDT"):
        assert 0.4 < np.corrcoef(bitcoin, returns(feed, symbol))[0, 1] < 0.97


def test_the_market_stays_plausible_for_years() -> None:
    feed = market(5, BTCUSDT=Decimal(60_000))
    prices = [float(feed.last_price(LINEAR, "BTCUSDT", START + timedelta(weeks=week))) for week in range(157)]
    assert 60_000 / 30 < min(prices) < max(prices) < 60_000 * 30
    assert feed.end is None
