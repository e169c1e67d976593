"""The life of an order: its states, the one table of legal transitions, and what to do when an answer was lost.

An order is left only by evidence. What we did (PREPARED, SENT, DENIED), what we don't know (UNKNOWN), what the exchange
says (NEW to DEACTIVATED) and what we proved (NOT_PLACED) are different states, and REJECTED (by the exchange) is not
DENIED (by us).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.ids import OrderRole


class OrderState(StrEnum):
    """Where an order stands."""

    PREPARED = "prepared"
    """Written ahead, not yet allowed out."""
    SENT = "sent"
    """Sent or about to be; the answer isn't known yet."""
    UNKNOWN = "unknown"
    """The answer was lost; evidence is being sought."""
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    UNTRIGGERED = "untriggered"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELLED = "cancelled"
    PARTIALLY_FILLED_CANCELLED = "partially_filled_cancelled"
    REJECTED = "rejected"
    """Refused by the exchange."""
    DENIED = "denied"
    """Refused by us before it was sent."""
    NOT_PLACED = "not_placed"
    """Proved absent at the exchange."""
    DEACTIVATED = "deactivated"
    """A conditional order cancelled before it triggered."""


class IllegalTransition(Exception):
    """``new`` may not follow ``current``: two sources contradict each other, a person should look."""

    def __init__(self, current: OrderState, new: OrderState) -> None:
        super().__init__(f"an order can't go from {current.value} to {new.value}")
        self.current = current
        self.new = new


_S = OrderState

EXCHANGE_STATES: frozenset[OrderState] = frozenset(
    {
        _S.NEW,
        _S.PARTIALLY_FILLED,
        _S.UNTRIGGERED,
        _S.TRIGGERED,
        _S.FILLED,
        _S.CANCELLED,
        _S.PARTIALLY_FILLED_CANCELLED,
        _S.REJECTED,
        _S.DEACTIVATED,
    }
)
"""States that only the exchange's own word (or executions) can bring about."""

FINAL_STATES: frozenset[OrderState] = frozenset(
    {
        _S.FILLED,
        _S.CANCELLED,
        _S.PARTIALLY_FILLED_CANCELLED,
        _S.REJECTED,
        _S.DENIED,
        _S.NOT_PLACED,
        _S.DEACTIVATED,
    }
)
"""States in which an order rests. Evidence may still move some of them (see TRANSITIONS)."""

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.PREPARED: frozenset({_S.SENT, _S.DENIED}),
    # The stream may tell the whole story before the answer of the request comes. NOT_PLACED: the exchange answered that
    # the request had no effect (rate limit, timestamp window) and it is not tried again.
    _S.SENT: EXCHANGE_STATES | {_S.UNKNOWN, _S.NOT_PLACED},
    # SENT: the same id goes out again.
    _S.UNKNOWN: EXCHANGE_STATES | {_S.SENT, _S.NOT_PLACED},
    # UNTRIGGERED is no successor of NEW: the acknowledgement of a conditional order means UNTRIGGERED (`acknowledged`).
    _S.NEW: frozenset(
        {_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.PARTIALLY_FILLED_CANCELLED, _S.REJECTED},
    ),
    _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.PARTIALLY_FILLED_CANCELLED}),
    _S.UNTRIGGERED: EXCHANGE_STATES - {_S.UNTRIGGERED},
    _S.TRIGGERED: frozenset(
        {_S.NEW, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.PARTIALLY_FILLED_CANCELLED, _S.REJECTED}
    ),
    _S.FILLED: frozenset(),
    # Real world: a fill was in flight when the cancel was reported.
    _S.CANCELLED: frozenset({_S.FILLED, _S.PARTIALLY_FILLED_CANCELLED}),
    _S.PARTIALLY_FILLED_CANCELLED: frozenset({_S.FILLED}),
    # Real world: the first attempt was filled, its answer lost, and the repeat refused for another reason than its id
    # ("no position to reduce", "insufficient balance") because the first had done the work.
    _S.REJECTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.PARTIALLY_FILLED_CANCELLED}),
    _S.DENIED: frozenset(),
    # Real world: evidence overrides a proof of absence.
    _S.NOT_PLACED: EXCHANGE_STATES,
    # Real world: triggered while being cancelled; and some queries tell a deactivated order as plainly cancelled.
    _S.DEACTIVATED: frozenset({_S.CANCELLED, _S.FILLED, _S.PARTIALLY_FILLED_CANCELLED}),
}
"""Every legal transition between two different states. Anything else raises IllegalTransition."""


def _reachable(start: OrderState) -> frozenset[OrderState]:
    """Exchange states that legal reports can lead to from ``start``."""
    found: set[OrderState] = set()
    frontier = [start]
    while frontier:
        for state in TRANSITIONS[frontier.pop()] & EXCHANGE_STATES:
            if state not in found:
                found.add(state)
                frontier.append(state)
    return frozenset(found)


_LEADS_TO: dict[OrderState, frozenset[OrderState]] = {state: _reachable(state) for state in EXCHANGE_STATES}


def is_final(state: OrderState) -> bool:
    """Whether nothing more is expected of the order."""
    return state in FINAL_STATES


def transition(current: OrderState, new: OrderState) -> OrderState:
    """``new``, if it may follow ``current`` (or is the same). Raises IllegalTransition otherwise."""
    if new is not current and new not in TRANSITIONS[current]:
        raise IllegalTransition(current, new)
    return new


def apply_report(current: OrderState, reported: OrderState) -> OrderState:
    """The state after the exchange reported ``reported``, where reports may come late, twice or out of order.

    - Legal by the table: the reported state.
    - A part fill of an order known as cancelled or deactivated: PARTIALLY_FILLED_CANCELLED, both being true.
    - Stale (legal reports lead from ``reported`` to ``current``, so it tells an earlier moment): ``current``.
    - Neither: IllegalTransition (a report on an order we never let out, two final states that exclude each other).

    Raises ValueError when ``reported`` isn't a state an exchange can report.
    """
    if reported not in EXCHANGE_STATES:
        raise ValueError(f"{reported.value} is not a state an exchange reports")
    if reported is _S.PARTIALLY_FILLED and current in (_S.CANCELLED, _S.DEACTIVATED):
        return _S.PARTIALLY_FILLED_CANCELLED
    if reported is current or reported in TRANSITIONS[current]:
        return reported
    if current in _LEADS_TO[reported]:
        return current
    raise IllegalTransition(current, reported)


def acknowledged(conditional: bool) -> OrderState:
    """State of an order the exchange has just accepted: accepted, not final."""
    return _S.UNTRIGGERED if conditional else _S.NEW


_FROM_EXCHANGE: dict[str, OrderState] = {
    "New": _S.NEW,
    "PartiallyFilled": _S.PARTIALLY_FILLED,
    "Filled": _S.FILLED,
    "Cancelled": _S.CANCELLED,
    "Rejected": _S.REJECTED,
    "PartiallyFilledCanceled": _S.PARTIALLY_FILLED_CANCELLED,
    "Untriggered": _S.UNTRIGGERED,
    "Triggered": _S.TRIGGERED,
    "Deactivated": _S.DEACTIVATED,
}


def from_exchange(status: str, cum_exec_qty: Decimal, qty: Decimal) -> OrderState:
    """Our state for Bybit's order ``status``, read together with how much was executed of how much was ordered.

    A derivative reports a cancelled order as ``Cancelled`` even if it has fills, so the executed quantity decides.
    Raises ValueError for a status Bybit does not document.
    """
    try:
        state = _FROM_EXCHANGE[status]
    except KeyError:
        raise ValueError(f"order status {status!r} is unknown; known are {', '.join(_FROM_EXCHANGE)}") from None
    if cum_exec_qty <= 0 or state is _S.FILLED:
        return state
    if qty > 0 and cum_exec_qty >= qty:
        return _S.FILLED
    return _S.PARTIALLY_FILLED_CANCELLED if is_final(state) else _S.PARTIALLY_FILLED


class UnknownAction(StrEnum):
    """What to do next about an order whose answer was lost."""

    RESEND_SAME_ID = "resend_same_id"
    LOOK_AGAIN = "look_again"
    NOT_PLACED = "not_placed"


NEGATIVE_ROUNDS_NEEDED = 2
ABSENCE_MARGIN = timedelta(seconds=5)


def absence_counts_from(sent_at: datetime, recv_window: timedelta) -> datetime:
    """Wall time from which a negative round counts: a request sent at ``sent_at`` can't be accepted after that."""
    return sent_at + recv_window + ABSENCE_MARGIN


def decide_unknown(
    role: OrderRole,
    now: datetime,
    sent_at: datetime,
    recv_window: timedelta,
    negative_rounds: int,
    ttl_expires_at: datetime | None,
) -> UnknownAction:
    """What to do about an UNKNOWN order of which no evidence was found yet. All times are wall time.

    ``sent_at`` is when the *last* attempt was sent. ``negative_rounds`` counts rounds (realtime, history and
    executions, all empty) that began at or after ``absence_counts_from(sent_at, recv_window)``; earlier ones prove
    nothing.
    ``ttl_expires_at`` is when the signal behind an entry goes stale; None means the entry is never sent again.

    Exits and stops go out again at once under the same id: the exchange refuses the second as a duplicate, so the worst
    case is a refusal. A *refusal* of such a repeat is evidence only if it names the duplicate id; any other refusal may
    itself be the consequence of the first attempt's success, so the order stays UNKNOWN and is looked for.
    """
    if role is not OrderRole.ENTRY:
        return UnknownAction.RESEND_SAME_ID
    if ttl_expires_at is not None and now < ttl_expires_at:
        return UnknownAction.RESEND_SAME_ID
    if now >= absence_counts_from(sent_at, recv_window) and negative_rounds >= NEGATIVE_ROUNDS_NEEDED:
        return UnknownAction.NOT_PLACED
    return UnknownAction.LOOK_AGAIN
