"""The regime's score: its formula, its bounds, and what it is read from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.regime_score import DAYS_LEAST, DAYS_MOST, FOUR_HOURS, Bars, RegimeScore, score_at, score_series
from tests.domain.regime_cases import A_DAY, START_MS, Market, cut, growing, market_of, walking, without

DAY = Timeframe.D1.milliseconds
QUICK = settings(max_examples=25)
MARKETS = st.builds(
    walking,
    days=st.integers(DAYS_LEAST, DAYS_LEAST + 60),
    seed=st.integers(0, 2**32 - 1),
    deviation=st.floats(0.0, 0.2),
    drift=st.floats(-0.05, 0.05),
)


def newest(market: Market) -> RegimeScore:
    found = score_at(market.daily, market.four_hourly, market.end)
    assert found is not None
    return found


def naive_ema(values: list[float], bars: int) -> float:
    average = sum(values[:bars]) / bars
    for value in values[bars:]:
        average += (value - average) * 2 / (bars + 1)
    return average


def naive_score(market: Market) -> float:
    """The formula, word by word."""

    def clip(term: float) -> float:
        return max(-1.0, min(1.0, term))

    daily = market.daily
    high, low, close = (column.tolist()[-DAYS_MOST:] for column in (daily.high, daily.low, daily.close))
    slow, fast, fast_before = naive_ema(close, 200), naive_ema(close, 50), naive_ema(close[:-10], 50)
    drawdown, height = 1 - close[-1] / max(high[-90:]), close[-1] / min(low[-90:]) - 1
    score = (
        25 * clip((close[-1] / slow - 1) / 0.20)
        + 20 * clip((fast / slow - 1) / 0.10)
        + 15 * clip((fast / fast_before - 1) / 0.05)
        + 20 * clip((close[-1] / close[-31] - 1) / 0.25)
        + 10 * clip(1 - drawdown / 0.15)
        + 10 * (0.5 if height > 0.40 else clip(height / 0.20 - 1))
    )
    recent = market.four_hourly.close.tolist()[-FOUR_HOURS:]
    above = recent[-1] - naive_ema(recent, 50)
    return score / 2 if score * above < 0 else score


@given(MARKETS)
@QUICK
def test_the_score_is_the_formula(market: Market) -> None:
    assert newest(market).score == pytest.approx(naive_score(market), abs=1e-6)


@given(MARKETS)
@QUICK
def test_a_score_and_its_terms_stay_within_their_bounds(market: Market) -> None:
    found = newest(market)
    assert -100 <= found.score <= 100
    assert all(-1 <= each.term <= 1 for each in found.components.values())
    assert sum(each.weight for each in found.components.values()) == 100
    points = sum(each.term * each.weight for each in found.components.values())
    assert found.score == pytest.approx(points * found.factor)


@given(st.integers(0, 2**32 - 1), st.data())
@QUICK
def test_nothing_that_closes_later_is_looked_at(seed: int, data: st.DataObject) -> None:
    market = walking(DAYS_LEAST + 20, seed)
    close = int(market.closes[data.draw(st.integers(A_DAY * DAYS_LEAST - 1, len(market.closes) - 1))])
    known = market.until(close)
    found = score_at(market.daily, market.four_hourly, close)
    assert found is not None
    assert score_at(known.daily, known.four_hourly, close) == found


@given(st.integers(0, 2**32 - 1))
@QUICK
def test_a_series_is_the_scores_one_by_one(seed: int) -> None:
    market = walking(DAYS_LEAST + 5, seed)
    closes = market.closes[-60:]
    one_by_one = [score_at(market.daily, market.four_hourly, int(close)) for close in closes]
    assert score_series(market.daily, market.four_hourly, closes) == one_by_one
    assert None in one_by_one
    assert one_by_one[-1] is not None


def test_a_score_reads_so_many_candles_and_no_more() -> None:
    market = walking(DAYS_MOST + 50, seed=3)
    found = newest(market)
    assert (found.daily.bars, found.four_hourly.bars) == (DAYS_MOST, FOUR_HOURS)
    assert found.daily.last == market.end - DAY
    assert found.four_hourly.last == market.end - Timeframe.H4.milliseconds
    window = Market(cut(market.daily, slice(-DAYS_MOST, None)), cut(market.four_hourly, slice(-FOUR_HOURS, None)))
    assert newest(window) == found


def test_under_250_days_there_is_no_regime() -> None:
    market = walking(DAYS_LEAST + 1, seed=4)
    scores = score_series(market.daily, market.four_hourly, market.closes)
    begun = [score is not None for score in scores].index(True)
    assert market.closes[begun] == START_MS + DAYS_LEAST * DAY
    assert None not in scores[begun:]


def test_no_candles_at_all_are_no_regime() -> None:
    nothing = np.zeros(0)
    empty = Bars(np.zeros(0, np.int64), nothing, nothing, nothing)
    assert score_at(empty, empty, START_MS) is None
    market = walking(DAYS_LEAST, seed=1)
    assert score_at(market.daily, empty, market.end) is None
    assert score_at(market.daily, market.four_hourly, market.end + Timeframe.H4.milliseconds) is None
    assert score_at(market.daily, market.four_hourly, START_MS) is None


@pytest.mark.parametrize("place", [-1, -17, -DAYS_LEAST])
def test_a_day_missing_among_the_last_250_is_no_regime(place: int) -> None:
    market = walking(DAYS_LEAST + 100, seed=5)
    assert score_at(without(market.daily, place), market.four_hourly, market.end) is None


def test_a_day_missing_before_them_shortens_the_window() -> None:
    market = walking(DAYS_LEAST + 100, seed=6)
    found = score_at(without(market.daily, 40), market.four_hourly, market.end)
    assert found is not None
    assert found.daily.bars == DAYS_LEAST + 100 - 41
    assert found == score_at(cut(market.daily, slice(41, None)), market.four_hourly, market.end)


@pytest.mark.parametrize("place", [-1, -FOUR_HOURS])
def test_a_4h_candle_missing_among_the_last_250_is_no_regime(place: int) -> None:
    market = walking(DAYS_LEAST, seed=7)
    assert score_at(market.daily, without(market.four_hourly, place), market.end) is None
    assert score_at(market.daily, without(market.four_hourly, -FOUR_HOURS - 1), market.end) == newest(market)


def test_a_market_that_stands_still_scores_nothing() -> None:
    found = newest(growing(DAYS_LEAST, 0.0))
    assert found.score == 0
    terms = {name: each.term for name, each in found.components.items()}
    assert (terms["drawdown_90d"], terms["height_90d"]) == (1.0, -1.0)


@given(st.floats(0.05, 3))
@QUICK
def test_a_rise_and_its_mirror_have_opposite_signs(percent: float) -> None:
    rising, falling = newest(growing(DAYS_LEAST, percent)), newest(growing(DAYS_LEAST, -percent))
    assert rising.score > 0 > falling.score
    for name in ("close_over_ema_200", "ema_50_over_ema_200", "ema_50_slope", "momentum_30d"):
        assert rising.components[name].term > 0 > falling.components[name].term
    assert (rising.factor, falling.factor) == (1.0, 1.0)


def test_a_lasting_run_is_as_strong_as_can_be_told() -> None:
    assert newest(growing(DAYS_LEAST, -2.0)).score == -100
    assert newest(growing(DAYS_LEAST, 2.0)).score == 95, "far over its low counts half"


def test_the_height_over_the_low_counts_half_beyond_40_percent() -> None:
    def term(height: float) -> float:
        close = np.full(DAYS_LEAST * A_DAY, 100.0)
        close[-10 * A_DAY :] = 100 + height
        return newest(market_of(close)).components["height_90d"].term

    assert term(0) == -1
    assert term(20) == pytest.approx(0)
    assert term(40 - 1e-9) == pytest.approx(1)
    assert term(40.1) == term(90) == 0.5


@pytest.mark.parametrize("percent", [1.0, -1.0])
def test_the_score_is_halved_while_the_4h_candles_disagree_with_it(percent: float) -> None:
    market = growing(DAYS_LEAST, percent)
    whole = newest(market)
    close = market.four_hourly.close.copy()
    close[-1] *= 1 - percent / 5  # the day's own candle is left as it was
    turned = Bars(market.four_hourly.open_time, market.four_hourly.high, market.four_hourly.low, close)
    halved = score_at(market.daily, turned, market.end)
    assert halved is not None
    assert (halved.factor, halved.confirmation * percent < 0) == (0.5, True)
    assert halved.score == whole.score / 2


def test_what_is_stored_of_a_score_tells_its_terms_and_windows() -> None:
    found = newest(walking(DAYS_LEAST, seed=8))
    told = found.told_components()
    assert sum(each["term"] * each["weight"] for name, each in told.items() if name != "confirmation_4h") * told[
        "confirmation_4h"
    ]["factor"] == pytest.approx(found.score)
    assert found.told_inputs()["1d"] == {
        "first_open": "2022-01-01T00:00:00+00:00",
        "last_open": "2022-09-07T00:00:00+00:00",
        "bars": DAYS_LEAST,
    }
    assert found.told_inputs()["4h"]["bars"] == FOUR_HOURS


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="unequal"):
        Bars(np.zeros(2, np.int64), np.zeros(2), np.zeros(2), np.zeros(1))
