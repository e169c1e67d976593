"""Candles: timeframes, the floor of an instant to one, validation and aggregation of a series.

A candle is named by its open time. Series are numpy columns; open times are int64 milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt

MINUTE_MS = 60_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MONDAY_MS = 4 * 24 * 60 * MINUTE_MS  # 1970-01-01 was a Thursday


class Timeframe(StrEnum):
    """Candle lengths in use. Days open at 00:00 UTC, weeks on Monday 00:00 UTC."""

    M1 = "1m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"

    @property
    def milliseconds(self) -> int:
        return _MINUTES[self] * MINUTE_MS

    @property
    def duration(self) -> timedelta:
        return timedelta(minutes=_MINUTES[self])

    @property
    def origin_ms(self) -> int:
        """An open time of this timeframe, from which all others are whole multiples away."""
        return _FIRST_MONDAY_MS if self is Timeframe.W1 else 0

    def floor_ms(self, instant_ms: int) -> int:
        """Open time (ms) of the candle that holds ``instant_ms``."""
        return instant_ms - (instant_ms - self.origin_ms) % self.milliseconds

    def ceil_ms(self, instant_ms: int) -> int:
        """The first open time (ms) at or after ``instant_ms``."""
        return instant_ms + (self.origin_ms - instant_ms) % self.milliseconds

    def floor(self, instant: datetime) -> datetime:
        """Open time of the candle that holds ``instant`` (aware)."""
        return from_ms(self.floor_ms(to_ms(instant)))


_MINUTES = {
    Timeframe.M1: 1,
    Timeframe.M15: 15,
    Timeframe.H1: 60,
    Timeframe.H4: 240,
    Timeframe.D1: 1440,
    Timeframe.W1: 10080,
}


def to_ms(instant: datetime) -> int:
    """Whole milliseconds since 1970-01-01 UTC, rounded down. Naive instants raise TypeError."""
    return (instant - EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC instant ``milliseconds`` after 1970-01-01 UTC (exact)."""
    return EPOCH + timedelta(milliseconds=milliseconds)


class CandleDefect(ValueError):
    """A series that no market can have made. ``row`` is 1-based, ``rule`` the broken one in words."""

    def __init__(self, row: int, rule: str) -> None:
        super().__init__(f"row {row}: {rule}")
        self.row = row
        self.rule = rule


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """Candles of one symbol and timeframe as columns of equal length: open times in ms, the others float64."""

    open_time: npt.NDArray[np.int64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.open_time)


def validate(series: CandleSeries, timeframe: Timeframe) -> None:
    """Raise CandleDefect for the first row that breaks a rule.

    The rules: at least one row, open times on the timeframe's grid and exactly one timeframe apart (no gap, duplicate
    or step back), prices finite and above 0, high and low really the extremes, volume finite and not negative, and no
    price movement without volume.
    """
    if len(series) == 0:
        raise CandleDefect(1, "the series is empty")
    defects = [found for rule, broken in _rules(series, timeframe) if (found := _first(broken, rule)) is not None]
    if defects:
        raise min(defects, key=lambda defect: defect.row)


def _rules(s: CandleSeries, timeframe: Timeframe) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Each rule's words, with a row-wise mask of where it is broken."""
    step = np.diff(s.open_time, prepend=s.open_time[0] - timeframe.milliseconds)
    prices = np.stack([s.open, s.high, s.low, s.close])
    columns = {"open": s.open, "high": s.high, "low": s.low, "close": s.close, "volume": s.volume}
    return [
        *[(f"{name} is not a finite number", ~np.isfinite(column)) for name, column in columns.items()],
        ("duplicate open time", step == 0),
        ("open time is out of order", step < 0),
        (f"gap: open time is more than {timeframe} after the row before", step > timeframe.milliseconds),
        (
            f"open time is not on the {timeframe} grid (or less than {timeframe} after the row before)",
            (s.open_time - timeframe.origin_ms) % timeframe.milliseconds != 0,
        ),
        ("prices must be above 0", (prices <= 0).any(axis=0)),
        ("high is below open or close", s.high < np.maximum(s.open, s.close)),
        ("low is above open or close", s.low > np.minimum(s.open, s.close)),
        ("volume is negative", s.volume < 0),
        ("the price moves with no volume", (s.volume == 0) & (s.high != s.low)),
    ]


def _first(broken: npt.NDArray[np.bool_], rule: str) -> CandleDefect | None:
    rows = np.flatnonzero(broken)
    return CandleDefect(int(rows[0]) + 1, rule) if len(rows) else None


def group_starts(open_time: npt.NDArray[np.int64], timeframe: Timeframe) -> npt.NDArray[np.intp]:
    """Indices at which a new candle of ``timeframe`` begins in rising ``open_time`` (ms); empty for an empty column."""
    if len(open_time) == 0:
        return np.zeros(0, np.intp)
    key = (open_time - timeframe.origin_ms) // timeframe.milliseconds
    return np.flatnonzero(np.diff(key, prepend=key[0] - 1))


def aggregate(series: CandleSeries, timeframe: Timeframe) -> CandleSeries:
    """Sum a validated series up to the longer ``timeframe``. The first and last candle may be partial."""
    starts = group_starts(series.open_time, timeframe)
    if len(starts) == 0:
        return series
    ends = np.append(starts[1:], len(series)) - 1
    opens = series.open_time[starts]
    return CandleSeries(
        open_time=opens - (opens - timeframe.origin_ms) % timeframe.milliseconds,
        open=series.open[starts],
        high=np.maximum.reduceat(series.high, starts),
        low=np.minimum.reduceat(series.low, starts),
        close=series.close[ends],
        volume=np.add.reduceat(series.volume, starts),
    )
