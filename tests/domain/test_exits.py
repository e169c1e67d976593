"""The exit kernel for one position, trade by trade."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import exit_kernel as kernel
from domain.exits import (
    ExitPolicy,
    ExitReason,
    GuardState,
    make_row,
    retarget,
    state_of,
    step_state,
    to_milliseconds,
    warm_up,
)
from domain.market import PositionSide
from tests.domain.exit_cases import ENTRY, OPENED_AT, Reference, at_second, paths, policies, prices, sides

D = Decimal


def opened(side: PositionSide, policy: ExitPolicy, entry: Decimal = ENTRY) -> GuardState:
    return GuardState.opened(side, entry, OPENED_AT, policy)


def walk(state: GuardState, policy: ExitPolicy, path: list[Decimal]) -> tuple[GuardState, ExitReason | None]:
    """Step through prices one second apart, until an exit."""
    for second, price in enumerate(path, 1):
        state, reason = step_state(state, policy, price, at_second(second))
        if reason is not None:
            return state, reason
    return state, None


@given(sides, policies(), paths)
def test_the_kernel_does_what_the_policy_says(side, policy, path):
    state, reference = opened(side, policy), Reference(side, policy)
    for second, price in enumerate(path, 1):
        state, reason = step_state(state, policy, price, at_second(second))
        assert reason is reference.step(price, at_second(second))
        assert state.best_price == reference.best
        assert state.stop_price == pytest.approx(reference.stop()[0], rel=D("1e-12"))
        if reason is not None:
            break


@given(policies(), paths)
def test_a_short_is_the_mirror_of_a_long(policy, path):
    # The row of a short, told that it is long, sees every price negated exactly as the short sees the price.
    short = make_row(opened(PositionSide.SHORT, policy), policy)
    mirrored = short.copy()
    mirrored[0, kernel.SIGN] = 1.0
    for second, price in enumerate(path, 1):
        at = to_milliseconds(at_second(second))
        assert kernel.step(short, 0, float(price), at) == kernel.step(mirrored, 0, -float(price), at)
        assert np.array_equal(np.delete(short, kernel.SIGN), np.delete(mirrored, kernel.SIGN))


@given(policies(max_hold=False), st.lists(st.integers(-4_900, 4_900), min_size=1, max_size=30))
def test_without_trailing_a_price_path_mirrored_at_the_entry_exits_alike(policy, moves):
    fixed = policy.model_copy(
        update={"trailing_stop_pct": None, "trailing_activation_pct": None, "trailing_distance_pct": None}
    )
    long = walk(opened(PositionSide.LONG, fixed), fixed, [ENTRY + D(move) / 100 for move in moves])
    short = walk(opened(PositionSide.SHORT, fixed), fixed, [ENTRY - D(move) / 100 for move in moves])
    assert long[1] is short[1]
    assert long[0].stop_price - ENTRY == ENTRY - short[0].stop_price


@given(sides, policies(), paths)
def test_the_stop_never_loosens_and_stays_behind_the_best_price(side, policy, path):
    state = opened(side, policy)
    for second, price in enumerate(path, 1):
        new, _ = step_state(state, policy, price, at_second(second))
        assert side.sign * new.stop_price >= side.sign * state.stop_price
        assert side.sign * new.best_price >= side.sign * state.best_price
        assert side.sign * new.stop_price < side.sign * new.best_price
        assert new.trailing_armed >= state.trailing_armed
        assert new.break_even_armed >= state.break_even_armed
        state = new


@given(sides, policies(), paths, prices)
def test_a_better_peak_never_means_a_looser_stop(side, policy, path, extra):
    lower, _ = walk_all(opened(side, policy), policy, path)
    higher, _ = walk_all(opened(side, policy), policy, [*path, extra])
    assert side.sign * higher.stop_price >= side.sign * lower.stop_price


def walk_all(state: GuardState, policy: ExitPolicy, path: list[Decimal]) -> tuple[GuardState, None]:
    """Step through all prices, exit or not."""
    for second, price in enumerate(path, 1):
        state, _ = step_state(state, policy, price, at_second(second))
    return state, None


@given(sides, policies(), paths)
def test_a_state_survives_json_and_goes_on_as_before(side, policy, path):
    kept, restored = opened(side, policy), opened(side, policy)
    for second, price in enumerate(path, 1):
        kept, reason = step_state(kept, policy, price, at_second(second))
        restored = GuardState.model_validate_json(restored.model_dump_json())
        restored, again = step_state(restored, policy, price, at_second(second))
        assert (kept, reason) == (restored, again)


@given(sides, policies(), paths)
def test_a_row_and_its_state_convert_without_loss(side, policy, path):
    state, _ = walk_all(opened(side, policy), policy, path)
    assert state_of(make_row(state, policy), 0, state) == state


@given(sides, policies(), policies(), paths)
def test_new_targets_count_as_if_they_had_been_in_force_since_the_entry(side, first, second, path):
    walked, _ = walk_all(opened(side, first), first, path)
    always, _ = walk_all(opened(side, second), second, path)
    assert retarget(walked, second) == always


def test_new_targets_may_loosen_the_stop_and_fire_on_the_next_trade_when_crossed():
    tight, loose = ExitPolicy(stop_loss_pct=D(2)), ExitPolicy(stop_loss_pct=D(10))
    state = opened(PositionSide.LONG, tight)
    assert retarget(state, loose).stop_price == 90
    state, reason = step_state(retarget(state, loose), loose, D(95), at_second(1))
    assert reason is None
    _, reason = step_state(retarget(state, tight), tight, D(95), at_second(2))
    assert reason is ExitReason.STOP_LOSS


def test_a_tighter_stop_than_the_policy_makes_is_not_loosened_by_price():
    tight, loose = ExitPolicy(stop_loss_pct=D(2)), ExitPolicy(stop_loss_pct=D(10), trailing_stop_pct=D(9))
    state, _ = step_state(opened(PositionSide.LONG, tight), loose, D(101), at_second(1))
    assert (state.best_price, state.stop_price, state.stop_level) == (101, 98, ExitReason.STOP_LOSS)


TRAILING = ExitPolicy(
    stop_loss_pct=D(5), trailing_activation_pct=D(4), trailing_distance_pct=D("1.5"), break_even_at_pct=D(2)
)


@pytest.mark.parametrize(
    ("policy", "path", "reason", "stop"),
    [
        (TRAILING, ["95"], ExitReason.STOP_LOSS, "95"),
        (TRAILING, ["95.01"], None, "95"),
        (TRAILING, ["102", "100"], ExitReason.BREAK_EVEN, "100"),
        (TRAILING, ["104", "102.45"], None, "102.44"),
        (TRAILING, ["104", "102.44"], ExitReason.TRAILING_TAKE_PROFIT, "102.44"),
        (TRAILING, ["104", "110", "108.35"], ExitReason.TRAILING_TAKE_PROFIT, "108.35"),
        (ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(3)), ["97"], ExitReason.TRAILING_STOP, "97"),
        (ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(3)), ["120", "116.4"], ExitReason.TRAILING_STOP, "116.4"),
        (ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(5)), ["95"], ExitReason.TRAILING_STOP, "95"),
        (ExitPolicy(stop_loss_pct=D(5), take_profit_pct=D(3)), ["102.99", "103"], ExitReason.TAKE_PROFIT, "95"),
    ],
)
def test_a_long_position_is_left_exactly_at_its_levels(policy, path, reason, stop):
    state, left = walk(opened(PositionSide.LONG, policy), policy, [D(price) for price in path])
    assert left is reason
    assert state.stop_price == pytest.approx(D(stop), rel=D("1e-12"))


@given(sides, st.integers(1, 10**7), st.integers(1, 9_999), st.integers(0, 9))
def test_a_price_equal_to_the_trailing_stop_is_at_the_stop(side, best_ticks, distance, tick_digits):
    # Trailing levels are computed in binary; none may be missed by a rounding error.
    policy = ExitPolicy(stop_loss_pct=D("99.99"), trailing_stop_pct=D(distance) / 100)
    best = D(best_ticks).scaleb(-tick_digits)
    state = GuardState.opened(side, best, OPENED_AT, policy)
    _, reason = step_state(state, policy, best * (1 - side.sign * D(distance) / 10_000), at_second(1))
    assert reason in (ExitReason.TRAILING_STOP, ExitReason.STOP_LOSS)


def test_a_maximum_hold_expires_by_the_clock_at_an_unchanged_price():
    policy = ExitPolicy(stop_loss_pct=D(5), max_hold_seconds=60)
    state = opened(PositionSide.SHORT, policy)
    assert step_state(state, policy, ENTRY, at_second(59.999))[1] is None
    assert step_state(state, policy, ENTRY, at_second(60))[1] is ExitReason.MAX_HOLD


def test_a_minimum_hold_delays_no_stop():
    policy = ExitPolicy(stop_loss_pct=D(5), min_hold_seconds=3600)
    assert step_state(opened(PositionSide.LONG, policy), policy, D(94), at_second(1))[1] is ExitReason.STOP_LOSS


@given(sides, policies(), paths, prices)
def test_a_trade_from_before_what_was_seen_changes_nothing(side, policy, path, price):
    state, _ = walk_all(opened(side, policy), policy, path)
    assert step_state(state, policy, price, state.as_of - timedelta(milliseconds=1)) == (state, None)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_a_price_that_is_none_is_refused(price):
    policy = ExitPolicy(stop_loss_pct=D(5))
    with pytest.raises(ValueError, match="price"):
        step_state(opened(PositionSide.LONG, policy), policy, D(price), OPENED_AT)
    with pytest.raises(ValueError, match="price"):
        GuardState.opened(PositionSide.LONG, D(price), OPENED_AT, policy)


def test_a_naive_time_is_refused():
    policy = ExitPolicy(stop_loss_pct=D(5))
    with pytest.raises(ValueError, match="time zone"):
        step_state(opened(PositionSide.LONG, policy), policy, ENTRY, datetime(2026, 3, 1))  # noqa: DTZ001


def test_warming_up_compiles_everything_the_guards_use():
    warm_up()
    for function in (kernel.step, kernel.step_rows, kernel.walk_bar, kernel.walk_bars, kernel.raise_stop):
        assert function.signatures
