"""A replayed market: its candles are the file's, its ticks add up to them, and no answer depends on another."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feed import Bar, Feed
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.replay import ReplayRefused, replay_feed
from tests.exchange.paper.market_case import BEGIN, candle_file, candle_frame, sum_of

LINEAR, SPOT = Category.LINEAR, Category.SPOT
QUARTER = Timeframe.M15.duration
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return candle_file(tmp_path, 40 * 96)


@pytest.fixture
def feed(path: Path) -> Feed:
    return replay_feed([str(path)], seed=11)


def test_base_candles_are_the_files_to_the_last_digit(feed: Feed) -> None:
    told = feed.bars(LINEAR, "BTCUSDT", "15m", BEGIN, FAR, FAR)
    frame = candle_frame(40 * 96)
    assert [bar.open_time for bar in told] == list(frame["open_time"])
    for column in ("open", "high", "low", "close", "volume"):
        assert [getattr(bar, column) for bar in told] == [Decimal(repr(value)) for value in frame[column].tolist()]


@pytest.mark.parametrize("category", list(Category))
@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_every_candle_is_the_sum_of_its_ticks(feed: Feed, category: Category, timeframe: Timeframe) -> None:
    now = feed.start + timedelta(days=8, minutes=7, seconds=31)
    first = max(timeframe.floor(now) - 2 * timeframe.duration, timeframe.floor(feed.start))
    told = feed.bars(category, "BTCUSDT", timeframe, first, now, now)
    assert told
    assert not told[-1].confirmed
    for bar in told:
        if bar.open_time < feed.start:
            continue  # published in part only: its history has no ticks
        until = min(bar.open_time + timeframe.duration - timedelta(microseconds=1), now)
        inside = feed.ticks(bar.open_time - timedelta(microseconds=1), until)
        ticks = [tick for tick in inside if tick.category is category]
        assert bar == sum_of(ticks, bar.open_time, confirmed=bar.open_time + timeframe.duration <= now)


def test_longer_candles_add_up_the_shorter_ones(feed: Feed) -> None:
    now = feed.start + timedelta(days=3, hours=5, minutes=20)
    fine = feed.bars(LINEAR, "BTCUSDT", "15m", BEGIN, now, now)
    for timeframe in (Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1):
        inside: defaultdict[datetime, list[Bar]] = defaultdict(list)
        for part in fine:
            inside[timeframe.floor(part.open_time)].append(part)
        told = feed.bars(LINEAR, "BTCUSDT", timeframe, Timeframe.W1.floor(BEGIN), now, now)
        assert [bar.open_time for bar in told] == list(inside)
        for bar in told:
            parts = inside[bar.open_time]
            assert (bar.open, bar.close) == (parts[0].open, parts[-1].close)
            assert bar.high == max(part.high for part in parts)
            assert bar.low == min(part.low for part in parts)
            assert bar.volume == sum(part.volume for part in parts)
            assert bar.turnover == sum(part.turnover for part in parts)


def test_ticks_of_neighbouring_stretches_are_the_ticks_of_the_whole(feed: Feed) -> None:
    whole = list(feed.ticks(feed.start, feed.start + timedelta(hours=3)))
    cuts = sorted(random.Random(5).uniform(0, 10_800) for _ in range(60))
    instants = [feed.start, *(feed.start + timedelta(seconds=cut) for cut in cuts), feed.start + timedelta(hours=3)]
    parts = [tick for a, b in pairwise(instants) for tick in feed.ticks(a, b)]
    assert parts == whole
    assert [(t.at, t.category, t.symbol, t.sequence) for t in whole] == sorted(
        (t.at, t.category, t.symbol, t.sequence) for t in whole
    )
    assert len({(t.category, t.symbol, t.sequence) for t in whole}) == len(whole)


def test_answers_do_not_depend_on_the_order_of_questions(path: Path) -> None:
    def asked(feed: Feed, order: list[int]) -> dict[int, object]:
        now = feed.start + timedelta(days=2, minutes=8)
        questions = [
            lambda: list(feed.ticks(feed.start, feed.start + timedelta(hours=1))),
            lambda: list(feed.ticks(now, now + timedelta(hours=5))),
            lambda: feed.bars(LINEAR, "BTCUSDT", "1d", BEGIN, now, now),
            lambda: feed.bars(SPOT, "BTCUSDT", "1m", now - timedelta(hours=4), now, now),
            lambda: feed.recent_ticks(LINEAR, "BTCUSDT", now, 700),
            lambda: feed.last_price(SPOT, "BTCUSDT", now),
            lambda: feed.liquidity(LINEAR, "BTCUSDT", now),
        ]
        return {index: questions[index]() for index in order}

    forwards, backwards = list(range(7)), list(range(6, -1, -1))
    first = asked(replay_feed([str(path)], seed=11), forwards)
    assert asked(replay_feed([str(path)], seed=11), backwards) == first
    assert asked(replay_feed([str(path)], seed=12), forwards)[0] != first[0]


def test_recent_ticks_and_last_price_are_the_end_of_what_was_told(feed: Feed) -> None:
    now = feed.start + timedelta(hours=6, minutes=4)
    told = [tick for tick in feed.ticks(feed.start, now) if tick.category is SPOT]
    assert feed.recent_ticks(SPOT, "BTCUSDT", now, 1000) == told[-1000:]
    assert feed.last_price(SPOT, "BTCUSDT", now) == told[-1].price
    assert feed.last_price(SPOT, "BTCUSDT", feed.start) == feed.recent_ticks(SPOT, "BTCUSDT", feed.start, 1)[0].price


def test_spot_and_linear_take_the_same_way_on_their_own_grids(feed: Feed) -> None:
    ticks = list(feed.ticks(feed.start, feed.start + timedelta(hours=2)))
    spot, linear = ([t for t in ticks if t.category is c] for c in (SPOT, LINEAR))
    assert [t.at for t in spot] == [t.at for t in linear]
    assert max(abs(a.price - b.price) for a, b in zip(spot, linear, strict=True)) <= Decimal("0.05")
    assert all(t.price % Decimal("0.1") == 0 for t in linear)


def test_the_market_ends_with_the_file(feed: Feed) -> None:
    assert feed.end is not None
    assert feed.end == BEGIN + timedelta(days=40)
    assert list(feed.ticks(feed.end, FAR)) == []
    assert all(bar.confirmed for bar in feed.bars(LINEAR, "BTCUSDT", "1h", BEGIN, FAR, feed.end))


def test_the_market_starts_sixty_percent_in_unless_told(path: Path) -> None:
    assert replay_feed([str(path)], seed=1).start == BEGIN + timedelta(days=24)
    told = BEGIN + timedelta(days=3, minutes=20)
    assert replay_feed([str(path)], seed=1, start=told).start == BEGIN + timedelta(days=3, minutes=15)


@pytest.mark.parametrize("start", [BEGIN - timedelta(days=1), BEGIN + timedelta(days=40)])
def test_a_start_outside_the_file_is_refused(path: Path, start: datetime) -> None:
    with pytest.raises(
        ReplayRefused, match=r"start: .* is outside the files' time, 2024-01-01 00:00 to 2024-02-10 00:00"
    ):
        replay_feed([str(path)], seed=1, start=start)


def test_the_epoch_names_files_seed_and_start(tmp_path: Path, path: Path) -> None:
    epoch = replay_feed([str(path)], seed=1).epoch
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    assert replay_feed([str(path.rename(moved / path.name))], seed=1).epoch == epoch
    path = moved / path.name
    other = candle_file(tmp_path, 40 * 96, seed=4)
    different = [
        replay_feed([str(path)], seed=2),
        replay_feed([str(path)], seed=1, start=BEGIN + timedelta(days=5)),
        replay_feed([f"linear:{path}"], seed=1),
        replay_feed([str(other)], seed=1),
    ]
    assert len({epoch, *(feed.epoch for feed in different)}) == 5


def test_a_prefix_limits_a_file_to_its_category(path: Path) -> None:
    feed = replay_feed([f"linear:{path}"], seed=1)
    assert [(i.category, i.symbol) for i in feed.instruments()] == [(LINEAR, "BTCUSDT")]
    with pytest.raises(UnknownSymbol):
        feed.last_price(SPOT, "BTCUSDT", feed.start)


def test_several_files_are_one_market_of_their_common_time(tmp_path: Path, path: Path) -> None:
    other = candle_file(tmp_path, 20 * 24, Timeframe.H1, symbol="ETHUSDT")
    feed = replay_feed([str(path), str(other)], seed=1)
    assert {i.symbol for i in feed.instruments()} == {"BTCUSDT", "ETHUSDT"}
    assert feed.end == BEGIN + timedelta(days=20)
    assert {t.symbol for t in feed.ticks(feed.start, feed.start + timedelta(hours=1))} == {"BTCUSDT", "ETHUSDT"}


def test_the_same_symbol_twice_is_refused(tmp_path: Path, path: Path) -> None:
    again = candle_file(tmp_path, 100, Timeframe.H1)
    with pytest.raises(ReplayRefused, match="already replayed"):
        replay_feed([str(path), f"spot:{again}"], seed=1)


def test_candles_without_volume_have_no_ticks_and_stand_flat(tmp_path: Path) -> None:
    frame = candle_frame(200)
    frame.loc[100:102, ["open", "high", "low", "close"]] = 41_000.0
    frame.loc[100:102, "volume"] = 0.0
    path = tmp_path / "BTCUSDT_15m.csv"
    frame.to_csv(path, index=False)
    feed = replay_feed([f"linear:{path}"], seed=1, start=BEGIN + QUARTER)
    quiet = BEGIN + 100 * QUARTER
    assert list(feed.ticks(quiet - timedelta(microseconds=1), quiet + 3 * QUARTER - timedelta(microseconds=1))) == []
    bars = feed.bars(LINEAR, "BTCUSDT", "1m", quiet, quiet + 2 * QUARTER, FAR)
    assert {(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars} == {
        (*[Decimal(41_000)] * 4, Decimal(0))
    }
    assert len(bars) == 31


def test_minute_candles_without_a_trade_repeat_the_last_price(tmp_path: Path) -> None:
    path = candle_file(tmp_path, 60, Timeframe.D1)
    feed = replay_feed([f"linear:{path}"], seed=1)
    now = feed.start + timedelta(hours=3)
    bars = feed.bars(LINEAR, "BTCUSDT", "1m", feed.start, now, now)
    assert [bar.open_time for bar in bars if bar.confirmed] == [feed.start + timedelta(minutes=i) for i in range(180)]
    quiet = [(before, bar) for before, bar in pairwise(bars) if bar.volume == 0]
    assert quiet
    assert all(bar.open == bar.high == bar.low == bar.close == before.close for before, bar in quiet)


def test_turnover_of_history_is_the_files_where_it_knows(tmp_path: Path) -> None:
    frame = candle_frame(400)
    frame["turnover"] = [1234.5 if i % 2 else None for i in range(400)]
    path = tmp_path / "BTCUSDT_15m.parquet"
    frame.to_parquet(path)
    feed = replay_feed([f"linear:{path}"], seed=1)
    bars = feed.bars(LINEAR, "BTCUSDT", "15m", BEGIN, feed.start - QUARTER, FAR)
    assert {bar.turnover for bar in bars[1::2]} == {Decimal("1234.5")}
    typical = (bars[0].open + bars[0].high + bars[0].low + bars[0].close) / 4
    assert bars[0].turnover == pytest.approx(bars[0].volume * typical)


def test_prices_finer_than_the_tick_are_kept(tmp_path: Path) -> None:
    frame = candle_frame(100)
    prices = ["open", "high", "low", "close"]
    frame[prices] = (frame[prices] + 0.0375).round(4)
    path = tmp_path / "BTCUSDT_15m.csv"
    frame.to_csv(path, index=False)
    feed = replay_feed([f"linear:{path}"], seed=1)
    expected = [Decimal(repr(v)) for v in pd.read_csv(path)["high"].tolist()]
    assert [bar.high for bar in feed.bars(LINEAR, "BTCUSDT", "15m", BEGIN, FAR, FAR)] == expected


def test_liquidity_follows_volume_and_volatility(tmp_path: Path) -> None:
    def market(scale: float, volume: float) -> Feed:
        frame = candle_frame(300)
        middle = 40_000.0
        prices = ["open", "high", "low", "close"]
        frame[prices] = (middle + (frame[prices] - middle) * scale).round(1)
        frame["volume"] = (frame["volume"] * volume).round(3)
        path = tmp_path / "BTCUSDT_15m.csv"
        frame.to_csv(path, index=False)
        return replay_feed([f"linear:{path}"], seed=1)

    calm, wild, deep = (m.liquidity(LINEAR, "BTCUSDT", m.start) for m in (market(1, 1), market(4, 1), market(1, 10)))
    assert wild.half_spread_bps > calm.half_spread_bps > 0
    assert wild.qty_per_bp < calm.qty_per_bp < deep.qty_per_bp
