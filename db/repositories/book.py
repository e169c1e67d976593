"""What is held and was done, read for the gates, and the lock that makes it stand still."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from db.models import ForeignPosition, FundingPayment, InstrumentRow, LotMatchRow, Position
from domain.gate_facts import Limits
from domain.holdings import Held, Holdings
from domain.market import Category
from domain.position import ACTIVE_STATES, PositionState

_RESERVATIONS = 7_305_813_442_019_001
"""Advisory lock key (any number nobody else uses): whoever takes a place or forbids it holds this lock."""
_NOT_BOUGHT_YET = (PositionState.RESERVED, PositionState.ENTERING)


async def lock_reservations(session: AsyncSession) -> None:
    """Be alone in taking places, to the end of the transaction. What is read after it is what everybody before left.

    A process that freezes inside loses the lock after a few seconds: halting must never wait for it.
    """
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '5s'"))
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _RESERVATIONS})


def holding() -> ColumnElement[bool]:
    """Positions that hold their place: active ones, and an entry that was given up and filled all the same."""
    late = (Position.state == PositionState.NOT_ENTERED) & (Position.qty > 0)
    return Position.state.in_(ACTIVE_STATES) | late


async def paid_positions(session: AsyncSession) -> frozenset[str]:
    """Positions whose whole price the wallet has paid: spot that was bought. Margin only stays bound."""
    rows = await session.scalars(
        select(Position.position_id).where(
            Position.category == Category.SPOT,
            holding(),
            Position.state.not_in(_NOT_BOUGHT_YET),
            Position.entry_price.is_not(None),
        )
    )
    return frozenset(rows.all())


async def read_holdings(session: AsyncSession, epoch: str, now: datetime) -> Holdings:
    """Holdings at ``now`` (market time of ``epoch``); today is since 00:00 UTC. Other markets' times don't count.

    What others hold counts as reconciliation last saw it, unless it is too little for an order.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    held = await session.scalars(select(Position).where(holding()))
    closed = await session.execute(
        select(Position.strategy, Position.category, Position.symbol, func.max(Position.closed_at))
        .where(Position.market_epoch == epoch, Position.closed_at.is_not(None))
        .group_by(Position.strategy, Position.category, Position.symbol)
    )
    entries = await session.execute(
        select(Position.strategy, func.count())
        .where(Position.market_epoch == epoch, Position.reserved_at >= today)
        .where(Position.state != PositionState.NOT_ENTERED)
        .group_by(Position.strategy)
    )
    return Holdings(
        held=tuple(_held(position) for position in held),
        foreign=await _held_by_others(session),
        last_closed={(strategy, category, symbol): at for strategy, category, symbol, at in closed if at is not None},
        entries_today=dict(iter(entries)),
        net_pnl_today=await _net_since(session, epoch, today),
    )


async def _held_by_others(session: AsyncSession) -> frozenset[str]:
    """Linear symbols; what a closed position of ours left behind, too little to be ordered, is nobody's place."""
    rows = await session.scalars(
        select(ForeignPosition.symbol)
        .outerjoin(
            InstrumentRow,
            (InstrumentRow.category == ForeignPosition.category) & (InstrumentRow.symbol == ForeignPosition.symbol),
        )
        .where(
            ForeignPosition.category == Category.LINEAR,
            ForeignPosition.gone_at.is_(None),
            ForeignPosition.size >= func.coalesce(InstrumentRow.min_order_qty, 0),
        )
    )
    return frozenset(rows.all())


async def _net_since(session: AsyncSession, epoch: str, midnight: datetime) -> Decimal:
    """What was closed after ``midnight`` brought, less the fees of its way in and out, and the funding settled since.

    What happens at midnight itself belongs to the day it ends, as in the portfolio's days.
    """
    closings = (
        select(LotMatchRow.net.label("amount"))
        .join(Position, Position.position_id == LotMatchRow.position_id)
        .where(Position.market_epoch == epoch, LotMatchRow.matched_at > midnight)
    )
    funding = select(FundingPayment.attributed).where(FundingPayment.epoch == epoch, FundingPayment.at > midnight)
    parts = closings.union_all(funding).subquery().c
    return Decimal(await session.scalar(select(func.coalesce(func.sum(parts.amount), 0))) or 0)


def _held(position: Position) -> Held:
    bought = position.state not in _NOT_BOUGHT_YET and position.entry_price is not None
    cost = position.qty * (position.entry_price or Decimal(0)) if bought else _planned_cost(position)
    return Held(
        position_id=position.position_id,
        strategy=position.strategy,
        category=Category(position.category),
        symbol=position.symbol,
        cost=cost,
    )


def _planned_cost(position: Position) -> Decimal:
    return position.planned_qty * position.reference_price


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """The system settings that gates compare with."""
    return Limits(
        trading_halted=bool(settings["trading_halted"]),
        max_open_positions=int(settings["max_open_positions"]),
        symbol_exposure_usd=Decimal(str(settings["symbol_exposure_usd"])),
        daily_loss_limit_usd=Decimal(str(settings["daily_loss_limit_usd"])),
        max_clock_offset_ms=float(settings["max_clock_offset_ms"]),
        stale_price_seconds=float(settings["stale_price_seconds"]),
    )
