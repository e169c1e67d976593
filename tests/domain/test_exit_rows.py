"""Many guards of one symbol in one pass: each behaves as it would alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.exit_rows import GuardRows
from domain.exits import ExitPolicy, ExitReason, GuardState, retarget, step_state
from domain.market import PositionSide
from tests.domain.exit_cases import ENTRY, OPENED_AT, at_second, paths, policies, prices, sides

D = Decimal
WIDE = ExitPolicy(stop_loss_pct=D(50))


@given(st.lists(st.tuples(sides, policies()), min_size=1, max_size=40), paths)
def test_each_guard_of_a_book_behaves_as_it_would_alone(guards, path):
    rows = GuardRows()
    alone: dict[int, tuple[GuardState, ExitPolicy]] = {}
    for side, policy in guards:
        state = GuardState.opened(side, ENTRY, OPENED_AT, policy)
        alone[rows.add(state, policy)] = (state, policy)
    watching = dict(alone)
    for second, price in enumerate(path, 1):
        stepped = rows.step_all(price, at_second(second))
        fired, ratcheted = {}, set()
        for index, (before, policy) in list(watching.items()):
            after, reason = step_state(before, policy, price, at_second(second))
            watching[index] = alone[index] = (after, policy)
            if reason is not None:
                fired[index] = reason
                del watching[index]
            levels = ("stop_price", "trailing_armed", "break_even_armed")
            if any(getattr(before, level) != getattr(after, level) for level in levels):
                ratcheted.add(index)
        assert dict(stepped.fired) == fired
        assert set(stepped.ratcheted) == ratcheted
        assert {index: rows.state(index) for index in alone} == {index: state for index, (state, _) in alone.items()}


class GuardBook(RuleBasedStateMachine):
    """Guards come, go, and get new targets between trades; indexes stay theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = GuardRows()
        self.model: dict[int, tuple[GuardState, ExitPolicy, bool]] = {}
        self.second = 0

    @rule(side=sides, policy=policies())
    def add(self, side, policy):
        state = GuardState.opened(side, ENTRY, at_second(self.second), policy)
        index = self.rows.add(state, policy)
        assert index not in self.model
        self.model[index] = (state, policy, True)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data):
        index = data.draw(st.sampled_from(sorted(self.model)))
        assert self.rows.remove(index) == self.model.pop(index)[0]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), policy=policies())
    def replace(self, data, policy):
        index = data.draw(st.sampled_from(sorted(self.model)))
        state = retarget(self.rows.state(index), policy)
        self.rows.replace(index, state, policy)
        self.model[index] = (state, policy, True)

    @rule(price=prices, late=st.sampled_from([0, 0, 0, 1, 5]))
    def trade(self, price, late):
        self.second += 1
        at = at_second(self.second - late)
        fired = dict(self.rows.step_all(price, at).fired)
        for index, (before, policy, active) in self.model.items():
            if not active:
                assert index not in fired
                continue
            state, reason = step_state(before, policy, price, at)
            assert fired.pop(index, None) is reason
            self.model[index] = (state, policy, reason is None)
        assert not fired

    @invariant()
    def agrees(self):
        assert len(self.rows) == len(self.model)
        for index, (state, _, active) in self.model.items():
            assert self.rows.state(index) == state
            assert self.rows.is_active(index) == active


TestGuardBook = GuardBook.TestCase
TestGuardBook.settings = settings(max_examples=25, stateful_step_count=30)


def test_a_book_grows_and_every_guard_stays_where_it_was():
    rows = GuardRows()
    entries = [D(50 + number) for number in range(200)]
    indexes = [rows.add(GuardState.opened(PositionSide.LONG, entry, OPENED_AT, WIDE), WIDE) for entry in entries]
    assert [rows.state(index).entry_price for index in indexes] == entries


def test_a_guard_fires_once_until_it_is_told_to_watch_again():
    rows = GuardRows()
    state = GuardState.opened(PositionSide.LONG, ENTRY, OPENED_AT, WIDE)
    index = rows.add(state, WIDE)
    assert rows.step_all(D(50), at_second(1)).fired == [(index, ExitReason.STOP_LOSS)]
    assert rows.step_all(D(49), at_second(2)).fired == []
    rows.replace(index, state, WIDE)
    assert rows.step_all(D(49), at_second(3)).fired == [(index, ExitReason.STOP_LOSS)]


def test_a_time_may_be_given_in_milliseconds():
    rows = GuardRows()
    index = rows.add(GuardState.opened(PositionSide.LONG, ENTRY, OPENED_AT, WIDE), WIDE)
    rows.step_all(101.0, OPENED_AT.timestamp() * 1000 + 5)
    assert (rows.state(index).as_of - OPENED_AT).total_seconds() == 0.005


@pytest.mark.parametrize("price", [D(0), D(-1), float("nan"), float("inf")])
def test_a_price_that_is_none_changes_no_guard(price):
    rows = GuardRows()
    index = rows.add(GuardState.opened(PositionSide.LONG, ENTRY, OPENED_AT, WIDE), WIDE)
    before = rows.state(index)
    with pytest.raises(ValueError, match="price"):
        rows.step_all(price, at_second(1))
    assert rows.state(index) == before


def test_a_removed_guard_is_gone():
    rows = GuardRows()
    index = rows.add(GuardState.opened(PositionSide.LONG, ENTRY, OPENED_AT, WIDE), WIDE)
    rows.remove(index)
    assert index not in rows
    for call in (rows.state, rows.remove, rows.is_active):
        with pytest.raises(KeyError):
            call(index)
    assert rows.step_all(D(1), at_second(1)) == ([], [])
