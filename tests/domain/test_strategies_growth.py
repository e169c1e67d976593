"""Hand-made coins: which of them has potential, when it is bought, and what it takes to be passed over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.candle import Timeframe
from domain.strategies import validate_parameters
from domain.strategies.contract import Evaluation, Panel
from domain.strategies.growth_potential import GrowthPotential, GrowthPotentialParameters
from domain.strategies.ranking import rank_among
from tests.domain.strategy_cases import T0, evaluate

growth = GrowthPotential()

COINS = ("BTCUSDT", "AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT")
A_DAY_PCT = (0.1, 0.8, 0.4, 0.2, 0.1, -0.3)
A = COINS.index("AUSDT")
DAYS = 80
DIP, BACK = 50, 53
"""Bars of 4h between which every coin is under its average."""
NAN = float("nan")


def daily(a_day_pct: tuple[float, ...] = A_DAY_PCT, *, volume_of_the_week: float = 1.6, days: int = DAYS) -> Panel:
    """Coins that change by so much a day; the last ten days are those of ``hours``."""
    close = 100 * (1 + np.array(a_day_pct)[:, None] / 100) ** np.arange(days)
    volume = np.full(close.shape, 10.0)
    volume[:, -10:] = 10 * volume_of_the_week
    return panel_of(Timeframe.D1, close, volume, T0 - (days - 10) * Timeframe.D1.milliseconds)


def hours(a_day_pct: tuple[float, ...] = A_DAY_PCT, *, dip: float = 0.97, days: int = DAYS) -> Panel:
    """The last ten days on 4h: every coin stays where its day closed, dips and comes back."""
    close = daily(a_day_pct, days=days).close[:, -11:-1].repeat(6, axis=1)
    close[:, DIP:BACK] *= dip
    return panel_of(Timeframe.H4, close, np.full(close.shape, 10.0), T0)


def panel_of(timeframe: Timeframe, close: np.ndarray, volume: np.ndarray, first: int) -> Panel:
    opens = first + np.arange(close.shape[1], dtype=np.int64) * timeframe.milliseconds
    return Panel(timeframe, COINS, opens, close, close * 1.001, close * 0.999, close, volume)


def judged(days: Panel | None = None, bars: Panel | None = None, **parameters: float) -> Evaluation:
    market = {Timeframe.H4: bars or hours(), Timeframe.D1: days or daily()}
    return evaluate(growth, market, GrowthPotentialParameters.model_validate(parameters))


def fired(evaluation: Evaluation, coin: int = A) -> list[int]:
    """Bars from the dip on: the volumes of the week come up before it."""
    return (np.flatnonzero(evaluation.entry[coin, DIP:]) + DIP).tolist()


def at(evaluation: Evaluation, name: str, bar: int = BACK, coin: int = A) -> float:
    return float(evaluation.evidence[name][coin, bar])


def test_the_strongest_coin_is_bought_when_its_price_is_back_over_its_average():
    evaluation = judged()
    assert fired(evaluation) == [BACK]
    assert [fired(evaluation, coin) for coin in range(len(COINS)) if coin != A] == [[]] * 5
    assert evaluation.score[A, BACK] > 60 > evaluation.score[A, BACK - 1] > evaluation.score[COINS.index("EUSDT"), BACK]


def test_strength_is_the_change_of_thirty_days_in_btc():
    evaluation = judged()
    assert at(evaluation, "strength_pct") == pytest.approx((1.008**30 / 1.001**30 - 1) * 100)
    assert np.isnan(evaluation.evidence["strength_pct"][0]).all()
    ranks = evaluation.evidence["strength_rank"][:, BACK]
    np.testing.assert_array_equal(ranks, [NAN, 100, 80, 60, 40, 20])


def test_of_five_coins_the_second_is_not_in_the_top_fifth():
    evaluation = judged(rank_over_pct=79.9)
    assert fired(evaluation, COINS.index("BUSDT")) == [BACK]
    assert fired(judged(rank_over_pct=80), COINS.index("BUSDT")) == []


def test_with_fewer_coins_than_make_a_fifth_nobody_has_a_rank():
    days = daily()
    days.close[-1] = NAN
    assert fired(judged(days)) == []
    assert np.isnan(judged(days).evidence["strength_rank"]).all()
    assert fired(judged(days, ranked_least=4)) == [BACK]


def test_without_btc_nobody_is_strong():
    days, bars = daily(), hours()
    days.close[0] = NAN
    assert fired(judged(days)) == []
    others = replace(daily(), symbols=("XUSDT", *COINS[1:])), replace(bars, symbols=("XUSDT", *COINS[1:]))
    assert not judged(*others).entry.any()


def test_a_coin_under_its_daily_average_is_passed_over():
    days, bars = daily(), hours()
    days.close[A, :-30] *= 3  # long ago it was far dearer
    assert at(judged(days, bars), "daily_close") < at(judged(days, bars), "daily_ema")
    assert fired(judged(days, bars)) == []
    assert judged(days, bars).exit[A, BACK]
    assert not judged().exit[A].any()


@pytest.mark.parametrize(("side", "bars"), [(1, []), (1 - 1e-9, [BACK])])
def test_the_volume_of_the_week_is_over_that_of_the_month(side, bars):
    ratio = at(judged(), "volume_ratio")
    assert 1.2 < ratio < 1.6
    assert fired(judged(volume_ratio_over=ratio * side)) == bars


def test_volumes_are_means_of_seven_and_thirty_days():
    evaluation = judged()
    surged = (BACK + 1) // 6  # of the days closed by then
    assert at(evaluation, "volume_ratio") == pytest.approx(16 / ((surged * 16 + (30 - surged) * 10) / 30))


def test_a_coin_that_has_run_and_stands_near_its_high_comes_too_late():
    ran = (0.1, 1.5, 0.4, 0.2, 0.1, -0.3)
    late = judged(daily(ran), hours(ran))
    assert at(late, "run_pct") > 25
    assert at(late, "below_high_pct") < 3
    assert fired(late) == []
    assert fired(judged(daily(ran), hours(ran), run_pct=at(late, "run_pct") + 1e-6)) == [BACK]
    assert fired(judged(daily(ran), hours(ran), high_within_pct=0.01)) == [BACK]


@pytest.mark.parametrize(("name", "value"), [("run_pct", 1.0), ("high_within_pct", 0.05)])
def test_late_is_both_near_the_high_and_after_a_run(name, value):
    assert at(judged(), "run_pct") < 25
    assert at(judged(), "below_high_pct") < 3
    assert fired(judged(**{name: value})) == ([] if name == "run_pct" else [BACK])


def test_a_day_counts_from_its_close_on():
    days, bars = daily(), hours()
    closed = judged(days, bars).evidence["daily_close"][A]
    for bar in range(len(bars.open_time)):
        now = int(bars.open_time[bar]) + Timeframe.H4.milliseconds
        last = np.flatnonzero(days.open_time + Timeframe.D1.milliseconds <= now)[-1]
        assert closed[bar] == days.close[A, last]


def test_days_and_bars_of_4h_are_asked_for_and_btc_with_them():
    needs = growth.needs(GrowthPotentialParameters(), Timeframe.H4)
    assert dict(needs.candles) == {Timeframe.H4: 160, Timeframe.D1: 397}
    assert needs.benchmark == "BTCUSDT"
    assert needs.only is None
    assert dict(growth.needs(GrowthPotentialParameters(), Timeframe.D1).candles) == {Timeframe.D1: 397}


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"volume_short_days": 30}, "volume_short_days 30 must be below volume_long_days 30"),
        ({"rank_over_pct": 100}, "rank_over_pct\n.*less than 100"),
        ({"ranked_least": 1}, "ranked_least\n.*greater than or equal to 2"),
        ({"adx_bars": 14}, "adx_bars\n.*not permitted"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_and_rule(parameters, rule):
    with pytest.raises(ValueError, match=rule):
        validate_parameters("growth_potential", parameters)


def test_equals_share_the_better_place_and_the_unknown_have_none():
    values = np.array([[3.0, 1.0], [3.0, NAN], [1.0, NAN], [NAN, NAN], [2.0, 2.0]])
    np.testing.assert_array_equal(rank_among(values, 2), [[100, 50], [100, NAN], [25, NAN], [NAN, NAN], [50, 100]])
    assert np.isnan(rank_among(values, 5)).all()
    assert rank_among(np.empty((0, 3)), 2).shape == (0, 3)


def test_a_rank_is_the_share_of_coins_that_are_no_stronger():
    rng = np.random.default_rng(7)
    values = rng.integers(0, 9, (30, 40)).astype(np.float64)
    values[rng.random(values.shape) < 0.2] = NAN
    found = rank_among(values, 1)
    for coin, bar in np.argwhere(np.isfinite(values)).tolist():
        known = values[np.isfinite(values[:, bar]), bar]
        assert found[coin, bar] == pytest.approx(100 * (known <= values[coin, bar]).mean())
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
