"""Capture effectiveness: what a watchlist had of the top movers of seven days, and how early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.capture import WINDOW, Capture, Closes, capture, effectiveness, windows
from domain.market import PositionSide

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + WINDOW
HOUR = timedelta(hours=1)
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def closes(*points: tuple[int, float]) -> Closes:
    """A symbol that stands still between ``points`` of (hours since the start, price)."""
    prices = dict(points)
    path, price = [], prices[0]
    for hour in range(WINDOW // HOUR + 1):
        price = prices.get(hour, price)
        path.append((START + hour * HOUR, price))
    return path


RISER = closes((0, 100.0), (30, 106.0), (60, 120.0), (100, 108.0), (150, 120.0))
FALLER = closes((0, 100.0), (40, 90.0), (80, 70.0))
STILL = closes((0, 50.0))


def at(hour: int) -> datetime:
    return START + hour * HOUR


def measured(side: PositionSide, listed: dict[str, datetime], k: int = 2) -> Capture:
    market = {"RISEUSDT": RISER, "FALLUSDT": FALLER, "STILLUSDT": STILL, "NEWUSDT": RISER[20:]}
    return capture(side, (START, END), market, listed, k)


def test_movers_moved_the_side_s_way_and_each_has_the_bars_of_half_and_of_all_its_move() -> None:
    (riser,) = measured(LONG, {}).movers
    assert (riser.symbol, riser.move_pct) == ("RISEUSDT", pytest.approx(20))
    assert (riser.half_at, riser.complete_at) == (at(60), at(60)), "6 % of 20 % is not half of it"
    (faller,) = measured(SHORT, {}).movers
    assert (faller.symbol, faller.move_pct) == ("FALLUSDT", pytest.approx(30))
    assert (faller.half_at, faller.complete_at) == (at(80), at(80))


@pytest.mark.parametrize(
    ("hour", "recalled", "lead"),
    [(0, True, 60.0), (59, True, 1.0), (60, False, None), (61, False, None), (None, False, None)],
)
def test_a_listing_is_early_or_late_by_the_bars_of_the_move(hour: int | None, recalled: bool, lead: float) -> None:
    listed = {} if hour is None else {"RISEUSDT": at(hour)}
    (riser,) = measured(LONG, listed).movers
    assert (riser.recalled, riser.lead_hours) == (recalled, lead)


def test_precision_is_of_listed_symbols_and_recall_of_movers() -> None:
    listed = {"RISEUSDT": at(10), "STILLUSDT": at(0), "NEWUSDT": at(0), "GONEUSDT": at(0)}
    told = effectiveness([measured(LONG, listed)])
    assert (told.listed, told.precision) == (2, 0.5), "a symbol whose move isn't known is not counted"
    assert (told.movers, told.recall, told.captured, told.lead_hours) == (1, 1.0, 1, 50.0)
    late = effectiveness([measured(LONG, {"RISEUSDT": at(61)})])
    assert (late.precision, late.recall, late.captured, late.lead_hours) == (1.0, 0.0, 0, None)


def test_windows_together_sum_their_counts_and_share_one_median() -> None:
    told = effectiveness([measured(LONG, {"RISEUSDT": at(hour)}) for hour in (0, 20, 50)] + [measured(LONG, {})])
    assert (told.windows, told.listed, told.movers, told.became_movers) == (4, 3, 4, 3)
    assert (told.recall, told.precision, told.lead_hours) == (0.75, 1.0, 40.0)
    nothing = effectiveness([])
    assert (nothing.precision, nothing.recall, nothing.lead_hours) == (None, None, None)


@given(st.integers(0, 60 * 24 * 2_000), st.integers(0, 60 * 24 * 60))
def test_windows_are_side_by_side_within_the_span_and_end_with_the_last_full_hour(first: int, minutes: int) -> None:
    since = START + timedelta(minutes=first)
    until = since + timedelta(minutes=minutes)
    found = windows(since, until)
    assert all(end - start == WINDOW for start, end in found)
    assert all(before[1] == after[0] for before, after in pairwise(found))
    if found:
        assert found[0][0] >= since
        assert found[-1][1] == until.replace(minute=0, second=0, microsecond=0)
        assert found[0][0] - WINDOW < since
    else:
        assert until - since < WINDOW + HOUR


prices = st.lists(st.floats(0.5, 2.0), min_size=3, max_size=12)


@given(
    st.dictionaries(st.sampled_from("ABCDEFG"), prices),
    st.dictionaries(st.sampled_from("ABCDEFGHI"), st.integers(0, 167)),
    st.integers(1, 5),
)
def test_no_side_counts_more_than_there_is_and_the_sides_never_share_a_mover(paths, hours, k) -> None:
    market = {
        name: closes((0, path[0]), *((14 * number, price) for number, price in enumerate(path[1:], 1)))
        for name, path in paths.items()
    }
    listed = {name: at(hour) for name, hour in hours.items()}
    long, short = (capture(side, (START, END), market, listed, k) for side in (LONG, SHORT))
    assert not {each.symbol for each in long.movers} & {each.symbol for each in short.movers}
    for each in (long, short):
        told = effectiveness([each])
        assert told.movers <= min(k, len(market))
        assert told.captured <= told.recalled <= told.became_movers <= min(told.listed, told.movers)
        moves = [mover.move_pct for mover in each.movers]
        assert moves == sorted(moves, reverse=True)
        assert all(move > 0 for move in moves)
        for mover in each.movers:
            assert START < mover.half_at <= mover.complete_at <= END
        others = {name for name in market if name not in {mover.symbol for mover in each.movers}}
        side = LONG if each is long else SHORT
        ends = {name: side.sign * (market[name][-1][1] / market[name][0][1] - 1) * 100 for name in others}
        assert not moves or len(moves) < k or all(end <= moves[-1] for end in ends.values())
