"""Funding: Bybit's formula over the premium of eight hours, recorded rates where there are some."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feed import Feed
from exchange.paper.feeds.candle_file import CandleFileRefused
from exchange.paper.feeds.reference_prices import funding_rate
from exchange.paper.feeds.replay import ReplayRefused, replay_feed
from exchange.paper.feeds.synthetic import synthetic_feed
from tests.exchange.paper.market_case import BEGIN, candle_file, candle_frame

START = datetime(2025, 1, 1, tzinfo=UTC)
EIGHT_HOURS = timedelta(hours=8)
QUARTER = timedelta(minutes=15)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return synthetic_feed({"BTCUSDT": Decimal(60_000)}, seed=2, start=START)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, "0.0001"),
        (0.0006, "0.0001"),
        (-0.0004, "0.0001"),
        (0.0008, "0.0003"),
        (-0.0008, "-0.0003"),
        (0.02, "0.005"),
        (-0.02, "-0.005"),
    ],
)
def test_the_rate_is_interest_within_the_clamp_and_the_premiums_excess_beyond(premium: float, rate: str) -> None:
    assert funding_rate(premium) == Decimal(rate)


@given(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1))
def test_the_rate_never_falls_as_the_premium_rises(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert Decimal("-0.005") <= funding_rate(low) <= funding_rate(high) <= Decimal("0.005")


def premium_of(feed: Feed, begin: datetime, end: datetime) -> float:
    spot, linear = (
        np.array([float(bar.close) for bar in feed.bars(category, "BTCUSDT", "15m", begin, end - QUARTER, end)])
        for category in (Category.SPOT, Category.LINEAR)
    )
    return float(((linear - spot) / spot).mean())


def test_it_is_the_formula_over_the_quarter_hours_before(feed: Feed) -> None:
    for number in range(30):
        at = START - number * EIGHT_HOURS
        assert feed.funding_rate("BTCUSDT", at) == funding_rate(premium_of(feed, at - EIGHT_HOURS, at))


def test_a_prediction_knows_what_closed_by_now_and_becomes_the_rate(feed: Feed) -> None:
    at = START + EIGHT_HOURS
    now = START + timedelta(hours=3, minutes=22)
    wanted = premium_of(feed, START, START + timedelta(hours=3, minutes=15))
    assert feed.funding_rate("BTCUSDT", at, now) == funding_rate(wanted)
    assert feed.funding_rate("BTCUSDT", at, at) == feed.funding_rate("BTCUSDT", at)
    first = feed.funding_rate("BTCUSDT", at, START + timedelta(minutes=1))
    assert first == funding_rate(premium_of(feed, START - QUARTER, START))


def funding_file(folder: Path, count: int, symbol: str = "BTCUSDT") -> Path:
    path = folder / f"{symbol}_funding.csv"
    times = pd.date_range(BEGIN, periods=count, freq="8h")
    rates = [(number - 3) / 1e5 for number in range(count)]
    pd.DataFrame({"symbol": symbol, "open_time": times, "funding_rate": rates}).to_csv(path, index=False)
    return path


def test_a_funding_file_is_what_is_settled_and_the_formula_where_it_ends(tmp_path: Path) -> None:
    candles, rates = candle_file(tmp_path, 10 * 96), funding_file(tmp_path, 9)
    feed = replay_feed([str(candles), f"funding:{rates}"], seed=1)
    told = [feed.funding_rate("BTCUSDT", BEGIN + number * EIGHT_HOURS) for number in range(12)]
    assert told[:9] == [Decimal(number - 3) / 100_000 for number in range(9)]
    assert set(told[9:]) == {Decimal("0.0001")}  # spot and perpetual of one file trade at one price
    at = BEGIN + 5 * EIGHT_HOURS
    assert feed.funding_rate("BTCUSDT", at, at - timedelta(minutes=1)) == told[4]  # nothing is told of the future
    assert feed.epoch != replay_feed([str(candles)], seed=1).epoch


def test_a_candle_files_own_rates_are_those_of_candles_that_open_at_a_settlement(tmp_path: Path) -> None:
    frame = candle_frame(200, Timeframe.H4)
    frame["funding_rate"] = [number // 2 / 1e5 for number in range(200)]
    frame.loc[10, "funding_rate"] = None
    path = tmp_path / "BTCUSDT_4h.parquet"
    frame.to_parquet(path)
    feed = replay_feed([str(path)], seed=1)
    told = [feed.funding_rate("BTCUSDT", BEGIN + number * EIGHT_HOURS) for number in range(8)]
    assert told == [Decimal(n) / 100_000 if n != 5 else Decimal("0.0001") for n in range(8)]


def test_funding_that_fits_no_market_is_refused(tmp_path: Path) -> None:
    candles, rates = candle_file(tmp_path, 10 * 96), funding_file(tmp_path, 9, "ETHUSDT")
    with pytest.raises(ReplayRefused, match="funding rates of ETHUSDT, whose perpetual no file replays"):
        replay_feed([str(candles), f"funding:{rates}"], seed=1)
    with pytest.raises(ReplayRefused, match="funding rates alone"):
        replay_feed([f"funding:{rates}"], seed=1)


@pytest.mark.parametrize(("rate", "rule"), [("1.5", "outside -0.05 to 0.05"), ("soon", "not a number")])
def test_a_rate_that_no_exchange_asks_is_refused_with_its_row(tmp_path: Path, rate: str, rule: str) -> None:
    path = funding_file(tmp_path, 9)
    lines = path.read_text().splitlines()
    lines[3] = f"BTCUSDT,2024-01-01 16:00:00+00:00,{rate}"
    path.write_text("\n".join(lines))
    with pytest.raises(CandleFileRefused, match=rf"data row 3 .*{rule}"):
        replay_feed([str(candle_file(tmp_path, 10 * 96)), f"funding:{path}"], seed=1)
