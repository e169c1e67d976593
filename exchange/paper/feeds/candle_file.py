"""OHLCV files (Parquet or CSV): read, checked row by row, refused with the row and the rule.

Columns: ``open_time`` (a time, or milliseconds since 1970), ``open high low close volume``; optionally ``symbol``,
``timeframe``, ``turnover`` and ``open_interest`` (base coin, known at the open time). Symbol and timeframe otherwise
come from a name like ``BTCUSDT_15m.csv``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.candle import CandleDefect, CandleSeries, Timeframe, validate

_NUMBERS = ("open", "high", "low", "close", "volume")


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

    ``turnover`` and ``open_interest`` are NaN where unknown, None without the column.
    """

    path: Path
    symbol: str
    timeframe: Timeframe
    series: CandleSeries
    turnover: npt.NDArray[np.float64] | None
    open_interest: npt.NDArray[np.float64] | None
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
    turnover, open_interest = (_amounts(path, frame, name) for name in ("turnover", "open_interest"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return CandleFile(path, symbol, timeframe, series, turnover, open_interest, digest)


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


def _numbers(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where it isn't a number."""
    return np.array(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)


def _amounts(path: Path, frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64] | None:
    """An optional column of amounts, NaN where unknown; None without the column."""
    if name not in frame.columns:
        return None
    values = _numbers(frame, name)
    wrong = np.flatnonzero((values < 0) | np.isinf(values))
    if len(wrong):
        raise CandleFileRefused(path, f"{name} is negative or infinite", int(wrong[0]) + 1)
    return values


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
