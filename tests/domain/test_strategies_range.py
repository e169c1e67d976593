"""Fading a range from both sides: hand-made series on which every rule is met, and just missed one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.regime import Regime
from domain.strategies import validate_parameters
from domain.strategies.contract import Evaluation, Panel
from domain.strategies.range_fade_long import RangeFadeLong, RangeFadeLongParameters
from domain.strategies.range_fade_short import RangeFadeShort, RangeFadeShortParameters
from tests.domain.mirrored import exact_pair, mirrored
from tests.domain.strategy_cases import evaluate, panel_of

SWAYING = [100 + (0, 1, 2, 1, 0, -1, -2, -1)[i % 8] for i in range(200)]
EDGE, TURN = 202, 203
"""The bars at the edge and of the turn in the series below."""
AT_EDGE = [*SWAYING, 100.0, 99.0, 98.1]
TURNED = [*AT_EDGE, 99.0]
HAIR = 1e-9

long, short = RangeFadeLong(), RangeFadeShort()


def candles(closes: Sequence[float]) -> Panel:
    return panel_of(closes, timeframe=Timeframe.H1)


def bought(closes: Sequence[float], **parameters: float) -> Evaluation:
    return evaluate(long, candles(closes), RangeFadeLongParameters.model_validate(parameters))


def sold(closes: Sequence[float], **parameters: float) -> Evaluation:
    """The short strategy on the closes turned upside down about 100."""
    panel = mirrored(candles(closes), 100.0)
    return evaluate(short, panel, RangeFadeShortParameters.model_validate(parameters))


both_sides = pytest.mark.parametrize("judged", [bought, sold], ids=["long", "short"])


def fired(evaluation: Evaluation) -> list[int]:
    """Entries after the swaying."""
    return [bar for bar in np.flatnonzero(evaluation.entry[0]).tolist() if bar >= len(SWAYING)]


def at(evaluation: Evaluation, name: str, bar: int) -> float:
    return float(evaluation.evidence[name][0, bar])


@both_sides
def test_the_edge_of_a_range_is_faded_once_it_turns(judged):
    evaluation = judged([*TURNED, 99.5])
    assert fired(evaluation) == [TURN]
    assert evaluation.score[0, TURN] > 60 > evaluation.score[0, EDGE]
    assert not evaluation.exit[0, EDGE:].any()


def test_the_turn_may_have_left_the_edge_or_still_be_there():
    left, there = bought(TURNED), bought([*AT_EDGE, 98.2])
    assert at(left, "place", TURN) > 0.15 > at(there, "place", TURN) > at(there, "place", EDGE)
    assert fired(left) == fired(there) == [TURN]


@both_sides
def test_nothing_fires_at_the_edge_before_the_turn(judged):
    assert fired(judged(AT_EDGE)) == []
    assert fired(judged([*AT_EDGE, 98.0, 97.95])) == []


@both_sides
@pytest.mark.parametrize(("close", "bars"), [(98.1, []), (98.1 * (1 + HAIR), [TURN])])
def test_a_close_that_stands_still_has_not_turned(judged, close, bars):
    assert fired(judged([*AT_EDGE, close])) == bars


@both_sides
def test_a_turn_two_bars_after_the_edge_is_too_late(judged):
    assert fired(judged([*AT_EDGE, 98.0, 99.0])) == [TURN + 1]
    assert fired(judged([*AT_EDGE, 97.8, 99.0])) == []  # under the range on the bar between: no longer its edge


@both_sides
def test_a_close_just_off_the_edge_does_not_fire(judged):
    place = at(bought(TURNED), "place", EDGE) * 100
    assert at(judged(TURNED), "adx", EDGE) < 20
    assert fired(judged(TURNED, edge_pct=place * (1 - 1e-6))) == []
    assert fired(judged(TURNED, edge_pct=place * (1 + 1e-6))) == [TURN]


@both_sides
@pytest.mark.parametrize(("beyond", "bars"), [(1e-6, []), (-1e-6, [TURN])])
def test_a_close_beyond_the_range_has_broken_it_and_is_an_exit(judged, beyond, bars):
    end = at(bought(TURNED), "range_low", EDGE)
    evaluation = judged([*AT_EDGE[:-1], end - beyond, 99.0])
    assert fired(evaluation) == bars
    assert evaluation.exit[0, EDGE] == (not bars)


@both_sides
def test_what_comes_back_from_outside_of_the_range_has_to_stay_for_a_bar(judged):
    assert judged([*AT_EDGE[:-1], 97.8]).exit[0, EDGE]
    assert fired(judged([*AT_EDGE[:-1], 97.8, 98.1])) == []
    assert fired(judged([*AT_EDGE[:-1], 97.8, 98.1, 98.2])) == [TURN + 1]


@both_sides
def test_a_market_with_a_direction_does_not_fire(judged):
    value = at(judged(TURNED), "adx", EDGE)
    assert fired(judged(TURNED, adx_under=value)) == []
    assert fired(judged(TURNED, adx_under=value * (1 + HAIR))) == [TURN]


@both_sides
def test_a_range_just_too_narrow_does_not_fire(judged):
    value = at(judged(TURNED), "width_pct", EDGE)
    assert value > 3
    assert fired(judged(TURNED, width_pct=value * (1 + HAIR))) == []
    assert fired(judged(TURNED, width_pct=value)) == [TURN]


def shifted(by: float) -> list[float]:
    """The newer half of the range lies ``by`` over the older one; the price comes back to the edge of the whole."""
    return [*SWAYING[:178], *(close + by for close in SWAYING[178:]), *TURNED[200:]]


@both_sides
def test_a_range_whose_halves_just_miss_each_other_is_not_stable(judged):
    closes = shifted(0.8)
    value = at(judged(closes), "overlap", EDGE)
    early, late = candles(closes).low[0, 154:178], candles(closes).low[0, 178:202]
    high = candles(closes).high[0, 154:202]
    assert value == pytest.approx((high[:24].max() - late.min()) / (high.max() - early.min()))
    assert fired(judged(closes)) == [TURN]
    assert fired(judged(closes, overlap_over=value)) == []
    assert fired(judged(closes, overlap_over=value * (1 - HAIR))) == [TURN]


@both_sides
def test_two_ranges_one_over_the_other_are_none(judged):
    closes = shifted(2.5)
    assert at(judged(closes), "overlap", EDGE) < 0.5
    assert fired(judged(closes)) == []
    assert fired(judged(closes, overlap_over=0.01, adx_under=99)) == [TURN]


@both_sides
@pytest.mark.parametrize(("over", "bars"), [(1e-6, []), (-1e-6, [TURN])])
def test_a_turn_that_is_already_past_the_middle_is_an_exit_and_no_entry(judged, over, bars):
    middle = at(bought(TURNED), "range_middle", TURN)
    evaluation = judged([*AT_EDGE, middle + over])
    assert fired(evaluation) == bars
    assert evaluation.exit[0, TURN] == (not bars)


def test_the_range_is_of_the_bars_before():
    evaluation = bought([*SWAYING, 105.0, 100.0])
    lows, highs = candles(SWAYING).low[0], candles(SWAYING).high[0]
    assert at(evaluation, "range_high", 200) == highs[-48:].max()
    assert at(evaluation, "range_low", 200) == lows[-48:].min()
    assert at(evaluation, "range_high", 201) == 105 * 1.001
    assert at(evaluation, "width_pct", 200) == pytest.approx((highs[-48:].max() / lows[-48:].min() - 1) * 100)


@both_sides
def test_a_market_that_stands_still_is_no_range(judged):
    closes = np.full(200, 100.0)
    panel = panel_of(closes, high=closes, low=closes, timeframe=Timeframe.H1)
    strategy = long if judged is bought else short
    evaluation = evaluate(strategy, panel, strategy.parameters())
    assert not evaluation.entry.any()
    assert at(evaluation, "width_pct", 199) == 0
    assert at(evaluation, "place", 199) == 0.5
    assert (evaluation.score < 60).all()


@pytest.mark.parametrize("strategy", [long, short])
def test_only_a_neutral_market_is_for_ranges(strategy):
    assert strategy.regimes == {Regime.NEUTRAL}


def test_the_data_that_is_asked_for():
    assert long.needs(RangeFadeLongParameters(), Timeframe.H1).candles == {Timeframe.H1: 264}
    assert short.needs(RangeFadeShortParameters(range_bars=400), Timeframe.H1).candles == {Timeframe.H1: 403}


def test_a_range_without_halves_is_refused():
    with pytest.raises(ValueError, match="range_bars 47 must be even"):
        validate_parameters("range_fade_long", {"range_bars": 47})


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(5, 49), st.floats(0.01, 0.9), st.sampled_from([0, 0.02])
)
def test_a_short_is_the_mirror_of_a_long(seed, half, edge, overlap, holes):
    panel, turned = exact_pair(seed, 2, 120, holes=holes)
    # A width in percent has no mirror image: any width is wide enough.
    shared = {"range_bars": 2 * half, "edge_pct": edge, "overlap_over": overlap, "adx_bars": 3, "adx_under": 70}
    up = evaluate(long, panel, RangeFadeLongParameters.model_validate(shared | {"width_pct": 1e-6}))
    down = evaluate(short, turned, RangeFadeShortParameters.model_validate(shared | {"width_pct": 1e-6}))
    np.testing.assert_array_equal(up.entry, down.entry)
    np.testing.assert_array_equal(up.exit, down.exit)


def test_the_mirrored_panels_make_signals():
    panel, _ = exact_pair(1, 2, 400)
    loose = RangeFadeLongParameters(range_bars=8, width_pct=1e-6, edge_pct=30, overlap_over=0.1, adx_under=70)
    assert evaluate(long, panel, loose).entry.sum() > 10
