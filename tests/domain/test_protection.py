"""How long nobody watched: what the intervals leave of the span."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.protection import RECORDED_WITHIN, Interval, held_from, uncovered_seconds

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
