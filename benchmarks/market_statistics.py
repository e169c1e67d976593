"""``python -m benchmarks.market_statistics``: the synthetic market beside recorded ones, as a table in Markdown.

The same figures are taken of both: recorded quarter hours for prices and volumes, recorded 4-hour candles of perpetual
and index for the basis, settled funding, open interest and account ratio. Synthetic figures are means over seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.market import Category
from exchange.paper.feed import Feed
from exchange.paper.feeds.synthetic import synthetic_feed

DATA = Path(__file__).parents[2] / "shared" / "data"
SYMBOLS = {"BTCUSDT": "60000", "ETHUSDT": "3000", "SOLUSDT": "150", "XRPUSDT": "2"}
START = datetime(2025, 1, 1, tzinfo=UTC)
HISTORY = timedelta(days=700)
_HOURS_4_MS = 4 * 3600 * 1000
_QUARTERS_A_YEAR = 365 * 96
_ALL = 10**9

Floats = npt.NDArray[np.float64]
Figures = dict[str, float]

LABELS = {
    "volatility": "volatility a year, of 1 h returns",
    "kurtosis_15m": "kurtosis of 15 m returns",
    "kurtosis_1h": "kurtosis of 1 h returns",
    "kurtosis_4h": "kurtosis of 4 h returns",
    "size_1": "autocorrelation of 15 m \\|returns\\|, 1 bar",
    "size_4": "the same, 4 bars (an hour)",
    "size_24": "the same, 24 bars",
    "size_96": "the same, 96 bars (a day)",
    "bitcoin": "correlation of 1 h returns with BTC",
    "volume_hour": "autocorrelation of volume, an hour",
    "volume_day": "autocorrelation of volume, a day",
    "interest_change": "deviation of 4 h changes of open interest",
    "basis_mean": "basis, mean (bp)",
    "basis_deviation": "basis, deviation (bp)",
    "funding_mean": "funding, mean (bp)",
    "funding_deviation": "funding, deviation (bp)",
    "funding_8h": "funding, autocorrelation 8 h",
    "funding_day": "funding, autocorrelation a day",
    "funding_week": "funding, autocorrelation a week",
    "funding_positive": "funding, share above 0",
    "funding_trend": "funding, correlation with the last 30 days' return",
    "ratio_mean": "long accounts, mean share",
    "ratio_deviation": "long accounts, deviation",
    "ratio_day": "long accounts, autocorrelation a day",
    "ratio_returns": "long accounts, correlation with the last 3 days' return",
}


@dataclass(frozen=True)
class Sample:
    """What a market is measured on; ``bitcoin`` are BTC's closes at the same quarter hours."""

    close: Floats
    volume: Floats
    bitcoin: Floats
    perpetual: Floats  # of 4-hour candles, as the two below
    index: Floats
    interest: Floats
    long_ratio: Floats
    funding: Floats  # at the settlements that open every second 4-hour candle, from the first


def figures(sample: Sample) -> Figures:
    """Every figure of ``LABELS``; changes are of logarithms."""
    returns = {bars: np.diff(np.log(sample.close[::bars])) for bars in (1, 4, 16)}
    size, bitcoin = np.abs(returns[1]), np.diff(np.log(sample.bitcoin[::4]))
    hourly, daily = (_sums(sample.volume, bars) for bars in (4, 96))
    basis = (sample.perpetual - sample.index) / sample.index * 1e4
    funding, price = sample.funding * 1e4, np.log(sample.perpetual)
    month, days = price[180:] - price[:-180], price[18:] - price[:-18]
    known = sample.long_ratio > 0
    interest = np.diff(np.log(np.where(sample.interest > 0, sample.interest, np.nan)))
    return {
        "volatility": float(returns[4].std() * np.sqrt(_QUARTERS_A_YEAR / 4)),
        **{f"kurtosis_{name}": _kurtosis(returns[bars]) for name, bars in (("15m", 1), ("1h", 4), ("4h", 16))},
        **{f"size_{lag}": _memory(size, lag) for lag in (1, 4, 24, 96)},
        "bitcoin": _correlation(returns[4], bitcoin),
        "volume_hour": _memory(hourly, 1),
        "volume_day": _memory(daily, 1),
        "interest_change": float(np.nanstd(interest)),
        "basis_mean": float(basis.mean()),
        "basis_deviation": float(basis.std()),
        "funding_mean": float(funding.mean()),
        "funding_deviation": float(funding.std()),
        **{f"funding_{name}": _memory(funding, lag) for name, lag in (("8h", 1), ("day", 3), ("week", 21))},
        "funding_positive": float((funding > 0).mean()),
        "funding_trend": _correlation(funding[90:], month[: 2 * len(funding[90:]) : 2]),
        "ratio_mean": float(sample.long_ratio[known].mean()),
        "ratio_deviation": float(sample.long_ratio[known].std()),
        "ratio_day": _memory(sample.long_ratio, 6),
        "ratio_returns": _correlation(sample.long_ratio[18:], days),
    }


def recorded(symbol: str, data: Path = DATA) -> Sample:
    """A recorded perpetual: quarter hours since 2023-12, the rest since 2021-11."""
    quarters, bitcoin = (_closes(data, name) for name in (symbol, "BTCUSDT"))
    joined = quarters.join(bitcoin[["close"]].set_axis(["bitcoin"], axis=1), how="inner")
    hours = pd.read_parquet(data / "derivs" / f"{symbol}_4h.parquet")
    begin = int(np.argmax((hours["open_time"].dt.hour % 8 == 0).to_numpy()))
    hours = hours.iloc[begin:]
    names = ("close", "index_close", "open_interest", "long_ratio")
    return Sample(
        *(joined[name].to_numpy(np.float64) for name in ("close", "volume", "bitcoin")),
        *(hours[name].to_numpy(np.float64) for name in names),
        funding=hours["funding_rate"].to_numpy(np.float64)[::2],
    )


def synthetic_market(seed: int) -> Feed:
    """The market that is measured: its two years of history before ``START``."""
    return synthetic_feed({name: Decimal(price) for name, price in SYMBOLS.items()}, seed=seed, start=START)


def synthetic(feed: Feed, symbol: str) -> Sample:
    """A synthetic perpetual over the ``HISTORY`` before ``START``."""
    begin = START - HISTORY
    quarters = feed.bars(Category.LINEAR, symbol, "15m", begin, START, START)[:-1]
    bitcoin = feed.bars(Category.LINEAR, "BTCUSDT", "15m", begin, START, START)[:-1]
    closes = {
        category: np.array([float(bar.close) for bar in feed.bars(category, symbol, "4h", begin, START, START)[:-1]])
        for category in Category
    }
    last = START - timedelta(milliseconds=1)
    settlements = (begin + timedelta(hours=8 * i) for i in range(len(closes[Category.LINEAR]) // 2))
    return Sample(
        close=np.array([float(bar.close) for bar in quarters]),
        volume=np.array([float(bar.volume) for bar in quarters]),
        bitcoin=np.array([float(bar.close) for bar in bitcoin]),
        perpetual=closes[Category.LINEAR],
        index=closes[Category.SPOT],
        interest=np.array([float(x.value) for x in feed.open_interest(symbol, _HOURS_4_MS, begin, last, START, _ALL)]),
        long_ratio=np.array([float(x.long) for x in feed.account_ratio(symbol, _HOURS_4_MS, begin, last, START, _ALL)]),
        funding=np.array([float(feed.funding_rate(symbol, at)) for at in settlements]),
    )


def table(data: Path, seeds: Sequence[int]) -> str:
    """The Markdown table: for each symbol what was recorded, and the synthetic mean with its range over ``seeds``."""
    markets = [synthetic_market(seed) for seed in seeds]
    columns: list[list[str]] = []
    for symbol in SYMBOLS:
        told = figures(recorded(symbol, data))
        made = [figures(synthetic(market, symbol)) for market in markets]
        columns.append([_number(told[key]) for key in LABELS])
        columns.append([_spread([each[key] for each in made]) for key in LABELS])
    head = ["", *(f"{name.removesuffix('USDT')} {kind}" for name in SYMBOLS for kind in ("recorded", "synthetic"))]
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *map(list, zip(LABELS.values(), *columns, strict=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market_statistics", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="recorded market data (ohlcv/ and derivs/ in it)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    given = parser.parse_args(arguments)
    if not (given.data / "derivs").is_dir():
        sys.stderr.write(f"no recorded market data in {given.data}: give its folder with --data\n")
        return 1
    sys.stdout.write(table(given.data, given.seeds) + "\n")
    return 0


def _closes(data: Path, symbol: str) -> pd.DataFrame:
    path = data / "ohlcv" / f"{symbol}_15m.parquet"
    return pd.read_parquet(path, columns=["open_time", "close", "volume"]).set_index("open_time")


def _sums(values: Floats, count: int) -> Floats:
    return values[: len(values) // count * count].reshape(-1, count).sum(axis=1)


def _kurtosis(values: Floats) -> float:
    return float(np.mean(((values - values.mean()) / values.std()) ** 4))


def _correlation(one: Floats, other: Floats) -> float:
    count = min(len(one), len(other))
    return float(np.corrcoef(one[:count], other[:count])[0, 1])


def _memory(values: Floats, lag: int) -> float:
    return _correlation(values[:-lag], values[lag:])


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _spread(values: list[float]) -> str:
    return f"{_number(float(np.mean(values)))} ({_number(min(values))} to {_number(max(values))})"


if __name__ == "__main__":
    sys.exit(main())
