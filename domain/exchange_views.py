"""Wire models about what the exchange is found to hold: orders in doubt, what others do, and each comparison.

All times are wall times.
"""

from __future__ import annotations

from typing import Any

from domain.market import Category, PositionSide
from domain.views import Answer, Instant, OrderView, Plain, Reason, Request


class EvidenceView(Answer):
    """One look for an order in doubt. ``source`` is query, executions, stream, resend or cancel."""

    at: Instant
    source: str
    found: bool
    detail: dict[str, Any]


class TransitionView(Answer):
    """One change of an order's state, and by what evidence. ``from_state`` None: it was written ahead."""

    at: Instant
    from_state: str | None
    to_state: str
    evidence: str


class OrderEvidenceView(Answer):
    """All that is known about how an order came to stand where it does, each list oldest first.

    ``looks`` are the newest ones if there were very many; ``next_step`` says what happens next while it is in doubt.
    """

    order: OrderView
    in_doubt: bool
    next_step: str | None
    transitions: list[TransitionView]
    looks: list[EvidenceView]


class DoubtView(Answer):
    """An order whose answer was lost, or was until lately. ``cause`` is how it came in doubt.

    ``age_seconds`` is how long it has been in doubt, or was. ``attempts`` counts how often it was sent under its one
    id. ``evidence`` are the newest looks, the last one first, of ``looks`` in all. ``resolved_to`` and
    ``resolved_by`` are the state that ended the doubt and the evidence for it.
    """

    order: OrderView
    since: Instant
    age_seconds: float
    cause: str
    attempts: int
    looks: int
    evidence: list[EvidenceView]
    next_step: str | None
    resolved_at: Instant | None
    resolved_to: str | None
    resolved_by: str | None


class UnknownOrdersView(Answer):
    """``in_doubt`` the oldest doubt first; ``resolved`` those that ended since ``resolved_since``, the latest first."""

    in_doubt: list[DoubtView]
    resolved: list[DoubtView]
    resolved_since: Instant


class ForeignOrderView(Answer):
    """An order at the exchange that is none of ours. ``gone_at`` None: it is open."""

    category: Category
    symbol: str
    order_id: str
    order_link_id: str
    side: str
    order_type: str
    stop_order_type: str
    status: str
    qty: Plain
    filled_qty: Plain
    price: Plain | None
    trigger_price: Plain | None
    reduce_only: bool
    first_seen_at: Instant
    last_seen_at: Instant
    gone_at: Instant | None


class ForeignPositionView(Answer):
    """What others hold of a linear symbol, in base coin. ``entry_price`` where nothing of ours is mixed into it."""

    category: Category
    symbol: str
    side: PositionSide
    size: Plain
    entry_price: Plain | None
    first_seen_at: Instant
    last_seen_at: Instant
    gone_at: Instant | None


class ForeignCoinView(Answer):
    """A coin of the wallet beyond what our spot positions (``ours``) and what they left behind (``dust``) explain."""

    coin: str
    balance: Plain
    ours: Plain
    dust: Plain
    foreign: Plain


class ForeignView(Answer):
    """What others hold on the account: open ones first, then those that went within ``gone_hours``."""

    orders: list[ForeignOrderView]
    positions: list[ForeignPositionView]
    coins: list[ForeignCoinView]
    gone_hours: int


class DriftView(Answer):
    """Something that nothing explains. ``amount`` is by how much, in the subject's own unit."""

    kind: str
    subject: str
    amount: Plain
    sentence: str


class ReconciliationView(Answer):
    """One comparison of rows, workflows and the exchange. ``drift`` is all that stood unexplained after it.

    ``stops_repaired`` counts stops whose position was told to repair them; ``halted``: it halted entries.
    """

    id: int
    started_at: Instant
    finished_at: Instant
    workflows_started: int
    executions_fetched: int
    orders_compared: int
    positions_compared: int
    balances_compared: int
    foreign_orders: int
    foreign_positions: int
    stops_repaired: int
    drift: list[DriftView]
    halted: bool
    detail: dict[str, Any]
    trace_id: str


class ReconcileNow(Request):
    """Compare the whole account now."""

    reason: Reason
