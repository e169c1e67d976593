"""What lists and pages read: positions with all that is known of them, orders, executions, events, account.

Queries only. Everything about a page of positions comes in a fixed number of statements, however long the page is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from db.cursors import decode_cursor
from db.models import (
    ExecutionApplication,
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
    StreamStatus,
    SystemEvent,
    WalletAccount,
    WalletBalance,
)
from db.repositories.funding_payments import funding_of, payments_of
from db.repositories.settings import current_settings
from domain.ids import OrderRole
from domain.market import Category
from domain.order import OrderState
from domain.position import ACTIVE_STATES, PositionState

_GROUPS = {"active": ACTIVE_STATES, "final": tuple(state for state in PositionState if state not in ACTIVE_STATES)}
_RESTING = (OrderState.UNTRIGGERED, OrderState.NEW, OrderState.TRIGGERED)


@dataclass(frozen=True, slots=True)
class PositionFacts:
    """A position's row and what stands beside it. ``gross`` of what was closed, ``fees`` and ``funding`` in quote coin;
    ``exit_price`` None until a close.

    ``policy`` is the newest targets', where the row keeps the first. ``prices`` is how the trades of its symbol come in
    where its guard is, ``stale_after_seconds`` (wall) when they are stale.
    """

    row: Position
    policy: dict[str, Any]
    price: LivePrice | None
    evaluation: PositionEvaluation | None
    lease: GuardLease | None
    resting_stop: Decimal | None
    prices: StreamStatus | None
    stale_after_seconds: float
    gross: Decimal
    fees: Decimal
    funding: Decimal
    exit_price: Decimal | None


@dataclass(frozen=True, slots=True)
class PositionHistory:
    """Everything that happened to one position, each oldest first."""

    targets: Sequence[PositionTarget]
    evaluations: Sequence[PositionEvaluation]
    orders: Sequence[Order]
    executions: Sequence[OrderExecution]
    lots: Sequence[LotRow]
    matches: Sequence[LotMatchRow]
    funding: Sequence[FundingPayment]


async def list_positions(
    session: AsyncSession, *, state: str | None, symbol: str | None, cursor: str | None, limit: int
) -> list[PositionFacts]:
    """Newest first. ``state`` is a state, ``active`` for each that holds its symbol or ``final`` for the others."""
    query = select(Position).order_by(Position.created_wall.desc(), Position.position_id.desc()).limit(limit)
    if state is not None:
        query = query.where(Position.state.in_(_GROUPS.get(state, (state,))))
    if symbol is not None:
        query = query.where(Position.symbol == symbol)
    if cursor is not None:
        query = query.where(tuple_(Position.created_wall, Position.position_id) < tuple_(*decode_cursor(cursor)))
    return await _with_facts(session, (await session.scalars(query)).all())


async def find_position(session: AsyncSession, position_id: str) -> PositionFacts | None:
    row = await session.get(Position, position_id)
    return (await _with_facts(session, [row]))[0] if row is not None else None


async def _with_facts(session: AsyncSession, rows: Sequence[Position]) -> list[PositionFacts]:
    if not rows:
        return []
    ids = [row.position_id for row in rows]
    prices = await _prices(session, {(row.category, row.symbol) for row in rows})
    evaluations = await _newest(session, PositionEvaluation, PositionEvaluation.id, ids)
    leases = await _newest(session, GuardLease, GuardLease.last_seen_at, ids)
    targets = await _newest(session, PositionTarget, PositionTarget.version, ids)
    policies = {position_id: target.policy for position_id, target in targets.items()}
    stops = await _resting_stops(session, rows)
    streams = await _price_streams(session, rows, leases)
    stale_after = float((await current_settings(session))["stale_price_seconds"])
    gross, fees, funding = await _gross(session, ids), await _fees(session, ids), await funding_of(session, ids)
    exits = await _exit_prices(session, ids)
    return [
        PositionFacts(
            row=row,
            policy=policies.get(row.position_id, row.policy),
            price=prices.get((row.category, row.symbol)),
            evaluation=evaluations.get(row.position_id),
            lease=leases.get(row.position_id),
            resting_stop=stops.get(row.position_id),
            prices=streams.get(row.position_id),
            stale_after_seconds=stale_after,
            gross=gross.get(row.position_id, Decimal(0)),
            fees=fees.get(row.position_id, Decimal(0)),
            funding=funding.get(row.position_id, Decimal(0)),
            exit_price=exits.get(row.position_id),
        )
        for row in rows
    ]


async def _prices(session: AsyncSession, keys: set[tuple[str, str]]) -> dict[tuple[str, str], LivePrice]:
    query = select(LivePrice).where(tuple_(LivePrice.category, LivePrice.symbol).in_(keys))
    return {(row.category, row.symbol): row for row in await session.scalars(query)}


async def _newest(session: AsyncSession, model: Any, order: Any, ids: Sequence[str]) -> dict[str, Any]:
    """The row of ``model`` with the highest ``order`` of each position."""
    query = (
        select(model)
        .where(model.position_id.in_(ids))
        .ext(distinct_on(model.position_id))
        .order_by(model.position_id, order.desc())
    )
    return {row.position_id: row for row in await session.scalars(query)}


async def _price_streams(
    session: AsyncSession, rows: Sequence[Position], leases: Mapping[str, GuardLease]
) -> dict[str, StreamStatus]:
    """Of each position the public trades of its symbol, as the process of its guard last told of them."""
    wanted = {
        row.position_id: (f"{row.category}:publicTrade.{row.symbol}", leases[row.position_id].worker)
        for row in rows
        if row.position_id in leases
    }
    query = select(StreamStatus).where(tuple_(StreamStatus.name, StreamStatus.process).in_(set(wanted.values())))
    told = {(row.name, row.process): row for row in await session.scalars(query)}
    return {position_id: told[key] for position_id, key in wanted.items() if key in told}


async def _resting_stops(session: AsyncSession, rows: Sequence[Position]) -> dict[str, Decimal]:
    """Trigger prices of stops at the exchange: stop orders still resting, and linear positions' own.

    A linear one is where it was last confirmed; of positions of older versions, where it came with the entry.
    """
    held = {row.position_id: row for row in rows if row.state in ("open", "exiting")}
    own = (Order.role == OrderRole.STOP.value) & Order.state.in_(_RESTING) & Order.trigger_price.is_not(None)
    attached = (Order.role == OrderRole.ENTRY.value) & Order.stop_loss.is_not(None) & (Order.cum_exec_qty > 0)
    query = (
        select(Order.position_id, func.coalesce(Order.trigger_price, Order.stop_loss))
        .where(Order.position_id.in_(held), or_(own, attached))
        .order_by(Order.created_at)
    )
    stops = {row[0]: row[1] for row in await session.execute(query)}
    moved = {row.position_id: row.disaster_stop for row in held.values() if row.category == Category.LINEAR}
    return {**stops, **{position_id: stop for position_id, stop in moved.items() if stop is not None}}


async def _gross(session: AsyncSession, ids: Sequence[str]) -> dict[str, Decimal]:
    """Profit of what was closed, before fees."""
    query = (
        select(LotMatchRow.position_id, func.sum(LotMatchRow.gross))
        .where(LotMatchRow.position_id.in_(ids))
        .group_by(LotMatchRow.position_id)
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def _fees(session: AsyncSession, ids: Sequence[str]) -> dict[str, Decimal]:
    """Fees in quote coin: what the lots were charged, and what closing them cost."""
    opening = select(LotRow.position_id, LotRow.fee.label("fee")).where(LotRow.position_id.in_(ids))
    closing = select(LotMatchRow.position_id, LotMatchRow.close_fee.label("fee")).where(
        LotMatchRow.position_id.in_(ids)
    )
    paid = opening.union_all(closing).subquery()
    query = select(paid.c.position_id, func.sum(paid.c.fee)).group_by(paid.c.position_id)
    return {row[0]: row[1] for row in await session.execute(query)}


async def _exit_prices(session: AsyncSession, ids: Sequence[str]) -> dict[str, Decimal]:
    """Average price of what was closed, by quantity."""
    value = func.sum(LotMatchRow.qty * OrderExecution.price)
    query = (
        select(LotMatchRow.position_id, value / func.nullif(func.sum(LotMatchRow.qty), 0))
        .join(OrderExecution, OrderExecution.exec_id == LotMatchRow.close_exec_id)
        .where(LotMatchRow.position_id.in_(ids))
        .group_by(LotMatchRow.position_id)
    )
    return {position_id: price for position_id, price in await session.execute(query) if price is not None}


async def position_history(session: AsyncSession, position_id: str) -> PositionHistory:
    """All that happened to a position (the newest 500 evaluations of it)."""
    newest = (
        select(PositionEvaluation)
        .where(PositionEvaluation.position_id == position_id)
        .order_by(PositionEvaluation.id.desc())
        .limit(500)
    )
    booked = (
        select(OrderExecution)
        .join(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .where(ExecutionApplication.position_id == position_id)
        .order_by(OrderExecution.executed_at, OrderExecution.exec_id)
    )

    async def of(model: Any, order: Any) -> Sequence[Any]:
        return (await session.scalars(select(model).where(model.position_id == position_id).order_by(order))).all()

    return PositionHistory(
        targets=await of(PositionTarget, PositionTarget.version),
        evaluations=list(reversed((await session.scalars(newest)).all())),
        orders=await of(Order, Order.created_at),
        executions=(await session.scalars(booked)).all(),
        lots=await of(LotRow, LotRow.opened_at),
        matches=await of(LotMatchRow, LotMatchRow.matched_at),
        funding=await payments_of(session, position_id),
    )


async def list_orders(
    session: AsyncSession,
    *,
    symbol: str | None,
    state: str | None,
    position: str | None,
    cursor: str | None,
    limit: int,
) -> Sequence[Order]:
    query = select(Order).order_by(Order.created_at.desc(), Order.order_link_id.desc()).limit(limit)
    if symbol is not None:
        query = query.where(Order.symbol == symbol)
    if state is not None:
        query = query.where(Order.state == state)
    if position is not None:
        query = query.where(Order.position_id == position)
    if cursor is not None:
        query = query.where(tuple_(Order.created_at, Order.order_link_id) < tuple_(*decode_cursor(cursor)))
    return (await session.scalars(query)).all()


async def list_executions(
    session: AsyncSession, *, symbol: str | None, position: str | None, cursor: str | None, limit: int
) -> list[tuple[OrderExecution, str | None]]:
    """Executions with the position each was booked to, newest first."""
    query = (
        select(OrderExecution, ExecutionApplication.position_id)
        .outerjoin(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .order_by(OrderExecution.executed_at.desc(), OrderExecution.exec_id.desc())
        .limit(limit)
    )
    if symbol is not None:
        query = query.where(OrderExecution.symbol == symbol)
    if position is not None:
        query = query.where(ExecutionApplication.position_id == position)
    if cursor is not None:
        after = tuple_(*decode_cursor(cursor))
        query = query.where(tuple_(OrderExecution.executed_at, OrderExecution.exec_id) < after)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def list_events(
    session: AsyncSession, *, kind: str | None, subject: str | None, before: int | None, limit: int
) -> Sequence[SystemEvent]:
    """Audit rows, newest first, those with an id under ``before``."""
    query = select(SystemEvent).order_by(SystemEvent.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(SystemEvent.kind == kind)
    if subject is not None:
        query = query.where(SystemEvent.subject == subject)
    if before is not None:
        query = query.where(SystemEvent.id < before)
    return (await session.scalars(query)).all()


async def events_after(session: AsyncSession, after: int, limit: int) -> Sequence[SystemEvent]:
    """Audit rows with an id over ``after``, oldest first."""
    query = select(SystemEvent).where(SystemEvent.id > after).order_by(SystemEvent.id).limit(limit)
    return (await session.scalars(query)).all()


async def newest_event_id(session: AsyncSession) -> int:
    return await session.scalar(select(func.coalesce(func.max(SystemEvent.id), 0))) or 0


async def wallet(session: AsyncSession, account: str) -> tuple[WalletAccount | None, Sequence[WalletBalance]]:
    """An account and its coins that hold anything, the most valuable first."""
    holds = or_(WalletBalance.wallet_balance != 0, WalletBalance.equity != 0)
    query = (
        select(WalletBalance)
        .where(WalletBalance.account == account, holds)
        .order_by(WalletBalance.usd_value.desc(), WalletBalance.coin)
    )
    return await session.get(WalletAccount, account), (await session.scalars(query)).all()


async def count_open_positions(session: AsyncSession, symbol: str | None = None) -> int:
    query = select(func.count()).select_from(Position).where(Position.state.in_(ACTIVE_STATES))
    if symbol is not None:
        query = query.where(Position.symbol == symbol)
    return await session.scalar(query) or 0


async def newest_price_at(session: AsyncSession) -> datetime | None:
    """Wall time at which the newest live price was received."""
    return await session.scalar(select(func.max(LivePrice.received_at)))


async def streams(session: AsyncSession) -> Sequence[StreamStatus]:
    """How every stream stands, disconnected ones first."""
    order = (case((StreamStatus.connected, 1), else_=0), StreamStatus.name, StreamStatus.process)
    return (await session.scalars(select(StreamStatus).order_by(*order))).all()
