"""Rows as the API tells them: the wire models made from what the database holds, with prices and ages worked out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from db.models import (
    FundingPayment,
    GuardLease,
    LivePrice,
    LotMatchRow,
    LotRow,
    Order,
    OrderExecution,
    Position,
    PositionEvaluation,
    PositionTarget,
    SystemEvent,
)
from db.reading import PositionFacts, PositionHistory
from domain.exit_policy import ExitPolicy, profit_level, stop_price_for
from domain.ids import OrderRole
from domain.market import Category, PositionSide
from domain.portfolio import total
from domain.position import ACTIVE_STATES
from domain.views import (
    EvaluationView,
    EventView,
    ExecutionView,
    FundingView,
    LotView,
    MatchView,
    OrderView,
    PositionDetail,
    PositionView,
    PriceView,
    ProtectionView,
    RatchetView,
    TargetsView,
    WatchState,
    age_seconds,
)

GUARD_LIVE_SECONDS = 5.0
"""A guard seen within this wall time counts as watching: its heartbeat timeout."""

_PERCENT_STEP = Decimal("0.0001")


def price_view(row: LivePrice, now: datetime) -> PriceView:
    return PriceView(
        category=Category(row.category),
        symbol=row.symbol,
        last_price=row.price,
        bid=row.bid,
        ask=row.ask,
        at=row.market_at,
        age_seconds=age_seconds(row.received_at, now) or 0.0,
    )


def position_view(facts: PositionFacts, now: datetime) -> PositionView:
    return PositionView.model_validate(_position_fields(facts, now))


def position_detail(facts: PositionFacts, history: PositionHistory, now: datetime) -> PositionDetail:
    booked = facts.row.position_id
    lists = {
        "targets": [targets_view(row) for row in history.targets],
        "evaluations": [evaluation_view(row) for row in history.evaluations],
        "orders": [order_view(row) for row in history.orders],
        "executions": [execution_view(row, booked) for row in history.executions],
        "lots": [lot_view(row) for row in history.lots],
        "matches": [match_view(row) for row in history.matches],
        "funding_payments": [funding_view(row) for row in history.funding],
    }
    return PositionDetail.model_validate(_position_fields(facts, now) | lists)


def _position_fields(facts: PositionFacts, now: datetime) -> dict[str, Any]:
    row = facts.row
    active = row.state in ACTIVE_STATES
    policy = ExitPolicy.model_validate(facts.policy)
    return {
        "id": row.position_id,
        "strategy": row.strategy,
        "category": row.category,
        "symbol": row.symbol,
        "side": row.side,
        "state": row.state,
        "qty": row.qty,
        "planned_qty": row.planned_qty,
        "reference_price": row.reference_price,
        "entry_qty": row.entry_qty,
        "entry_price": row.entry_price,
        "exit_price": facts.exit_price,
        "price": price_view(facts.price, now) if active and facts.price is not None else None,
        **_valuation(row, facts.price if active else None),
        "realised_pnl": row.realised_pnl,
        "gross_pnl": facts.gross,
        "fees": facts.fees,
        "funding": facts.funding,
        "net_pnl": total([facts.gross, -facts.fees, facts.funding]),
        "targets_version": row.target_version,
        "acknowledged_version": row.acknowledged_version,
        "policy": policy,
        **_exit_levels(row, policy, facts.evaluation),
        "ratchet": _ratchet(facts.evaluation) if active else None,
        "protection": _protection(facts, now),
        "watch": _watch(facts, now),
        "price_age_seconds": _stream_age(facts, now),
        "exit_reason": row.exit_reason,
        "requested_by": row.requested_by,
        "reason": row.reason,
        "reserved_at": row.reserved_at,
        "opened_at": row.opened_at,
        "closed_at": row.closed_at,
        "age_seconds": age_seconds(row.opened_wall or row.created_wall, row.closed_wall or now),
        "trace_id": row.trace_id,
        "config_version": row.config_version,
        "settings_version": row.settings_version,
    }


def _valuation(row: Position, price: LivePrice | None) -> dict[str, Decimal | None]:
    if price is None or row.entry_price is None or row.qty <= 0:
        return {"value": None, "unrealised_pnl": None, "unrealised_percent": None}
    gained = PositionSide(row.side).sign * (price.price - row.entry_price)
    return {
        "value": row.qty * price.price,
        "unrealised_pnl": row.qty * gained,
        "unrealised_percent": (gained / row.entry_price * 100).quantize(_PERCENT_STEP),
    }


def _exit_levels(row: Position, policy: ExitPolicy, evaluation: PositionEvaluation | None) -> dict[str, Decimal | None]:
    """Prices at which the guard exits; before its first evaluation those that follow from the entry alone."""
    if row.entry_price is None or row.state not in ACTIVE_STATES:
        return {"take_profit_price": None, "stop_price": None}
    side = PositionSide(row.side)
    target = policy.take_profit_pct
    stop = price_of(evaluation.stop_price) if evaluation else stop_price_for(side, row.entry_price, policy)
    return {
        "take_profit_price": profit_level(side, row.entry_price, target) if target is not None else None,
        "stop_price": stop,
    }


def price_of(number: float) -> Decimal:
    """A price the exit kernel worked out in float64, without the digits that are only its rounding."""
    return Decimal(format(number, ".12g"))


def _best_price(evaluation: PositionEvaluation) -> Decimal | None:
    best = evaluation.state.get("best_price")
    return price_of(float(best)) if best is not None else None


def _armed(evaluation: PositionEvaluation) -> bool:
    return bool(evaluation.state.get("trailing_armed"))


def _ratchet(evaluation: PositionEvaluation | None) -> RatchetView | None:
    best = _best_price(evaluation) if evaluation is not None else None
    if evaluation is None or best is None:
        return None
    return RatchetView(
        best_price=best,
        stop_price=price_of(evaluation.stop_price),
        armed=_armed(evaluation),
        at=evaluation.market_at,
    )


def _protection(facts: PositionFacts, now: datetime) -> ProtectionView | None:
    row = facts.row
    if row.opened_wall is None:
        return None
    held = row.state in ("open", "exiting")
    seen = age_seconds(facts.lease.last_seen_at, now) if held and facts.lease is not None else None
    return ProtectionView(
        guard_live=held and _is_watching(facts.lease, row.guard_epoch, now),
        guard_age_seconds=seen,
        resting_stop=facts.resting_stop is not None,
        resting_stop_price=facts.resting_stop,
        unprotected_seconds=row.unprotected_seconds,
        unwatched_seconds=row.unwatched_seconds,
    )


def _watch(facts: PositionFacts, now: datetime) -> WatchState:
    """What the position's guard can see. A process that went silent has no guard, whatever it said of its streams."""
    row, told = facts.row, facts.prices
    if row.state not in ("open", "exiting"):
        return "none"
    if told is not None and (now - told.updated_at).total_seconds() < GUARD_LIVE_SECONDS:
        age = _stream_age(facts, now)
        if not told.connected or age is None or age > facts.stale_after_seconds:
            return "stale"
    return "watching" if _is_watching(facts.lease, row.guard_epoch, now) else "none"


def _stream_age(facts: PositionFacts, now: datetime) -> float | None:
    if facts.prices is None or facts.row.state not in ("open", "exiting"):
        return None
    return age_seconds(facts.prices.last_message_at, now)


def _is_watching(lease: GuardLease | None, epoch: int, now: datetime) -> bool:
    """Whether the lease in force had a beat lately. One that was only opened does not watch yet."""
    if lease is None or lease.guard_epoch != epoch or lease.last_seen_at <= lease.watching_from:
        return False
    return (now - lease.last_seen_at).total_seconds() < GUARD_LIVE_SECONDS


def targets_view(row: PositionTarget) -> TargetsView:
    return TargetsView(
        version=row.version,
        policy=ExitPolicy.model_validate(row.policy),
        reason=row.reason,
        set_by=row.set_by,
        wall_at=row.at,
    )


def evaluation_view(row: PositionEvaluation) -> EvaluationView:
    return EvaluationView(
        kind=row.kind,
        at=row.market_at,
        price=row.price,
        best_price=_best_price(row),
        stop_price=price_of(row.stop_price),
        armed=_armed(row),
        reason=row.reason,
        guard_epoch=row.guard_epoch,
        targets_version=row.target_version,
    )


def order_view(row: Order) -> OrderView:
    return OrderView(
        order_link_id=row.order_link_id,
        position_id=row.position_id,
        role=OrderRole(row.role).name.lower(),
        category=Category(row.category),
        symbol=row.symbol,
        side=row.side,
        state=row.state,
        qty=row.qty,
        filled_qty=row.cum_exec_qty,
        average_price=row.avg_price,
        trigger_price=row.trigger_price,
        stop_loss=row.stop_loss,
        exchange_order_id=row.exchange_order_id,
        exit_reason=row.exit_reason,
        config_version=row.config_version,
        settings_version=row.settings_version,
        error=row.error,
        created_at=row.created_at,
        sent_at=row.sent_at,
        final_at=row.final_at,
        trace_id=row.trace_id,
    )


def execution_view(row: OrderExecution, position_id: str | None) -> ExecutionView:
    return ExecutionView(
        exec_id=row.exec_id,
        order_link_id=row.order_link_id,
        position_id=position_id,
        category=Category(row.category),
        symbol=row.symbol,
        side=row.side,
        qty=row.qty,
        price=row.price,
        value=row.value,
        fee=row.fee,
        fee_coin=row.fee_coin,
        is_maker=row.is_maker,
        executed_at=row.executed_at,
    )


def lot_view(row: LotRow) -> LotView:
    return LotView(
        exec_id=row.exec_id,
        qty=row.qty,
        qty_left=row.qty_left,
        price=row.price,
        fee=row.fee,
        opened_at=row.opened_at,
    )


def match_view(row: LotMatchRow) -> MatchView:
    return MatchView(
        open_exec_id=row.open_exec_id,
        close_exec_id=row.close_exec_id,
        qty=row.qty,
        gross=row.gross,
        open_fee=row.open_fee,
        close_fee=row.close_fee,
        net=row.net,
        matched_at=row.matched_at,
    )


def funding_view(row: FundingPayment) -> FundingView:
    return FundingView(at=row.at, amount=row.attributed, paid=row.amount, size=row.size, rate=row.rate)


def event_view(row: SystemEvent) -> EventView:
    return EventView(
        id=row.id,
        wall_at=row.at,
        market_at=row.market_at,
        kind=row.kind,
        severity=row.severity,
        subject=row.subject,
        who=row.who,
        detail=row.detail,
        trace_id=row.trace_id,
    )
