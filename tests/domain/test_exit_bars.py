"""The exit kernel bar by bar: the same exits, with what a bar hides decided against us."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import exit_kernel as kernel
from domain.exits import ExitPolicy, ExitReason, GuardState, make_row, reason_of, step_state, to_milliseconds, walk_bar
from domain.market import PositionSide
from tests.domain.exit_cases import ENTRY, OPENED_AT, at_second, policies, prices, sides

D = Decimal
BAR = timedelta(seconds=10)

Bar = tuple[Decimal, Decimal, Decimal, Decimal]


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    """(open, high, low, close)."""
    low, first, second, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    open_, close = draw(st.permutations([first, second]))
    return open_, high, low, close


def opened(side: PositionSide, policy: ExitPolicy) -> GuardState:
    return GuardState.opened(side, ENTRY, OPENED_AT, policy)


def walked(state: GuardState, policy: ExitPolicy, *series: Bar):
    """Walk bars in a row from the entry on, until an exit: (state, exit)."""
    start, left = OPENED_AT, None
    for bar in series:
        state, left = walk_bar(state, policy, *bar, start, start + BAR)
        start += BAR
        if left is not None:
            break
    return state, left


def bar(*values: str | int) -> Bar:
    open_, high, low, close = (D(value) for value in values)
    return open_, high, low, close


@given(sides, policies(max_hold=False), st.lists(bars(), min_size=1, max_size=8))
def test_a_bar_is_its_open_adverse_extreme_favourable_extreme_and_close(side, policy, series):
    state = by_trades = opened(side, policy)
    start = OPENED_AT
    for open_, high, low, close in series:
        state, left = walk_bar(state, policy, open_, high, low, close, start, start + BAR)
        reason = None
        adverse, favourable = (low, high) if side is PositionSide.LONG else (high, low)
        for price, at in ((open_, start), (adverse, start), (favourable, start), (close, start + BAR)):
            by_trades, reason = step_state(by_trades, policy, price, at)
            if reason is not None:
                break
        assert (left[0] if left else None) is reason
        assert state == by_trades
        if left is not None:
            return
        start += BAR


@given(sides, policies(), bars())
def test_an_exit_price_lies_inside_the_bar(side, policy, one):
    _, left = walked(opened(side, policy), policy, one)
    if left is not None:
        assert float(one[2]) * (1 - 1e-12) <= left[1] <= float(one[1]) * (1 + 1e-12)


@given(sides, policies(), st.lists(bars(), min_size=1, max_size=12))
def test_many_bars_at_once_are_the_same_bars_one_by_one(side, policy, series):
    state = opened(side, policy)
    _, left = walked(state, policy, *series)
    opens, highs, lows, closes = (np.array([float(value) for value in column]) for column in zip(*series, strict=True))
    starts = np.array([to_milliseconds(OPENED_AT + index * BAR) for index in range(len(series))], np.int64)
    index, code, price = kernel.walk_bars(make_row(state, policy), 0, opens, highs, lows, closes, starts, 10_000)
    assert (index >= 0) == (left is not None)
    if left is not None:
        assert (reason_of(code), D(repr(price))) == left


STOP = ExitPolicy(stop_loss_pct=D(5), take_profit_pct=D(10))


@pytest.mark.parametrize(
    ("one", "left"),
    [
        (bar(99, 101, 98, 100), None),
        (bar(99, 101, 95, 100), (ExitReason.STOP_LOSS, D(95))),
        (bar(90, 101, 89, 100), (ExitReason.STOP_LOSS, D(90))),
        (bar(99, 110, 98, 100), (ExitReason.TAKE_PROFIT, D(110))),
        (bar(112, 115, 109, 110), (ExitReason.TAKE_PROFIT, D(112))),
        (bar(99, 111, 94, 100), (ExitReason.STOP_LOSS, D(95))),
    ],
    ids=["inside", "stop inside", "gap through stop", "target inside", "gap through target", "both: the stop first"],
)
def test_a_long_leaves_a_bar_at_the_worse_of_its_readings(one, left):
    assert walked(opened(PositionSide.LONG, STOP), STOP, one)[1] == left


@pytest.mark.parametrize(
    ("one", "left"),
    [
        (bar(101, 105, 100, 102), (ExitReason.STOP_LOSS, D(105))),
        (bar(108, 109, 100, 102), (ExitReason.STOP_LOSS, D(108))),
        (bar(101, 102, 90, 95), (ExitReason.TAKE_PROFIT, D(90))),
        (bar(101, 106, 89, 95), (ExitReason.STOP_LOSS, D(105))),
    ],
)
def test_a_short_leaves_a_bar_at_the_worse_of_its_readings(one, left):
    assert walked(opened(PositionSide.SHORT, STOP), STOP, one)[1] == left


@given(sides, policies(max_hold=False), bars())
def test_a_gap_through_the_stop_exits_at_the_open(side, policy, one):
    state = opened(side, policy)
    beyond = state.stop_price * (1 - side.sign * D("0.001"))
    rest = sorted((*one[1:], beyond))
    _, left = walked(state, policy, (beyond, rest[-1], rest[0], one[3]))
    assert left is not None
    assert left == (state.stop_level, D(repr(float(beyond))))


def test_a_peak_nobody_saw_ratchets_the_stop_and_the_fall_back_hits_it():
    policy = ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(4))
    state, left = walked(opened(PositionSide.LONG, policy), policy, bar(100, 110, 99, 104))
    assert left == (ExitReason.TRAILING_STOP, D("105.6"))
    assert state.best_price == 110


def test_a_maximum_hold_inside_a_bar_exits_at_its_close_and_before_it_at_its_open():
    policy = ExitPolicy(stop_loss_pct=D(5), max_hold_seconds=15)
    one, two = bar(100, 101, 99, 100), bar(101, 102, 100, 102)
    assert walked(opened(PositionSide.LONG, policy), policy, one, two)[1] == (ExitReason.MAX_HOLD, D(102))
    state = opened(PositionSide.LONG, policy)
    late = walk_bar(state, policy, *two, at_second(20), at_second(30))
    assert late[1] == (ExitReason.MAX_HOLD, D(101))


def test_of_a_bar_partly_seen_only_a_new_peak_and_the_close_count():
    policy = ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(4))
    state, _ = step_state(opened(PositionSide.LONG, policy), policy, D(104), at_second(5))
    # The low of 98 may be from before the trade at 104 that raised the stop to 99.84.
    state, left = walk_bar(state, policy, *bar(99, 105, 98, 103), OPENED_AT, OPENED_AT + BAR)
    assert left is None
    assert state.best_price == 105
    _, left = walk_bar(state, policy, *bar(99, 106, 98, 100), at_second(5), at_second(15))
    assert left == (ExitReason.TRAILING_STOP, D("101.76"))


def test_a_bar_seen_whole_changes_nothing():
    policy = ExitPolicy(stop_loss_pct=D(5))
    state, _ = step_state(opened(PositionSide.LONG, policy), policy, D(104), at_second(10))
    assert walk_bar(state, policy, *bar(99, 105, 90, 103), OPENED_AT, OPENED_AT + BAR) == (state, None)


@pytest.mark.parametrize(
    "one", [bar(100, 99, 98, 99), bar(100, 101, 100, 99), bar(100, 101, 0, 99), bar(97, 101, 98, 99)]
)
def test_an_impossible_bar_is_refused(one: Bar):
    with pytest.raises(ValueError, match="impossible bar"):
        walk_bar(opened(PositionSide.LONG, STOP), STOP, *one, OPENED_AT, OPENED_AT + BAR)


def test_a_bar_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="impossible bar"):
        walk_bar(opened(PositionSide.LONG, STOP), STOP, *bar(99, 101, 98, 100), OPENED_AT, OPENED_AT)
