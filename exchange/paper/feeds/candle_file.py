"""OHLCV files (Parquet or CSV): read, checked row by row, refused with the row and the rule.

Columns: ``open_time`` (a time, or milliseconds since 1970), ``open high low close volume``; optionally ``symbol``,
``timeframe``, ``turnover``, ``open_interest`` (base coin, known at the open time), ``long_ratio`` (share of accounts),
``funding_rate`` (the last one settled at or before the open time), and the candles of the reference prices as
``mark_open mark_high mark_low mark_close`` and ``index_...``. Symbol and timeframe otherwise come from a name like
``BTCUSDT_15m.csv``.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.candle import CandleDefect, CandleSeries, Timeframe, validate
from exchange.paper.feed import PriceKind

Floats = npt.NDArray[np.float64]

_PRICES = ("open", "high", "low", "close")
_NUMBERS = (*_PRICES, "volume")
_MOST_FUNDING = 0.05  # an instant; no exchange has asked for more


class CandleFileRefused(ValueError):
    """A file that can't be a market's candles; the message names the file, the row and the rule.

    ``row`` counts data rows from 1, a CSV's header line not counted; None where the file as a whole is at fault.
    """

    def __init__(self, path: Path, rule: str, row: int | None = None) -> None:
        where = "" if row is None else f" data row {row} (counted from 1, without the header):"
        super().__init__(f"{path}:{where} {rule}")
        self.path = path
        self.rule = rule
        self.row = row


@dataclass(frozen=True)
class CandleFile:
    """A checked file; ``digest`` identifies the content.

    ``turnover``, ``open_interest``, ``long_ratio`` and ``funding_rate`` are NaN where unknown, None without the column.
    ``references`` has rows of open, high, low and close for the price kinds whose four columns are there.
    """

    path: Path
    symbol: str
    timeframe: Timeframe
    series: CandleSeries
    turnover: Floats | None
    open_interest: Floats | None
    long_ratio: Floats | None
    funding_rate: Floats | None
    references: dict[PriceKind, Floats]
    digest: str


@dataclass(frozen=True)
class FundingFile:
    """Funding rates of one perpetual by the instant (ms) they were settled at."""

    path: Path
    symbol: str
    at: npt.NDArray[np.int64]
    rate: Floats
    digest: str


def read_candle_file(path: Path) -> CandleFile:
    """Read and check one file. Raises CandleFileRefused."""
    frame = _read(path)
    missing = [name for name in ("open_time", *_NUMBERS) if name not in frame.columns]
    if missing:
        raise CandleFileRefused(path, f"missing column {', '.join(missing)}")
    if frame.empty:
        raise CandleFileRefused(path, "no data rows")
    symbol = _one_of(path, frame, "symbol", r"^([0-9A-Z]+)[_.]").upper()
    timeframe = _timeframe(path, _one_of(path, frame, "timeframe", r"_(\d+[mhdw])(?:[_.]|$)"))
    numbers = {name: _numbers(frame, name) for name in _NUMBERS}
    series = CandleSeries(open_time=_open_times(path, frame), **numbers)
    try:
        validate(series, timeframe)
    except CandleDefect as defect:
        raise CandleFileRefused(path, defect.rule, defect.row) from None
    return CandleFile(
        path=path,
        symbol=symbol,
        timeframe=timeframe,
        series=series,
        turnover=_within(path, frame, "turnover"),
        open_interest=_within(path, frame, "open_interest"),
        long_ratio=_within(path, frame, "long_ratio", most=1.0),
        funding_rate=_within(path, frame, "funding_rate", least=-_MOST_FUNDING, most=_MOST_FUNDING),
        references=_references(path, frame, series, timeframe),
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def read_funding_file(path: Path) -> FundingFile:
    """Read and check settled funding rates: columns ``open_time`` (of the settlement) and ``funding_rate``.

    The symbol is a column or in a name like ``BTCUSDT_funding.csv``. Raises CandleFileRefused.
    """
    frame = _read(path)
    missing = [name for name in ("open_time", "funding_rate") if name not in frame.columns]
    if missing:
        raise CandleFileRefused(path, f"missing column {', '.join(missing)}")
    if frame.empty:
        raise CandleFileRefused(path, "no data rows")
    symbol = _one_of(path, frame, "symbol", r"^([0-9A-Z]+)[_.]").upper()
    times = _open_times(path, frame)
    disorder = np.flatnonzero(np.diff(times) <= 0)
    if len(disorder):
        raise CandleFileRefused(path, "open_time is not after the row before", int(disorder[0]) + 2)
    rates = _within(path, frame, "funding_rate", least=-_MOST_FUNDING, most=_MOST_FUNDING)
    if rates is None or np.isnan(rates).any():
        row = 1 if rates is None else int(np.argmax(np.isnan(rates))) + 1
        raise CandleFileRefused(path, "funding_rate is not a number", row)
    return FundingFile(path, symbol, times, rates, hashlib.sha256(path.read_bytes()).hexdigest())


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path)
    except FileNotFoundError:
        raise CandleFileRefused(path, "no such file") from None
    except Exception as error:  # the readers raise a score of their own types for a damaged file
        raise CandleFileRefused(path, f"unreadable: {str(error).splitlines()[0] if str(error) else error!r}") from error
    raise CandleFileRefused(path, "neither .parquet nor .csv")


def _one_of(path: Path, frame: pd.DataFrame, column: str, in_name: str) -> str:
    """The one value of a column, or what the file's name says where the column is absent."""
    if column in frame.columns:
        values = frame[column].astype(str)
        different = np.flatnonzero((values != values.iloc[0]).to_numpy())
        if len(different):
            row = int(different[0])
            rule = f"{column} {values.iloc[row]} differs from {values.iloc[0]} above: one {column} a file"
            raise CandleFileRefused(path, rule, row + 1)
        return str(values.iloc[0])
    found = re.search(in_name, path.name)
    if found is None:
        raise CandleFileRefused(path, f"no column {column}, and the name is not like BTCUSDT_15m{path.suffix}")
    return found.group(1)


def _timeframe(path: Path, text: str) -> Timeframe:
    try:
        return Timeframe(text)
    except ValueError:
        raise CandleFileRefused(path, f"timeframe {text} is not one of {', '.join(Timeframe)}") from None


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where it isn't a number."""
    return np.array(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)


def _within(path: Path, frame: pd.DataFrame, name: str, *, least: float = 0.0, most: float = math.inf) -> Floats | None:
    """An optional column of numbers in [least, most], NaN where unknown; None without the column."""
    if name not in frame.columns:
        return None
    values = _numbers(frame, name)
    wrong = np.flatnonzero((values < least) | (values > most) | np.isinf(values))
    if len(wrong):
        rule = "negative or infinite" if (least, most) == (0.0, math.inf) else f"outside {least:g} to {most:g}"
        raise CandleFileRefused(path, f"{name} is {rule}", int(wrong[0]) + 1)
    return values


def _references(path: Path, frame: pd.DataFrame, series: CandleSeries, timeframe: Timeframe) -> dict[PriceKind, Floats]:
    """Rows of open, high, low, close of the reference prices that are there, checked as candles."""
    found: dict[PriceKind, Floats] = {}
    for kind in PriceKind:
        names = [f"{kind}_{price}" for price in _PRICES]
        present = [name for name in names if name in frame.columns]
        if not present:
            continue
        if len(present) < len(names):
            raise CandleFileRefused(path, f"{', '.join(present)} without {', '.join(set(names) - set(present))}")
        rows = np.stack([_numbers(frame, name) for name in names])
        try:
            validate(CandleSeries(series.open_time, *rows, volume=np.ones(len(series))), timeframe)
        except CandleDefect as defect:
            raise CandleFileRefused(path, f"{kind} price: {defect.rule}", defect.row) from None
        found[kind] = rows
    return found


def _open_times(path: Path, frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Open times in ms; times without a zone are UTC."""
    column: Any = frame["open_time"]
    unit = "ms" if pd.api.types.is_numeric_dtype(column) else None
    times = pd.to_datetime(column, utc=True, errors="coerce", unit=unit)
    broken = np.flatnonzero(times.isna().to_numpy())
    if len(broken):
        raise CandleFileRefused(path, f"open_time {column.iloc[int(broken[0])]!r} is not a time", int(broken[0]) + 1)
    exact = times.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    uneven = np.flatnonzero(exact % 1000)
    if len(uneven):
        raise CandleFileRefused(path, "open_time is not a whole millisecond", int(uneven[0]) + 1)
    return exact // 1000
