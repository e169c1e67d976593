"""The market of recorded candles: what is served is what was recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from domain.candle import Timeframe, from_ms
from domain.market import Category
from exchange.paper.feeds.candle_file import CandleFileRefused, read_candle_file
from exchange.paper.feeds.replay import replay_feed
from tests.exchange.paper.market_case import sum_of

DATA = Path(__file__).parents[4] / "shared" / "data"
BITCOIN = DATA / "ohlcv" / "BTCUSDT_15m.parquet"
FAR = datetime(2100, 1, 1, tzinfo=UTC)
COLUMNS = ("open", "high", "low", "close", "volume")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not BITCOIN.exists(), reason=f"no recorded market data in {DATA}"),
]


@pytest.mark.parametrize("category", list(Category))
def test_replayed_bitcoin_candles_equal_the_recorded_ones(category: Category) -> None:
    feed = replay_feed([str(BITCOIN)], seed=1)
    frame = pd.read_parquet(BITCOIN)
    begin, end = frame["open_time"].iloc[0], frame["open_time"].iloc[-1]
    told = feed.bars(category, "BTCUSDT", "15m", begin.to_pydatetime(), end.to_pydatetime(), FAR)
    assert len(told) == len(frame) == 55_680
    for column in COLUMNS:
        assert [getattr(bar, column) for bar in told] == [Decimal(repr(value)) for value in frame[column].tolist()]


def test_replayed_bitcoin_ticks_add_up_to_the_recorded_candles() -> None:
    feed = replay_feed([f"linear:{BITCOIN}"], seed=9)
    first = feed.start + timedelta(days=100)
    bars = feed.bars(Category.LINEAR, "BTCUSDT", "15m", first, first + timedelta(days=2), FAR)
    for bar in bars:
        last = bar.open_time + timedelta(minutes=15, microseconds=-1)
        assert bar == sum_of(
            list(feed.ticks(bar.open_time - timedelta(microseconds=1), last)), bar.open_time, confirmed=True
        )


@pytest.mark.parametrize("timeframe", [Timeframe.H1, Timeframe.H4, Timeframe.D1])
def test_longer_candles_equal_the_exchanges_own(timeframe: Timeframe) -> None:
    feed = replay_feed([str(BITCOIN)], seed=1)
    recorded = pd.read_parquet(DATA / "ohlcv" / f"BTCUSDT_{timeframe}.parquet")
    recorded = recorded[recorded["open_time"] >= "2024-01-01"].set_index("open_time")
    bars = feed.bars(Category.LINEAR, "BTCUSDT", timeframe, datetime(2024, 1, 1, tzinfo=UTC), feed.start, FAR)
    served = pd.DataFrame(
        {column: [float(getattr(bar, column)) for bar in bars] for column in COLUMNS},
        index=pd.DatetimeIndex([bar.open_time for bar in bars]),
    )
    common = served.index.intersection(recorded.index)
    assert len(common) > 300
    for column in COLUMNS:
        assert served.loc[common, column].to_numpy() == pytest.approx(
            recorded.loc[common, column].to_numpy(), rel=1e-12
        )


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_a_recorded_hole_is_refused_with_its_row(symbol: str) -> None:
    path = DATA / "gapped" / f"{symbol}_15m.parquet"
    times = pd.read_parquet(path)["open_time"]
    row = int((times.diff() > timedelta(minutes=15)).to_numpy().argmax()) + 1
    with pytest.raises(CandleFileRefused, match=f"data row {row} .* gap") as told:
        read_candle_file(path)
    assert told.value.row == row
    assert times.iloc[row - 1] == datetime(2025, 6, 26, 21, 45, tzinfo=UTC)


def test_every_recorded_perpetual_can_be_replayed() -> None:
    for path in sorted((DATA / "ohlcv").glob("*_1[dw].parquet")):
        file = read_candle_file(path)
        feed = replay_feed([f"linear:{path}"], seed=1)
        begin = from_ms(int(file.series.open_time[0]))
        last = begin + 300 * file.timeframe.duration
        bars = feed.bars(Category.LINEAR, file.symbol, file.timeframe, begin, last, FAR)
        assert [float(bar.high) for bar in bars] == file.series.high[: len(bars)].tolist()
        assert next(iter(feed.ticks(feed.start, feed.start + timedelta(days=1)))).symbol == file.symbol
