"""The watchlist: one strong reason counts, several count more, and the order never depends on how it was come by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.market import Category, PositionSide
from domain.watchlist import Score, Watcher, composite, places

CLOSE = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
NAMES = ("alpha", "beta", "gamma", "delta")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")

points = st.floats(0, 100)
symbols = st.sampled_from(SYMBOLS)


def watcher(name: str, side: PositionSide = LONG, only: frozenset[str] | None = None) -> Watcher:
    category = Category.SPOT if side is LONG else Category.LINEAR
    return Watcher(name, category, side, Timeframe.H4, only)


def score(name: str, symbol: str, value: float, side: PositionSide = LONG, at: datetime = CLOSE) -> Score:
    return Score(name, Category.SPOT if side is LONG else Category.LINEAR, symbol, value, at)


restrictions = st.none() | st.frozensets(symbols, min_size=1)
watching = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.sampled_from(PositionSide), restrictions)).map(
    lambda found: [watcher(name, side, only) for name, (side, only) in found.items()]
)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Watcher], list[Score]]:
    found = draw(watching)
    given_to = (
        draw(st.lists(st.sampled_from([(each, one) for each in found for one in SYMBOLS]), unique=True))
        if (found)
        else []
    )
    return found, [score(each.strategy, one, draw(points), each.side) for each, one in given_to]


@given(st.lists(points, max_size=8), st.integers(0, 5))
def test_a_composite_lies_between_the_best_score_s_share_and_the_best_score(scores: list[float], silent: int) -> None:
    told = composite(scores, len(scores) + silent)
    best = max(scores, default=0.0)
    assert 0.7 * best - 1e-9 <= told <= best
    assert told == pytest.approx(0.7 * best + 0.3 * sum(scores) / max(len(scores) + silent, 1), abs=1e-9)


@given(st.lists(points, min_size=1, max_size=8), st.data())
def test_a_higher_score_of_any_strategy_never_lowers_the_composite(scores: list[float], data: st.DataObject) -> None:
    raised = data.draw(st.integers(0, len(scores) - 1))
    higher = [data.draw(st.floats(value, 100)) if at == raised else value for at, value in enumerate(scores)]
    assert composite(higher, len(scores)) >= composite(scores, len(scores)) - 1e-9


def test_more_scores_than_strategies_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores of 1 strategies"):
        composite([1.0, 2.0], 1)


@given(markets(), st.randoms(use_true_random=False))
def test_places_are_in_a_total_order_that_does_not_depend_on_the_order_of_the_scores(market, random) -> None:
    found, scores = market
    shuffled = random.sample(scores, len(scores))
    for side in PositionSide:
        told = places(scores, found, side, CLOSE)
        assert told == places(shuffled, found, side, CLOSE)
        assert [each.rank for each in told] == list(range(1, len(told) + 1))
        keys = [(-each.composite, each.symbol) for each in told]
        assert keys == sorted(keys)
        assert len({each.symbol for each in told}) == len(told)


@given(markets())
def test_a_place_shows_all_scores_behind_it_and_of_its_side_only(market) -> None:
    found, scores = market
    for side in PositionSide:
        of_side = {each.strategy: each for each in found if each.side is side}
        for place in places(scores, found, side, CLOSE):
            mine = [each for each in scores if each.symbol == place.symbol and each.strategy in of_side]
            assert place.scores == {
                each.strategy: each.score for each in mine if of_side[each.strategy].watches(place.symbol)
            }
            watchers = sum(each.watches(place.symbol) for each in of_side.values())
            assert place.composite == pytest.approx(composite(place.scores.values(), watchers))


@given(markets(), st.frozensets(symbols, min_size=1))
def test_a_strategy_of_some_symbols_changes_nothing_for_the_others(market, only: frozenset[str]) -> None:
    found, scores = market
    alone = Watcher("alone", Category.SPOT, LONG, Timeframe.H4, only)
    more = [*scores, *(score("alone", symbol, 100.0) for symbol in SYMBOLS)]
    before = {each.symbol: each.composite for each in places(scores, found, LONG, CLOSE)}
    after = {each.symbol: each.composite for each in places(more, [*found, alone], LONG, CLOSE)}
    assert {one: value for one, value in before.items() if one not in only} == {
        one: value for one, value in after.items() if one not in only
    }
    assert only <= after.keys()


def test_a_score_counts_as_long_as_its_strategy_could_not_have_given_a_newer_one() -> None:
    each = [watcher("alpha")]
    for age, counts in ((0.0, True), (3.75, True), (4.0, False), (-0.25, False)):
        scored = [score("alpha", "BTCUSDT", 50.0, at=CLOSE - timedelta(hours=age))]
        assert bool(places(scored, each, LONG, CLOSE)) is counts, f"{age} hours old"


def test_a_score_of_a_market_its_strategy_has_left_does_not_count() -> None:
    old = Score("alpha", Category.LINEAR, "BTCUSDT", 50.0, CLOSE)
    assert places([old], [watcher("alpha")], LONG, CLOSE) == []


def test_two_good_reasons_are_better_than_one_and_a_weak_one_does_not_beat_a_strong_one() -> None:
    found = [watcher("alpha"), watcher("beta"), watcher("gamma", SHORT)]
    scores = [
        score("alpha", "BTCUSDT", 80.0),
        score("beta", "BTCUSDT", 60.0),
        score("alpha", "ETHUSDT", 80.0),
        score("alpha", "SOLUSDT", 50.0),
        score("beta", "SOLUSDT", 50.0),
        score("alpha", "XRPUSDT", 0.0),
        score("gamma", "XRPUSDT", 90.0, SHORT),
    ]
    longs = places(scores, found, LONG, CLOSE)
    assert [(each.symbol, each.composite) for each in longs] == [
        ("BTCUSDT", pytest.approx(0.7 * 80 + 0.3 * 70)),
        ("ETHUSDT", pytest.approx(0.7 * 80 + 0.3 * 40)),
        ("SOLUSDT", pytest.approx(50)),
    ]
    assert [(each.symbol, each.composite) for each in places(scores, found, SHORT, CLOSE)] == [("XRPUSDT", 90.0)]
