"""The declared exit policy and the levels that follow from the entry."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from pydantic import ValidationError

from domain.exit_policy import ExitPolicy, disaster_stop, stop_price_for
from domain.exits import GuardState
from domain.market import PositionSide
from tests.domain.exit_cases import OPENED_AT, policies, prices, sides, tenths

D = Decimal


def test_a_policy_reads_from_json_numbers_as_exact_decimals():
    policy = ExitPolicy.model_validate_json('{"stop_loss_pct": 2.5, "take_profit_pct": "4.1"}')
    assert (policy.stop_loss_pct, policy.take_profit_pct) == (D("2.5"), D("4.1"))
    assert ExitPolicy.model_validate_json(policy.model_dump_json()) == policy


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "stop_loss_pct"),
        ({"stop_loss_pct": 0}, "stop_loss_pct"),
        ({"stop_loss_pct": 100}, "stop_loss_pct"),
        ({"stop_loss_pct": "NaN"}, "stop_loss_pct"),
        ({"stop_loss_pct": 2, "take_profit_pct": -1}, "take_profit_pct"),
        ({"stop_loss_pct": 2, "take_profit_pct": "Infinity"}, "take_profit_pct"),
        ({"stop_loss_pct": 2, "trailing_activation_pct": 1}, "go together"),
        ({"stop_loss_pct": 2, "trailing_distance_pct": 1}, "go together"),
        ({"stop_loss_pct": 2, "trailing_stop_pct": 100}, "trailing_stop_pct"),
        ({"stop_loss_pct": 2, "take_profit_pct": 3, "break_even_at_pct": 3}, "break_even_at_pct 3 must be below"),
        (
            {"stop_loss_pct": 2, "take_profit_pct": 3, "trailing_activation_pct": 4, "trailing_distance_pct": 1},
            "trailing_activation_pct 4 must be below take_profit_pct 3",
        ),
        ({"stop_loss_pct": 2, "max_hold_seconds": 0}, "max_hold_seconds"),
        ({"stop_loss_pct": 2, "min_hold_seconds": -1}, "min_hold_seconds"),
        ({"stop_loss_pct": 2, "min_hold_seconds": 9, "max_hold_seconds": 8}, "min_hold_seconds 9 must not exceed"),
        ({"stop_loss_pct": 2, "stop_los_pct": 2}, "stop_los_pct"),
    ],
)
def test_a_bad_policy_is_refused_naming_field_and_rule(fields, message):
    with pytest.raises(ValidationError, match=message):
        ExitPolicy.model_validate(fields)


@pytest.mark.parametrize("field", ["take_profit_pct", "break_even_at_pct"])
def test_a_short_can_not_aim_for_all_of_the_price(field):
    policy = ExitPolicy.model_validate({"stop_loss_pct": 2, field: 100})
    policy.check_side(PositionSide.LONG)
    with pytest.raises(ValueError, match=f"{field} 100 must be below 100 for a short"):
        GuardState.opened(PositionSide.SHORT, D(10), OPENED_AT, policy)


def test_the_stop_of_an_entry_is_the_tighter_of_its_two():
    loose, tight = ExitPolicy(stop_loss_pct=D(5)), ExitPolicy(stop_loss_pct=D(5), trailing_stop_pct=D(3))
    assert stop_price_for(PositionSide.LONG, D(200), loose) == 190
    assert stop_price_for(PositionSide.LONG, D(200), tight) == 194
    assert stop_price_for(PositionSide.SHORT, D(200), tight) == 206


@given(sides, prices, policies())
def test_the_stop_of_an_entry_is_the_guards_first_stop(side, entry, policy):
    state = GuardState.opened(side, entry, OPENED_AT, policy)
    assert state.stop_price == pytest.approx(stop_price_for(side, entry, policy), rel=D("1e-12"))


@given(sides, prices, tenths(1, 999))
def test_the_disaster_stop_lies_beyond_the_guards_stop(side, stop, buffer):
    trigger = disaster_stop(side, stop, buffer)
    assert side.sign * (stop - trigger) == stop * buffer / 100 > 0


@pytest.mark.parametrize("buffer", [0, -1, 100])
def test_a_disaster_buffer_out_of_range_is_refused(buffer):
    with pytest.raises(ValueError, match="buffer_pct"):
        disaster_stop(PositionSide.LONG, D(10), D(buffer))
