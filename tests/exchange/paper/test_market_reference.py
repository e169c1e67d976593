"""Mark and index price: the basis of closed candles moves the index, and live prices and candles say the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feed import Feed, PriceKind
from exchange.paper.feeds.candle_file import CandleFileRefused
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.feeds.replay import replay_feed
from exchange.paper.feeds.synthetic import synthetic_feed
from tests.exchange.paper.market_case import BEGIN, candle_frame

LINEAR, SPOT = Category.LINEAR, Category.SPOT
MARK, INDEX = PriceKind.MARK, PriceKind.INDEX
START = datetime(2025, 1, 1, tzinfo=UTC)
QUARTER = Timeframe.M15.duration
MILLISECOND = timedelta(milliseconds=1)
TICK = Decimal("0.1")


def synthetic() -> Feed:
    return synthetic_feed({"BTCUSDT": Decimal(60_000)}, seed=3, start=START)


def two_files(folder: Path, timeframe: Timeframe = Timeframe.M15) -> list[str]:
    """Spot and perpetual of one symbol that go different ways."""
    names: list[str] = []
    for category, seed in (("spot", 5), ("linear", 6)):
        path = folder / f"{category}_{timeframe}.parquet"
        candle_frame(400, timeframe, seed=seed).to_parquet(path)
        names.append(f"{category}:{path}")
    return names


@pytest.fixture(params=["synthetic", "replay 15m", "replay 1h"])
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Feed:
    if request.param == "synthetic":
        return synthetic()
    timeframe = Timeframe(request.param.split()[1])
    return replay_feed(two_files(tmp_path, timeframe), seed=4)


def closes(feed: Feed, category: Category, timeframe: Timeframe, at: datetime) -> Decimal:
    return feed.bars(category, "BTCUSDT", timeframe, at, at, at + timeframe.duration)[0].close


def test_the_index_is_the_spot_price(feed: Feed) -> None:
    now = feed.start + timedelta(hours=2, minutes=7, seconds=3)
    assert feed.index_price("BTCUSDT", now) == feed.last_price(SPOT, "BTCUSDT", now)
    for timeframe in Timeframe:
        spot = feed.bars(SPOT, "BTCUSDT", timeframe, feed.start - timedelta(days=2), now, now)
        index = feed.price_bars(INDEX, "BTCUSDT", timeframe, feed.start - timedelta(days=2), now, now)
        assert [(b.open_time, b.open, b.high, b.low, b.close, b.confirmed) for b in index] == [
            (b.open_time, b.open, b.high, b.low, b.close, b.confirmed) for b in spot
        ]
        assert {bar.volume for bar in index} | {bar.turnover for bar in index} <= {Decimal(0)}


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_the_live_mark_is_the_candle_that_forms_and_ends_as_it_closes(feed: Feed, timeframe: Timeframe) -> None:
    rng = random.Random(8)
    close_time = timeframe.floor(feed.start + timedelta(days=1)) + timeframe.duration
    if feed.end is not None and close_time > feed.end:
        pytest.skip("the files end earlier")
    last = close_time - MILLISECOND
    (candle,) = feed.price_bars(MARK, "BTCUSDT", timeframe, close_time - timeframe.duration, last, close_time)
    assert candle.confirmed
    assert feed.mark_price("BTCUSDT", last) == candle.close
    begin = max(close_time - timeframe.duration, feed.start)
    for _ in range(20):
        now = begin + (last - begin) * rng.random()
        mark = feed.mark_price("BTCUSDT", now)
        assert candle.low <= mark <= candle.high
        assert mark % TICK == 0
        forming = feed.price_bars(MARK, "BTCUSDT", timeframe, close_time - timeframe.duration, now, now)
        assert not forming or (forming[-1].close, forming[-1].confirmed) == (mark, False)


def test_within_a_quarter_the_mark_keeps_the_last_ones_distance(tmp_path: Path) -> None:
    feed = replay_feed(two_files(tmp_path), seed=4)
    for number in range(1, 40):
        begin = feed.start + number * QUARTER
        spot, linear = (closes(feed, category, Timeframe.M15, begin - QUARTER) for category in (SPOT, LINEAR))
        basis = max(min(linear - spot, spot / 100), -spot / 100)
        for share in (0.1, 0.5, 0.9):
            now = begin + QUARTER * share
            wanted = feed.last_price(SPOT, "BTCUSDT", now) + basis
            assert abs(feed.mark_price("BTCUSDT", now) - wanted) <= TICK


def test_a_basis_counts_for_a_hundredth_of_the_index_at_most(tmp_path: Path) -> None:
    names = two_files(tmp_path)
    path = names[1].removeprefix("linear:")
    frame = pd.read_parquet(path)
    frame[["open", "high", "low", "close"]] += 4000
    frame.to_parquet(path)
    feed = replay_feed(names, seed=4)
    now = feed.start + timedelta(minutes=5)
    index = feed.index_price("BTCUSDT", now)
    before = closes(feed, SPOT, Timeframe.M15, feed.start - QUARTER)
    assert abs(feed.mark_price("BTCUSDT", now) - index - before / 100) <= TICK


def test_candles_do_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    names = two_files(tmp_path)
    asked, fresh = replay_feed(names, seed=4), replay_feed(names, seed=4)
    now = asked.start + timedelta(hours=9, minutes=4)
    for minutes in (1, 20, 300):
        asked.mark_price("BTCUSDT", asked.start + timedelta(minutes=minutes))
        asked.price_bars(MARK, "BTCUSDT", "1h", BEGIN, now, asked.start + timedelta(minutes=minutes))
    for timeframe in Timeframe:
        assert asked.price_bars(MARK, "BTCUSDT", timeframe, BEGIN, now, now) == fresh.price_bars(
            MARK, "BTCUSDT", timeframe, BEGIN, now, now
        )


def test_long_candles_sum_the_quarters() -> None:
    feed = synthetic()
    now = START + timedelta(hours=5, minutes=20)
    quarters = feed.price_bars(MARK, "BTCUSDT", "15m", START - timedelta(days=3), now, now)
    for bar in feed.price_bars(MARK, "BTCUSDT", "4h", START - timedelta(days=3), now, now):
        inside = [q for q in quarters if bar.open_time <= q.open_time < bar.open_time + timedelta(hours=4)]
        assert (bar.open, bar.close) == (inside[0].open, inside[-1].close)
        assert (bar.high, bar.low) == (max(q.high for q in inside), min(q.low for q in inside))


def test_a_market_without_spot_is_its_own_index(tmp_path: Path) -> None:
    feed = replay_feed([two_files(tmp_path)[1]], seed=4)
    now = feed.start + timedelta(minutes=37)
    assert (
        feed.mark_price("BTCUSDT", now) == feed.index_price("BTCUSDT", now) == feed.last_price(LINEAR, "BTCUSDT", now)
    )


def test_a_perpetual_pushed_alone_is_marked_where_it_trades_until_spot_trades_too(tmp_path: Path) -> None:
    feed = ManualFeed(tmp_path / "manual.db", {"BTCUSDT": Decimal(60_000)}, START)

    def push(category: Category, price: str, minutes: float) -> datetime:
        (tick,) = feed.push([PushedTrade(category, "BTCUSDT", Decimal(price))], START + timedelta(minutes=minutes))
        return tick.at

    assert feed.mark_price("BTCUSDT", push(LINEAR, "50000", 1)) == Decimal(50_000)
    assert feed.mark_price("BTCUSDT", push(SPOT, "50100", 2)) == Decimal(50_100)
    assert feed.mark_price("BTCUSDT", push(LINEAR, "50050", 3)) == Decimal(50_100)
    now = START + timedelta(minutes=16)
    assert (feed.index_price("BTCUSDT", now), feed.mark_price("BTCUSDT", now)) == (Decimal(50_100), Decimal(50_050))
    past = feed.price_bars(MARK, "BTCUSDT", "1d", START - timedelta(days=400), START - timedelta(days=1), now)
    assert len(past) == 400
    assert {bar.close for bar in past} == {Decimal(60_000)}


def recorded_file(folder: Path, shift: float = 30.0) -> Path:
    """Hours whose mark and index are recorded beside them, 30 and 60 quote coins higher."""
    frame = candle_frame(300, Timeframe.H1)
    for kind, distance in ((MARK, shift), (INDEX, 2 * shift)):
        for price in ("open", "high", "low", "close"):
            frame[f"{kind}_{price}"] = frame[price] + distance
    path = folder / "BTCUSDT_1h.parquet"
    frame.to_parquet(path)
    return path


def test_recorded_prices_are_served_and_followed_within_their_candles(tmp_path: Path) -> None:
    feed = replay_feed([f"linear:{recorded_file(tmp_path)}"], seed=2)
    frame = candle_frame(300, Timeframe.H1)
    told = feed.price_bars(MARK, "BTCUSDT", "1h", BEGIN, BEGIN + timedelta(days=40), BEGIN + timedelta(days=40))
    assert [float(bar.high) for bar in told] == pytest.approx((frame["high"] + 30).tolist())
    rng = random.Random(1)
    for bar in told[200:220]:
        now = bar.open_time + timedelta(hours=1) * rng.random()
        assert bar.low <= feed.mark_price("BTCUSDT", now) <= bar.high
        last = bar.open_time + timedelta(hours=1) - MILLISECOND
        assert feed.mark_price("BTCUSDT", last) == bar.close
        assert feed.index_price("BTCUSDT", last) == bar.close + 30
        # the same path as the trades': all three make their extremes together
        assert float(feed.mark_price("BTCUSDT", now)) == pytest.approx(
            float(feed.last_price(LINEAR, "BTCUSDT", now)) + 30, abs=1
        )


def test_half_a_recorded_price_is_refused(tmp_path: Path) -> None:
    path = recorded_file(tmp_path)
    pd.read_parquet(path).drop(columns=["mark_low"]).to_parquet(path)
    with pytest.raises(CandleFileRefused, match="without mark_low"):
        replay_feed([str(path)], seed=1)


def test_an_impossible_recorded_price_is_refused_with_its_row(tmp_path: Path) -> None:
    path = recorded_file(tmp_path)
    frame = pd.read_parquet(path)
    frame.loc[7, "index_high"] = frame["index_low"].min() / 2
    frame.to_parquet(path)
    with pytest.raises(CandleFileRefused, match=r"data row 8 .* index price: high is below"):
        replay_feed([str(path)], seed=1)


def test_a_thousand_candles_of_four_hours_are_quick() -> None:
    feed = synthetic()
    bars = feed.price_bars(MARK, "BTCUSDT", "4h", START - timedelta(hours=4000), START, START)
    assert len(bars) == 1000
    elapsed = []
    for _ in range(3):
        begun = datetime.now(UTC)
        feed.price_bars(MARK, "BTCUSDT", "4h", START - timedelta(hours=3999), START, START)
        elapsed.append((datetime.now(UTC) - begun).total_seconds())
    assert np.min(elapsed) < 0.5  # 0.02 s where nothing else runs
