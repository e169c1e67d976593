"""The regime's memory: hysteresis, confirmation, and what is in force meanwhile."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.regime import Regime
from domain.regime_state import BEYOND, CONFIRMING, CUTS, RegimeState, after_hole, step, walk

SCORES = st.floats(-100, 100)
SERIES = st.lists(SCORES, max_size=60)
HOLED = st.lists(st.none() | SCORES, max_size=60)

BEAR, NEUTRAL, BULL, STRONG_BULL = Regime.BEAR, Regime.NEUTRAL, Regime.BULL, Regime.STRONG_BULL


def states(*scores: float | None) -> list[Regime | None]:
    return [each.state if each else None for each in walk(None, scores)]


def effective(*scores: float | None) -> list[Regime | None]:
    return [each.effective if each else None for each in walk(None, scores)]


def settled(state: Regime) -> RegimeState:
    return RegimeState(state=state, effective=state, streak=CONFIRMING, pending=None)


@pytest.mark.parametrize(
    ("score", "state"),
    [
        (-100, "strong_bear"),
        (-60, "strong_bear"),
        (-59, "bear"),
        (-20, "bear"),
        (-19, "neutral"),
        (0, "neutral"),
        (19, "neutral"),
        (20, "bull"),
        (59, "bull"),
        (60, "strong_bull"),
        (100, "strong_bull"),
    ],
)
def test_the_first_close_is_in_the_state_of_its_score(score: float, state: str) -> None:
    assert step(None, score) == RegimeState(Regime(state), effective=None, streak=1, pending=None)


def test_two_closes_in_a_row_five_points_beyond_the_cut_move_the_state() -> None:
    assert states(0, 25, 25) == [NEUTRAL, NEUTRAL, BULL]
    assert states(0, 25, 24.9, 25) == [NEUTRAL] * 4
    assert states(30, 15.1, 15, 15) == [BULL, BULL, BULL, NEUTRAL]
    assert states(0, -25, -25) == [NEUTRAL, NEUTRAL, BEAR]


def test_the_state_moves_to_the_nearer_of_what_two_closes_called_for() -> None:
    assert states(0, 30, 80) == [NEUTRAL, NEUTRAL, BULL]
    assert states(0, 80, 30) == [NEUTRAL, NEUTRAL, BULL]
    assert states(0, 80, 80) == [NEUTRAL, NEUTRAL, STRONG_BULL]
    assert states(80, -30, 10) == [STRONG_BULL, STRONG_BULL, NEUTRAL]


def test_a_close_that_calls_for_more_than_it_moved_counts_for_the_next_one() -> None:
    moved = walk(None, [0, 30, 80])[-1]
    assert moved == RegimeState(BULL, effective=None, streak=1, pending=STRONG_BULL)
    assert states(0, 30, 80, 80) == [NEUTRAL, NEUTRAL, BULL, STRONG_BULL]


def test_calls_in_opposite_ways_move_nothing() -> None:
    assert states(0, 30, -30, 30, -30) == [NEUTRAL] * 5


def test_a_state_counts_after_three_closes_and_until_then_the_last_one_that_did() -> None:
    assert effective(0, 0, 0, 30, 30, 30, 30) == [None, None, NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL, BULL]
    confirmed = [each.confirmed for each in walk(None, [0, 0, 0, 30, 30, 30, 30]) if each]
    assert confirmed == [False, False, True, True, False, False, True]


def test_a_state_that_is_left_before_it_was_confirmed_never_counted() -> None:
    assert effective(0, 0, 0, 30, 30, 0, 0, 0, 0) == [None, None, *[NEUTRAL] * 7]


def test_after_closes_without_a_score_what_was_in_force_stays_and_counting_begins_anew() -> None:
    assert states(0, 30, None, 30, 30) == [NEUTRAL, NEUTRAL, None, NEUTRAL, BULL]
    assert effective(0, 0, 0, None, 0, 0, 0) == [None, None, NEUTRAL, None, NEUTRAL, NEUTRAL, NEUTRAL]
    assert effective(0, 0, None, 0, 0, 0) == [None, None, None, None, None, NEUTRAL]


def test_settled_states_are_what_the_others_follow_from() -> None:
    walked = walk(None, [0, 0, 30, 30], {1: settled(BULL)})
    assert [each.state for each in walked if each] == [NEUTRAL, BULL, BULL, BULL]
    assert walked[1] == settled(BULL)


@given(HOLED)
def test_a_walk_is_step_after_step(scores: list[float | None]) -> None:
    before: RegimeState | None = None
    for score, walked in zip(scores, walk(None, scores), strict=True):
        if score is None:
            before = after_hole(before)
            assert walked is None
        else:
            before = step(before, score)
            assert walked == before


@given(HOLED, st.data())
def test_a_walk_can_be_cut_anywhere_and_later_scores_change_nothing(
    scores: list[float | None], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(scores)))
    assert walk(None, scores)[:cut] == walk(None, scores[:cut])
    known = [each is not None for each in scores[:cut]]
    if cut and known[-1]:
        assert walk(walk(None, scores[:cut])[-1], scores[cut:]) == walk(None, scores)[cut:]


@given(
    st.sampled_from(CUTS),
    st.lists(st.floats(-BEYOND, BEYOND, exclude_min=True, exclude_max=True), min_size=1, max_size=40),
)
def test_scores_within_five_points_of_a_cut_never_move_the_state(cut: float, around: list[float]) -> None:
    place = CUTS.index(cut)
    for level in (place - 2, place - 1):  # the states below and above the cut
        held = settled(Regime.of_level(level))
        for offset in around:
            if -BEYOND < (cut + offset) - cut < BEYOND:
                held = step(held, cut + offset)
                assert (held.state.level, held.pending) == (level, None)


@given(SERIES)
def test_what_is_in_force_changes_only_to_a_state_of_three_closes_in_a_row(scores: list[float]) -> None:
    walked = [each for each in walk(None, scores) if each is not None]
    for place, (before, now) in enumerate(itertools.pairwise(walked), start=1):
        if now.effective != before.effective:
            assert now.confirmed
            assert now.effective == now.state
            assert {each.state for each in walked[place - CONFIRMING + 1 : place + 1]} == {now.state}


@given(SERIES)
def test_the_state_moves_only_after_two_calls_the_same_way(scores: list[float]) -> None:
    walked = [each for each in walk(None, scores) if each is not None]
    for place, (before, now) in enumerate(itertools.pairwise(walked), start=1):
        if now.state == before.state:
            assert now.streak == before.streak + 1
            continue
        assert (now.streak, before.pending is not None) == (1, True)
        rising = now.state.level > before.state.level
        crossed = CUTS[now.state.level + 1] if rising else CUTS[now.state.level + 2]
        for score in scores[place - 1 : place + 1]:
            assert score >= crossed + BEYOND if rising else score <= crossed - BEYOND


@given(HOLED)
def test_mirrored_scores_give_mirrored_states(scores: list[float | None]) -> None:
    def mirrored(regime: Regime | None) -> Regime | None:
        return Regime.of_level(-regime.level) if regime is not None else None

    there, back = walk(None, scores), walk(None, [None if each is None else -each for each in scores])
    for one, other in zip(there, back, strict=True):
        if one is None or other is None:
            assert one is other
            continue
        assert (mirrored(one.state), mirrored(one.effective), mirrored(one.pending), one.streak) == (
            other.state,
            other.effective,
            other.pending,
            other.streak,
        )
