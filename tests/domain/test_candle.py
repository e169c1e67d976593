"""Timeframes, the rules a candle series must keep, and aggregation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.candle import CandleDefect, CandleSeries, Timeframe, aggregate, from_ms, to_ms, validate

MONDAY_MS = to_ms(datetime(2024, 1, 1, tzinfo=UTC))


def series(count: int, timeframe: Timeframe = Timeframe.M15, start_ms: int = MONDAY_MS) -> CandleSeries:
    rng = np.random.default_rng(7)
    open_ = 100 + rng.normal(size=count).cumsum()
    close = open_ + rng.normal(size=count)
    wick = rng.random((2, count))
    return CandleSeries(
        open_time=start_ms + np.arange(count) * timeframe.milliseconds,
        open=open_,
        high=np.maximum(open_, close) + wick[0],
        low=np.minimum(open_, close) - wick[1],
        close=close,
        volume=rng.integers(1, 100, count).astype(np.float64),
    )


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [
        (Timeframe.M1, datetime(2024, 5, 16, 13, 47, tzinfo=UTC)),
        (Timeframe.M15, datetime(2024, 5, 16, 13, 45, tzinfo=UTC)),
        (Timeframe.H1, datetime(2024, 5, 16, 13, tzinfo=UTC)),
        (Timeframe.H4, datetime(2024, 5, 16, 12, tzinfo=UTC)),
        (Timeframe.D1, datetime(2024, 5, 16, tzinfo=UTC)),
        (Timeframe.W1, datetime(2024, 5, 13, tzinfo=UTC)),
    ],
)
def test_an_instant_is_floored_to_the_open_of_its_candle(timeframe: Timeframe, expected: datetime) -> None:
    assert timeframe.floor(datetime(2024, 5, 16, 13, 47, 59, 999_999, tzinfo=UTC)) == expected


def test_an_instant_in_another_zone_is_floored_in_utc() -> None:
    late_in_tokyo = datetime(2024, 5, 17, 3, 0, tzinfo=timezone(timedelta(hours=9)))
    assert Timeframe.D1.floor(late_in_tokyo) == datetime(2024, 5, 16, tzinfo=UTC)


@settings(deadline=None)
@given(
    st.sampled_from(list(Timeframe)),
    # Hypothesis takes naive bounds and adds the zone itself
    st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_floor_and_ceiling_enclose_an_instant_within_one_candle(timeframe: Timeframe, instant: datetime) -> None:
    ms = to_ms(instant)
    floor, ceiling = timeframe.floor_ms(ms), timeframe.ceil_ms(ms)
    assert floor <= ms <= ceiling
    assert ceiling - floor in (0, timeframe.milliseconds)
    assert timeframe.floor_ms(floor) == timeframe.ceil_ms(floor) == floor
    if timeframe is Timeframe.W1:
        assert (from_ms(floor).weekday(), from_ms(floor).hour) == (0, 0)


def test_a_sound_series_is_accepted() -> None:
    validate(series(50), Timeframe.M15)


def broken(column: str, row: int, value: float) -> CandleSeries:
    whole = series(50)
    changed = getattr(whole, column).copy()
    changed[row - 1] = value
    return replace(whole, **{column: changed})


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("open", float("nan"), "open is not a finite number"),
        ("close", float("inf"), "close is not a finite number"),
        ("volume", float("nan"), "volume is not a finite number"),
        ("volume", -1.0, "volume is negative"),
        ("volume", 0.0, "the price moves with no volume"),
        ("low", -5.0, "prices must be above 0"),
        ("high", 1.0, "high is below open or close"),
        ("low", 1e6, "low is above open or close"),
    ],
)
def test_an_impossible_bar_is_told_with_its_row_and_rule(column: str, value: float, rule: str) -> None:
    with pytest.raises(CandleDefect, match=rule) as told:
        validate(broken(column, 17, value), Timeframe.M15)
    assert (told.value.row, told.value.rule) == (17, rule)


@pytest.mark.parametrize(
    ("keep", "row", "rule"),
    [
        ([*range(10), *range(11, 50)], 11, "gap"),
        ([*range(10), 9, *range(10, 50)], 11, "duplicate"),
        ([*range(10), 11, 10, *range(12, 50)], 11, "gap"),
        ([1, 0, *range(2, 50)], 2, "out of order"),
    ],
)
def test_a_broken_sequence_is_told_with_its_first_row(keep: list[int], row: int, rule: str) -> None:
    whole = series(50)
    chosen = CandleSeries(*(getattr(whole, name)[keep] for name in CandleSeries.__slots__))
    with pytest.raises(CandleDefect, match=rule) as told:
        validate(chosen, Timeframe.M15)
    assert told.value.row == row


def test_open_times_off_the_grid_are_refused() -> None:
    with pytest.raises(CandleDefect, match="not on the 15m grid"):
        validate(series(5, start_ms=MONDAY_MS + 60_000), Timeframe.M15)


def test_an_empty_series_is_refused() -> None:
    with pytest.raises(CandleDefect, match="empty"):
        validate(series(0), Timeframe.M15)


@settings(deadline=None)
@given(
    st.integers(1, 400), st.integers(0, 95), st.sampled_from([Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1])
)
def test_aggregation_keeps_extremes_ends_and_volume(count: int, offset: int, timeframe: Timeframe) -> None:
    fine = series(count, start_ms=MONDAY_MS + offset * Timeframe.M15.milliseconds)
    coarse = aggregate(fine, timeframe)
    assert coarse.volume.sum() == fine.volume.sum()
    for i, open_ms in enumerate(coarse.open_time):
        inside = (fine.open_time >= open_ms) & (fine.open_time < open_ms + timeframe.milliseconds)
        assert coarse.open[i] == fine.open[inside][0]
        assert coarse.close[i] == fine.close[inside][-1]
        assert coarse.high[i] == fine.high[inside].max()
        assert coarse.low[i] == fine.low[inside].min()
