"""How long nobody watched: what the intervals leave of the span."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.exit_policy import disaster_stop
from domain.market import PositionSide
from domain.protection import (
    FOLLOW_SECONDS,
    RECORDED_WITHIN,
    Interval,
    held_from,
    interrupted,
    is_tighter,
    stop_follows,
    uncovered_seconds,
)

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def between(first: float, last: float) -> Interval:
    return Interval(at(first), at(last))


intervals = st.tuples(st.integers(-20, 80), st.integers(0, 30)).map(lambda pair: between(pair[0], pair[0] + pair[1]))


@given(st.lists(intervals, max_size=8), st.integers(0, 60))
def test_every_second_that_no_interval_reaches_counts_once(cover: list[Interval], length: int) -> None:
    bare = [
        second
        for second in range(length)
        if not any(each.start <= at(second) and at(second + 1) <= each.end for each in cover)
    ]
    assert uncovered_seconds(between(0, length), cover) == len(bare)


def test_a_span_that_ends_before_it_starts_has_no_seconds() -> None:
    assert uncovered_seconds(between(5, 2), [between(6, 8)]) == 0


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(milliseconds=300), RECORDED_WITHIN])
def test_a_fill_recorded_at_once_began_when_it_was_recorded(delay: timedelta) -> None:
    assert held_from(START + delay, START) == START + delay


def test_a_fill_learned_of_late_may_have_happened_as_soon_as_the_entry_was_sent() -> None:
    assert held_from(at(45), at(3)) == at(3)


def test_a_fill_whose_entry_has_no_sending_on_record_began_when_it_was_recorded() -> None:
    assert held_from(at(45), None) == at(45)


@given(st.lists(intervals, max_size=6), st.integers(1, 60))
def test_a_span_without_its_gaps_misses_exactly_the_seconds_of_the_gaps(gaps: list[Interval], length: int) -> None:
    span = between(0, length)
    left = interrupted(span, gaps)
    for second in range(length):
        inside_gap = any(gap.start <= at(second) and at(second + 1) <= gap.end for gap in gaps)
        inside_left = any(each.start <= at(second) and at(second + 1) <= each.end for each in left)
        assert inside_left is not inside_gap
    assert all(span.start <= each.start < each.end <= span.end for each in left)


# the stop at the exchange follows its guard's

sides = st.sampled_from(PositionSide)
prices = st.decimals(Decimal("0.5"), Decimal(100_000), places=4)
buffers = st.decimals(Decimal("0.1"), Decimal(10), places=2)
seconds = st.floats(0, 10_000)


@given(sides, prices, buffers, st.booleans())
def test_a_stop_that_was_just_moved_where_it_belongs_does_not_follow(
    side: PositionSide, guard_stop: Decimal, buffer_pct: Decimal, new: bool
) -> None:
    resting = disaster_stop(side, guard_stop, buffer_pct)
    assert not stop_follows(side, guard_stop, resting, buffer_pct, 1e9, new_targets=new)


@given(sides, prices, prices, buffers, seconds, st.booleans())
def test_a_stop_that_would_be_crossed_before_the_guards_is_moved_at_once(
    side: PositionSide, guard_stop: Decimal, resting: Decimal, buffer_pct: Decimal, since: float, new: bool
) -> None:
    follows = stop_follows(side, guard_stop, resting, buffer_pct, since, new_targets=new)
    assert follows or is_tighter(side, guard_stop, resting)


@given(sides, prices, buffers, st.lists(st.decimals(Decimal("-0.05"), Decimal("0.05"), places=4), max_size=200))
def test_behind_a_ratchet_it_moves_at_most_once_a_minute_and_only_tighter(
    side: PositionSide, start: Decimal, buffer_pct: Decimal, steps: list[Decimal]
) -> None:
    guard_stop, resting = start, disaster_stop(side, start, buffer_pct)
    moved_at = [-FOLLOW_SECONDS]
    for second, step in enumerate(steps):  # a trade a second
        price = guard_stop * (1 + step)
        guard_stop = price if is_tighter(side, price, guard_stop) else guard_stop
        if stop_follows(side, guard_stop, resting, buffer_pct, second - moved_at[-1]):
            wanted = disaster_stop(side, guard_stop, buffer_pct)
            assert is_tighter(side, wanted, resting)
            assert is_tighter(side, guard_stop, wanted)
            resting = wanted
            moved_at.append(second)
    assert all(later - earlier >= FOLLOW_SECONDS for earlier, later in pairwise(moved_at))


@given(sides, prices, buffers, st.decimals(Decimal("2.01"), Decimal(5), places=2))
def test_a_stop_left_behind_follows_once_a_minute_has_passed(
    side: PositionSide, guard_stop: Decimal, buffer_pct: Decimal, buffers_behind: Decimal
) -> None:
    resting = guard_stop * (1 - side.sign * buffers_behind * buffer_pct / 100)
    assert not stop_follows(side, guard_stop, resting, buffer_pct, FOLLOW_SECONDS - 1)
    assert stop_follows(side, guard_stop, resting, buffer_pct, FOLLOW_SECONDS)
    assert stop_follows(side, guard_stop, resting, buffer_pct, 0, new_targets=True)
