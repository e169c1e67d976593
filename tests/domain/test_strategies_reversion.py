"""Mean reversion of both sides: hand-made series on which every rule is met, and just missed one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.strategies.contract import Evaluation, Panel
from domain.strategies.mean_reversion import MeanReversion, MeanReversionParameters
from domain.strategies.mean_reversion_short import MeanReversionShort, MeanReversionShortParameters
from tests.domain.mirrored import exact_pair, mirrored
from tests.domain.strategy_cases import evaluate, panel_of

QUIET = [100 + (0, 1, 0, -1)[i % 4] for i in range(200)]
DROP, TURN = 201, 202
"""The bars of the lowest close and of the first higher one in the series below."""
FALLEN = [*QUIET, 97.0, 92.0]
TURNED = [*FALLEN, 93.0]
STILL_LOW = [*QUIET, 97.0, 89.0, 89.5, 90.0]
HAIR = 1e-9

long, short = MeanReversion(), MeanReversionShort()
lengths = st.integers(2, 8)


def candles(closes: Sequence[float]) -> Panel:
    return panel_of(closes, timeframe=Timeframe.H1)


def bought(closes: Sequence[float], **parameters: float) -> Evaluation:
    return evaluate(long, candles(closes), MeanReversionParameters.model_validate(parameters))


def sold(closes: Sequence[float], **parameters: float) -> Evaluation:
    """The short strategy on the closes turned upside down about 100."""
    panel = mirrored(candles(closes), 100.0)
    return evaluate(short, panel, MeanReversionShortParameters.model_validate(parameters))


both_sides = pytest.mark.parametrize("judged", [bought, sold], ids=["long", "short"])


def fired(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.entry[0]).tolist()


def at(evaluation: Evaluation, name: str, bar: int) -> float:
    return float(evaluation.evidence[name][0, bar])


@both_sides
def test_an_exaggeration_is_faded_on_the_bar_after_it_that_turns(judged):
    evaluation = judged(TURNED)
    assert fired(evaluation) == [TURN]
    assert not evaluation.exit[0, DROP:].any()
    assert evaluation.score[0, TURN] > 60 >= evaluation.score[0, DROP]


def test_the_turn_may_have_left_the_band_and_the_edge_of_rsi():
    evaluation = bought([*FALLEN[:-1], 92.0, 95.0])
    assert fired(evaluation) == [TURN]
    assert at(evaluation, "rsi", TURN) > 30 > at(evaluation, "rsi_before", TURN) == at(evaluation, "rsi", DROP)
    assert at(evaluation, "close", TURN) > at(evaluation, "bollinger_band", TURN)


@both_sides
def test_the_turn_may_come_while_it_is_still_stretched_and_fires_once(judged):
    assert fired(judged(STILL_LOW)) == [TURN]


@both_sides
def test_nothing_fires_without_an_exaggeration_or_while_it_goes_on(judged):
    assert fired(judged(QUIET)) == []
    assert fired(judged(FALLEN)) == []
    assert fired(judged([*FALLEN, 91.0, 90.0])) == []


@both_sides
@pytest.mark.parametrize(("close", "bars"), [(92.0, []), (92.0 * (1 + HAIR), [TURN])])
def test_a_close_that_stands_still_has_not_turned(judged, close, bars):
    assert fired(judged([*FALLEN, close])) == bars


@both_sides
def test_a_turn_two_bars_after_the_last_stretched_one_is_too_late(judged):
    waiting = [*FALLEN, 92.0, 92.0]
    in_time, late = judged([*waiting, 92.2]), judged([*waiting, 92.0, 92.2])
    assert fired(in_time) == [204]
    assert fired(late) == []
    assert at(bought([*waiting, 92.0]), "close", 204) > at(bought([*waiting, 92.0]), "bollinger_band", 204)


def test_a_long_entry_just_short_of_its_rsi_does_not_fire():
    value = at(bought(TURNED), "rsi", DROP)
    assert fired(bought(TURNED, rsi_under=value)) == []
    assert fired(bought(TURNED, rsi_under=value * (1 + HAIR))) == [TURN]


def test_a_short_entry_just_short_of_its_rsi_does_not_fire():
    value = at(sold(TURNED), "rsi", DROP)
    assert value == pytest.approx(100 - at(bought(TURNED), "rsi", DROP))
    assert fired(sold(TURNED, rsi_over=value)) == []
    assert fired(sold(TURNED, rsi_over=value * (1 - HAIR))) == [TURN]


@both_sides
def test_an_entry_just_inside_of_the_band_does_not_fire(judged):
    evaluation = judged(TURNED)
    close, middle, band = (at(evaluation, name, DROP) for name in ("close", "bollinger_middle", "bollinger_band"))
    deviations = 2 * (close - middle) / (band - middle)
    assert fired(judged(TURNED, bollinger_deviations=deviations * (1 + 1e-6))) == []
    assert fired(judged(TURNED, bollinger_deviations=deviations * (1 - 1e-6))) == [TURN]


@both_sides
def test_an_entry_in_a_market_with_a_direction_does_not_fire(judged):
    value = at(judged(TURNED), "adx", DROP)
    assert value < 25
    assert fired(judged(TURNED, adx_under=value)) == []
    assert fired(judged(TURNED, adx_under=value * (1 + HAIR))) == [TURN]


def test_the_three_of_an_exaggeration_must_hold_on_one_bar():
    # The drop's bar alone is quiet enough, the one after it alone has fallen far enough: neither has both.
    closes = [*FALLEN, 91.0, 91.2]
    evaluation = bought(closes)
    rsi = [at(evaluation, "rsi", bar) for bar in (DROP, DROP + 1)]
    adx = [at(evaluation, "adx", bar) for bar in (DROP, DROP + 1)]
    assert rsi[1] < rsi[0]
    assert adx[0] < adx[1]
    assert fired(bought(closes, rsi_under=sum(rsi) / 2)) == [DROP + 2]
    assert fired(bought(closes, rsi_under=sum(rsi) / 2, adx_under=sum(adx) / 2)) == []


@both_sides
@pytest.mark.parametrize(("over", "bars"), [(1e-6, []), (-1e-6, [TURN])])
def test_a_turn_that_is_already_past_the_middle_band_is_an_exit_and_no_entry(judged, over, bars):
    rest = sum(TURNED[-20:-1])
    middle = rest / 19  # the close at which the mean of the twenty equals the close itself
    evaluation = judged([*FALLEN, middle + over])
    assert fired(evaluation) == bars
    assert evaluation.exit[0, TURN] == (not bars)


@both_sides
def test_it_leaves_at_the_middle_band_and_not_before(judged):
    evaluation = judged([*TURNED, 95.0, 97.0, 99.0])
    assert evaluation.exit[0, DROP:].tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(("ratio", "met"), [(1.5, False), (1.5 + HAIR, True), (np.nan, False)])
def test_a_short_asks_for_a_crowd_that_is_long_at_its_own_bar(ratio, met):
    panel = mirrored(candles(TURNED), 100.0)
    ratios = np.full(panel.close.shape, 1.0 if met else 2.0)
    ratios[0, TURN] = ratio
    evaluation = evaluate(short, replace(panel, long_short_ratio=ratios), MeanReversionShortParameters())
    (need,) = evaluation.requirements
    assert (need.name, need.threshold, bool(need.met[0, TURN])) == ("long_short_ratio", "over 1.5", met)
    np.testing.assert_equal(need.value[0, TURN], ratio)
    assert fired(evaluation) == [TURN]


def test_the_data_that_is_asked_for():
    of_long = long.needs(MeanReversionParameters(), Timeframe.H1)
    of_short = short.needs(MeanReversionShortParameters(rsi_bars=100), Timeframe.H1)
    assert (of_long.candles, of_long.long_short_ratio) == ({Timeframe.H1: 264}, False)
    assert (of_short.candles, of_short.long_short_ratio) == ({Timeframe.H1: 1478}, True)


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e6])
def test_a_coin_of_a_billionth_is_judged_as_one_of_a_hundred(unit):
    for closes in (TURNED, STILL_LOW):
        evaluation = bought([close * unit for close in closes])
        assert fired(evaluation) == [TURN]
        np.testing.assert_allclose(evaluation.score, bought(closes).score, atol=1e-6)


@given(st.integers(0, 2**32 - 1), lengths, st.integers(5, 95), st.floats(0.2, 2), st.sampled_from([0.0, 0.05]))
def test_a_short_is_the_mirror_of_a_long(seed, bars, rsi_edge, deviations, holes):
    panel, turned = exact_pair(seed, 2, 120, holes=holes)
    shared = {"rsi_bars": bars, "bollinger_bars": bars, "bollinger_deviations": deviations, "adx_bars": bars}
    up = evaluate(long, panel, MeanReversionParameters.model_validate(shared | {"rsi_under": rsi_edge}))
    down = evaluate(short, turned, MeanReversionShortParameters.model_validate(shared | {"rsi_over": 100 - rsi_edge}))
    np.testing.assert_array_equal(up.entry, down.entry)
    np.testing.assert_array_equal(up.exit, down.exit)


def test_the_mirrored_panels_make_signals():
    panel, _ = exact_pair(1, 2, 400)
    loose = MeanReversionParameters(rsi_bars=3, bollinger_bars=4, bollinger_deviations=0.7, adx_bars=3, adx_under=80)
    assert evaluate(long, panel, loose).entry.sum() > 10
