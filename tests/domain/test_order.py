"""The order's transition table, late reports, and orders whose answer was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import OrderRole
from domain.order import (
    EXCHANGE_STATES,
    FINAL_STATES,
    TRANSITIONS,
    IllegalTransition,
    OrderState,
    UnknownAction,
    absence_counts_from,
    acknowledged,
    apply_report,
    decide_unknown,
    from_exchange,
    is_final,
    transition,
)

S = OrderState
SENT_AT = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = timedelta(seconds=5)

LIVES = [
    (S.NEW, S.FILLED),
    (S.NEW, S.PARTIALLY_FILLED, S.FILLED),
    (S.NEW, S.PARTIALLY_FILLED, S.PARTIALLY_FILLED_CANCELLED),
    (S.NEW, S.CANCELLED),
    (S.NEW, S.REJECTED),
    (S.UNTRIGGERED, S.TRIGGERED, S.NEW, S.FILLED),
    (S.UNTRIGGERED, S.TRIGGERED, S.REJECTED),
    (S.UNTRIGGERED, S.DEACTIVATED),
    (S.UNTRIGGERED, S.CANCELLED),
]
"""What exchanges really report of an order, in the order it happened."""


def test_the_table_is_closed_and_names_no_self_transition():
    assert set(TRANSITIONS) == set(OrderState)
    for state, successors in TRANSITIONS.items():
        assert successors <= set(OrderState)
        assert state not in successors


@given(st.sampled_from(OrderState), st.sampled_from(OrderState))
def test_a_transition_is_the_table_or_raises_and_staying_is_no_transition(current, new):
    if new is current or new in TRANSITIONS[current]:
        assert transition(current, new) is new
    else:
        with pytest.raises(IllegalTransition) as caught:
            transition(current, new)
        assert (caught.value.current, caught.value.new) == (current, new)


def test_nothing_we_do_leads_back_from_the_exchange_word():
    for state in EXCHANGE_STATES:
        assert TRANSITIONS[state] <= EXCHANGE_STATES


def test_every_exchange_state_comes_by_evidence_from_an_unknown_order():
    for before in (S.SENT, S.UNKNOWN, S.NOT_PLACED):
        assert TRANSITIONS[before] >= EXCHANGE_STATES


@pytest.mark.parametrize("final", [S.FILLED, S.DENIED])
def test_filled_and_denied_are_the_end(final):
    assert not TRANSITIONS[final]


def test_a_final_state_is_left_only_for_evidence_of_fills_or_existence():
    assert {state for state in OrderState if is_final(state)} == FINAL_STATES
    for state in FINAL_STATES - {S.NOT_PLACED}:
        assert TRANSITIONS[state] <= {S.PARTIALLY_FILLED, S.FILLED, S.PARTIALLY_FILLED_CANCELLED, S.CANCELLED}


@pytest.mark.parametrize("life", LIVES, ids=lambda life: ">".join(life))
@pytest.mark.parametrize("before", [S.SENT, S.UNKNOWN, S.NOT_PLACED])
def test_reports_in_any_order_with_repeats_end_where_the_order_ended(life, before):
    for reports in permutations(life):
        state = before
        for reported in (*reports, *reports, life[0]):
            state = apply_report(state, reported)
        assert state is life[-1]


def test_a_fill_in_flight_corrects_a_cancel():
    assert apply_report(S.CANCELLED, S.FILLED) is S.FILLED
    assert apply_report(S.CANCELLED, S.PARTIALLY_FILLED) is S.PARTIALLY_FILLED_CANCELLED
    assert apply_report(S.DEACTIVATED, S.PARTIALLY_FILLED) is S.PARTIALLY_FILLED_CANCELLED
    assert apply_report(S.PARTIALLY_FILLED_CANCELLED, S.FILLED) is S.FILLED


def test_a_fill_corrects_the_refusal_of_a_repeat():
    assert apply_report(S.REJECTED, S.FILLED) is S.FILLED
    assert apply_report(S.REJECTED, S.NEW) is S.REJECTED


@pytest.mark.parametrize("untold", [S.PREPARED, S.DENIED])
@pytest.mark.parametrize("reported", sorted(EXCHANGE_STATES))
def test_a_report_on_an_order_never_let_out_is_a_contradiction(untold, reported):
    with pytest.raises(IllegalTransition):
        apply_report(untold, reported)


@pytest.mark.parametrize(
    ("current", "reported"),
    [
        (S.REJECTED, S.CANCELLED),
        (S.CANCELLED, S.REJECTED),
        (S.PARTIALLY_FILLED, S.CANCELLED),
        (S.TRIGGERED, S.DEACTIVATED),
    ],
)
def test_reports_that_exclude_what_is_known_raise(current, reported):
    with pytest.raises(IllegalTransition):
        apply_report(current, reported)


@pytest.mark.parametrize("ours", sorted(set(OrderState) - EXCHANGE_STATES))
def test_our_own_states_are_no_reports(ours):
    with pytest.raises(ValueError, match="not a state an exchange reports"):
        apply_report(S.NEW, ours)


@given(st.sampled_from(sorted(EXCHANGE_STATES)), st.lists(st.sampled_from(sorted(EXCHANGE_STATES)), max_size=6))
def test_a_report_never_unlearns_a_fill(first, reports):
    rank = {S.PARTIALLY_FILLED: 1, S.PARTIALLY_FILLED_CANCELLED: 2, S.FILLED: 3}
    state = apply_report(S.SENT, first)
    for reported in reports:
        try:
            new = apply_report(state, reported)
        except IllegalTransition:
            continue
        assert rank.get(new, 0) >= rank.get(state, 0)
        state = new


@pytest.mark.parametrize(
    ("status", "executed", "state"),
    [
        ("New", "0", S.NEW),
        ("New", "1", S.PARTIALLY_FILLED),
        ("PartiallyFilled", "1", S.PARTIALLY_FILLED),
        ("PartiallyFilled", "3", S.FILLED),
        ("Filled", "3", S.FILLED),
        ("Cancelled", "0", S.CANCELLED),
        ("Cancelled", "1", S.PARTIALLY_FILLED_CANCELLED),
        ("Cancelled", "3", S.FILLED),
        ("PartiallyFilledCanceled", "1", S.PARTIALLY_FILLED_CANCELLED),
        ("Rejected", "0", S.REJECTED),
        ("Untriggered", "0", S.UNTRIGGERED),
        ("Triggered", "0", S.TRIGGERED),
        ("Triggered", "1", S.PARTIALLY_FILLED),
        ("Deactivated", "0", S.DEACTIVATED),
    ],
)
def test_a_reported_status_is_read_with_what_was_executed(status, executed, state):
    assert from_exchange(status, Decimal(executed), Decimal(3)) is state


def test_an_undocumented_status_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'Active' is unknown; known are New, "):
        from_exchange("Active", Decimal(0), Decimal(1))


def test_an_acknowledged_conditional_order_waits_for_its_trigger():
    assert acknowledged(conditional=True) is S.UNTRIGGERED
    assert acknowledged(conditional=False) is S.NEW


seconds = st.integers(-60, 3600).map(lambda n: SENT_AT + timedelta(seconds=n))


@given(st.sampled_from([OrderRole.EXIT, OrderRole.STOP]), seconds, st.integers(0, 9))
def test_exits_and_stops_go_out_again_at_once(role, now, rounds):
    assert decide_unknown(role, now, SENT_AT, WINDOW, rounds, None) is UnknownAction.RESEND_SAME_ID


@given(seconds, st.integers(0, 9), st.none() | seconds)
def test_an_entry_is_never_sent_after_its_time_to_live(now, rounds, ttl):
    action = decide_unknown(OrderRole.ENTRY, now, SENT_AT, WINDOW, rounds, ttl)
    assert (action is UnknownAction.RESEND_SAME_ID) == (ttl is not None and now < ttl)


@given(seconds, st.integers(0, 9), st.none() | seconds)
def test_an_entry_is_absent_only_after_two_negative_rounds_past_the_window(now, rounds, ttl):
    if decide_unknown(OrderRole.ENTRY, now, SENT_AT, WINDOW, rounds, ttl) is UnknownAction.NOT_PLACED:
        assert rounds >= 2
        assert now >= SENT_AT + timedelta(seconds=10)


def test_an_expired_entry_is_looked_for_until_absence_is_proved():
    ttl = SENT_AT
    proved = absence_counts_from(SENT_AT, WINDOW)
    early = proved - timedelta(microseconds=1)
    answers = {
        (now, rounds): decide_unknown(OrderRole.ENTRY, now, SENT_AT, WINDOW, rounds, ttl)
        for now, rounds in product((early, proved), (1, 2))
    }
    assert answers.pop((proved, 2)) is UnknownAction.NOT_PLACED
    assert set(answers.values()) == {UnknownAction.LOOK_AGAIN}
