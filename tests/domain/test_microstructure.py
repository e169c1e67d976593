"""Taker shares, ratios of accounts, funding: known only where all that makes them up was seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from domain.candle import Timeframe
from domain.microstructure import funding_at, long_short_ratio, sum_onto_bars, taker_buy_share

QUARTER = Timeframe.M15.milliseconds
T0 = 1_735_689_600_000  # 2025-01-01T00:00Z

amounts = arrays(np.float64, (2, 5), elements=st.floats(0.001, 1e6))


@given(amounts, amounts, st.floats(-0.0099, 0.0099))
def test_a_share_is_known_where_both_sides_make_up_the_volume(bought, sold, off):
    share = taker_buy_share(bought, sold, (bought + sold) / (1 + off))
    np.testing.assert_allclose(share, bought / (bought + sold))
    assert ((share >= 0) & (share <= 1)).all()


@given(amounts, amounts, st.one_of(st.floats(0.0101, 5), st.floats(-0.99, -0.0101)))
def test_a_share_is_not_known_where_trades_were_missed_or_counted_twice(bought, sold, off):
    assert np.isnan(taker_buy_share(bought, sold, (bought + sold) / (1 + off))).all()


@given(amounts, amounts)
def test_what_takers_did_not_buy_they_sold(bought, sold):
    volume = bought + sold
    np.testing.assert_allclose(taker_buy_share(bought, sold, volume) + taker_buy_share(sold, bought, volume), 1)


@pytest.mark.parametrize(
    ("bought", "sold", "volume"),
    [(0, 0, 0), (0, 0, 5), (1, 1, 0), (np.nan, 1, 1), (1, np.nan, 1), (1, 1, np.nan), (np.inf, 1, np.inf), (3, -1, 2)],
)
def test_a_share_of_nothing_or_of_what_is_not_known_is_not_known(bought, sold, volume):
    share = taker_buy_share(np.array([bought], float), np.array([sold], float), np.array([volume], float))
    assert np.isnan(share).all()


@pytest.mark.parametrize(("tolerance", "known"), [(0.0, False), (0.05, False), (0.1, True)])
def test_the_tolerance_is_a_fraction_of_the_volume(tolerance, known):
    share = taker_buy_share(np.array([4.0]), np.array([5.0]), np.array([10.0]), tolerance)
    assert np.isfinite(share).tolist() == [known]


@given(
    st.sampled_from([Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1, Timeframe.W1]),
    st.integers(0, 50),
    st.lists(st.integers(-700, 3000), unique=True, max_size=60),
)
def test_quarters_are_summed_onto_the_bar_that_holds_them(timeframe, skipped, quarters):
    first = timeframe.floor_ms(T0) + skipped * timeframe.milliseconds
    bars = first + np.arange(6) * timeframe.milliseconds
    opens = np.array([T0 + quarter * QUARTER for quarter in quarters], np.int64)
    values = np.arange(1, len(quarters) + 1, dtype=np.float64)
    expected = [
        sum(value for at, value in zip(opens, values, strict=True) if bar <= at < bar + timeframe.milliseconds)
        for bar in bars
    ]
    assert sum_onto_bars(opens, values, bars, timeframe).tolist() == expected


def test_a_bar_in_the_middle_that_is_not_asked_for_is_left_out():
    hours = T0 + np.array([0, 2], np.int64) * Timeframe.H1.milliseconds
    quarters = T0 + np.arange(12) * QUARTER
    assert sum_onto_bars(quarters, np.ones(12), hours, Timeframe.H1).tolist() == [4.0, 4.0]


def test_without_rows_or_bars_there_is_nothing_to_sum():
    none, bars = np.zeros(0, np.int64), np.array([T0])
    assert sum_onto_bars(none, np.zeros(0), bars, Timeframe.H4).tolist() == [0.0]
    assert sum_onto_bars(bars, np.ones(1), none, Timeframe.H4).tolist() == []


def test_an_unknown_quarter_makes_its_bar_unknown():
    quarters = T0 + np.arange(8) * QUARTER
    bars = T0 + np.arange(2) * Timeframe.H1.milliseconds
    bought = np.ones(8)
    bought[5] = np.nan
    sums = sum_onto_bars(quarters, bought, bars, Timeframe.H1)
    np.testing.assert_array_equal(taker_buy_share(sums, np.array([4.0, 4.0]), np.array([8.0, 8.0])), [0.5, np.nan])


def test_bars_shorter_than_what_is_kept_are_refused():
    with pytest.raises(ValueError, match="shorter than the quarters"):
        sum_onto_bars(np.array([T0]), np.ones(1), np.array([T0]), Timeframe.M1)


@given(arrays(np.float64, (2, 5), elements=st.floats(0, 0.999)))
def test_a_ratio_says_how_many_are_long_for_each_one_short(share):
    ratio = long_short_ratio(share)
    np.testing.assert_allclose(ratio * (1 - share), share)


@pytest.mark.parametrize("share", [np.nan, 1.0, 1.5, -0.1])
def test_a_ratio_of_what_can_not_be_is_not_known(share):
    assert np.isnan(long_short_ratio(np.array([share]))).all()


@given(st.sampled_from([1, 2, 4, 8]), st.lists(st.integers(-20, 220), min_size=1, unique=True))
def test_funding_is_the_sum_of_what_was_settled_in_the_eight_hours_up_to_a_close(apart, closes):
    hour = Timeframe.H1.milliseconds
    settled, closes = np.arange(0, 200, apart, dtype=np.int64), np.array(sorted(closes), dtype=np.int64)
    rates = (0.001 * (settled + 1.0)).astype(np.float64)
    found = funding_at(settled * hour, rates, closes * hour)
    assert found.shape == closes.shape
    for close, value in zip(closes, found, strict=True):
        counted = rates[(settled > close - 8) & (settled <= close)]
        alone = 0 <= close < apart  # one settlement: it might be an eight-hourly one
        whole = alone or 8 - apart <= close < settled[-1] + apart
        assert value == pytest.approx(counted.sum()) if whole else np.isnan(value)


@pytest.mark.parametrize("missing", [24, 20])
def test_funding_of_which_a_settlement_is_missing_is_not_known(missing):
    hour = Timeframe.H1.milliseconds
    settled = np.array([at for at in range(0, 28, 4) if at != missing], dtype=np.int64)
    found = funding_at(settled * hour, np.full(len(settled), -0.0002), np.array([24]) * hour)
    assert np.isnan(found).all()


def test_funding_that_settles_every_eight_hours_is_the_newest_rate_to_the_last_bit():
    hour = Timeframe.H1.milliseconds
    rates = np.array([0.1, 0.2, -0.3])
    found = funding_at(np.array([0, 8, 16]) * hour, rates, np.array([-1, 0, 7, 8, 12, 16, 23, 24]) * hour)
    np.testing.assert_array_equal(found, [np.nan, 0.1, 0.1, 0.2, 0.2, -0.3, -0.3, np.nan])
