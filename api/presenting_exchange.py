"""Rows about the exchange as the API tells them: doubts and evidence, what others hold, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from api.presenting import order_view
from db.models import ForeignOrder, ForeignPosition, Order, OrderEvidence, OrderTransition, Reconciliation
from db.repositories.evidence import Doubt
from db.repositories.foreign import ForeignCoin
from domain.exchange_views import (
    DoubtView,
    DriftView,
    EvidenceView,
    ForeignCoinView,
    ForeignOrderView,
    ForeignPositionView,
    OrderEvidenceView,
    ReconciliationView,
    TransitionView,
)
from domain.ids import OrderRole
from domain.market import Category, PositionSide
from domain.order import NEGATIVE_ROUNDS_NEEDED, OrderState, absence_counts_from
from domain.views import age_seconds
from workflows.options import RECV_WINDOW


def doubt_view(doubt: Doubt, now: datetime) -> DoubtView:
    resolved = doubt.resolved
    until = resolved.at if resolved is not None else now
    return DoubtView(
        order=order_view(doubt.order),
        since=doubt.since.at,
        age_seconds=age_seconds(doubt.since.at, until) or 0.0,
        cause=doubt.since.evidence,
        attempts=doubt.attempts,
        looks=doubt.look_count,
        evidence=[evidence_view(row) for row in doubt.looks],
        next_step=next_step(doubt.order),
        resolved_at=resolved.at if resolved is not None else None,
        resolved_to=resolved.to_state if resolved is not None else None,
        resolved_by=resolved.evidence if resolved is not None else None,
    )


def order_evidence_view(
    order: Order, transitions: Sequence[OrderTransition], looks: Sequence[OrderEvidence]
) -> OrderEvidenceView:
    return OrderEvidenceView(
        order=order_view(order),
        in_doubt=order.state == OrderState.UNKNOWN,
        next_step=next_step(order),
        transitions=[transition_view(row) for row in transitions],
        looks=[evidence_view(row) for row in looks],
    )


def next_step(order: Order) -> str | None:
    """What is done about an order that is in doubt; None for any other."""
    if order.state != OrderState.UNKNOWN:
        return None
    if order.role != OrderRole.ENTRY:
        return "sent again under the same id until it is accepted, refused as a duplicate, or found"
    proved = absence_counts_from(order.sent_at or order.created_at, RECV_WINDOW)
    if datetime.now(UTC) < proved:
        return f"looked for every second; its absence counts from {proved:%H:%M:%S} UTC on"
    return f"looked for every second; given up after {NEGATIVE_ROUNDS_NEEDED} looks that find nothing"


def evidence_view(row: OrderEvidence) -> EvidenceView:
    return EvidenceView(at=row.at, source=row.source, found=row.found, detail=row.detail)


def transition_view(row: OrderTransition) -> TransitionView:
    return TransitionView(at=row.at, from_state=row.from_state, to_state=row.to_state, evidence=row.evidence)


def foreign_order_view(row: ForeignOrder) -> ForeignOrderView:
    return ForeignOrderView(
        category=Category(row.category),
        symbol=row.symbol,
        order_id=row.order_id,
        order_link_id=row.order_link_id,
        side=row.side,
        order_type=row.order_type,
        stop_order_type=row.stop_order_type,
        status=row.status,
        qty=row.qty,
        filled_qty=row.cum_exec_qty,
        price=row.price,
        trigger_price=row.trigger_price,
        reduce_only=row.reduce_only,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        gone_at=row.gone_at,
    )


def foreign_position_view(row: ForeignPosition) -> ForeignPositionView:
    return ForeignPositionView(
        category=Category(row.category),
        symbol=row.symbol,
        side=PositionSide(row.side),
        size=row.size,
        entry_price=row.avg_price,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        gone_at=row.gone_at,
    )


def foreign_coin_view(coin: ForeignCoin) -> ForeignCoinView:
    return ForeignCoinView(
        coin=coin.coin,
        balance=coin.balance,
        ours=coin.ours,
        dust=coin.dust,
        foreign=coin.balance - coin.ours - coin.dust,
    )


def reconciliation_view(row: Reconciliation) -> ReconciliationView:
    return ReconciliationView(
        id=row.id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        workflows_started=row.workflows_started,
        executions_fetched=row.executions_fetched,
        orders_compared=row.orders_compared,
        positions_compared=row.positions_compared,
        balances_compared=row.balances_compared,
        foreign_orders=row.foreign_orders,
        foreign_positions=row.foreign_positions,
        stops_repaired=row.stops_repaired,
        drift=[DriftView.model_validate(each) for each in row.drift],
        halted=row.halted,
        detail=row.detail,
        trace_id=row.trace_id,
    )
