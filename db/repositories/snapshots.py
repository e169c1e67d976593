"""Snapshots of the portfolio: written once, and what they are made from as the ledger stood at an hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import (
    CandleRow,
    ExecutionApplication,
    InstrumentRow,
    LotMatchRow,
    LotRow,
    MarketClockCursor,
    OrderExecution,
    PortfolioHourlySnapshot,
    Position,
)
from domain.ledger import Fill, Lot
from domain.market import Category, PositionSide, Side
from domain.portfolio import Closing, OwnedLot, SoldBeyond

_BOOKING = timedelta(seconds=2)
"""Wall time that a booking may take from its statement to its commit."""


@dataclass(frozen=True, slots=True)
class LedgerAt:
    """The books of one market at ``until``: lots with something open then, closings of their positions and of
    (after, until], the fills of (after, until], and what of those sold more than was held (spot). ``read_wall``: when
    they were read, by the database's clock."""

    read_wall: datetime
    lots: Sequence[OwnedLot]
    closings: Sequence[Closing]
    fills: Sequence[Fill]
    sold_beyond: Sequence[SoldBeyond]


async def find_snapshot(session: AsyncSession, epoch: str, hour: datetime) -> PortfolioHourlySnapshot | None:
    return await session.get(PortfolioHourlySnapshot, (epoch, hour))


async def snapshot_before(session: AsyncSession, epoch: str, hour: datetime) -> PortfolioHourlySnapshot | None:
    """The newest snapshot of the market before ``hour``."""
    return await session.scalar(
        select(PortfolioHourlySnapshot)
        .where(PortfolioHourlySnapshot.epoch == epoch, PortfolioHourlySnapshot.hour < hour)
        .order_by(PortfolioHourlySnapshot.hour.desc())
        .limit(1)
    )


async def write_snapshot(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Insert it unless its hour has one. Returns whether it is the one that counts."""
    statement = (
        insert(PortfolioHourlySnapshot)
        .values(values)
        .on_conflict_do_nothing(index_elements=["epoch", "hour"])
        .returning(PortfolioHourlySnapshot.hour)
    )
    return (await session.execute(statement)).first() is not None


async def raise_snapshot_cursor(session: AsyncSession, epoch: str, hour: datetime) -> None:
    """The hours up to ``hour`` are worked off. Only ever forward."""
    await session.execute(
        update(MarketClockCursor)
        .where(MarketClockCursor.epoch == epoch, MarketClockCursor.snapshot_until < hour)
        .values(snapshot_until=hour)
    )


async def ledger_at(session: AsyncSession, epoch: str, after: datetime, until: datetime) -> LedgerAt:
    """The books of ``epoch`` as they stood at ``until``, whatever was booked after it."""
    read_wall = await session.scalar(select(func.clock_timestamp()))
    assert read_wall is not None
    lots = await _open_lots(session, epoch, until)
    return LedgerAt(
        read_wall,
        lots,
        await _closings(session, epoch, {each.position_id for each in lots}, after, until),
        await fills_between(session, epoch, after, until),
        await _sold_beyond(session, epoch, after, until),
    )


async def booked_late(session: AsyncSession, epoch: str, until: datetime, read_wall: datetime) -> bool:
    """Whether something that was executed up to ``until`` was booked after (or while) the books were read."""
    query = (
        select(ExecutionApplication.exec_id)
        .join(OrderExecution, OrderExecution.exec_id == ExecutionApplication.exec_id)
        .join(Position, Position.position_id == ExecutionApplication.position_id)
        .where(
            Position.market_epoch == epoch,
            OrderExecution.executed_at <= until,
            ExecutionApplication.applied_at > read_wall - _BOOKING,
        )
        .limit(1)
    )
    return (await session.scalar(query)) is not None


async def _open_lots(session: AsyncSession, epoch: str, until: datetime) -> list[OwnedLot]:
    closed = (
        select(LotMatchRow.open_exec_id, func.sum(LotMatchRow.qty).label("qty"))
        .where(LotMatchRow.matched_at <= until)
        .group_by(LotMatchRow.open_exec_id)
        .subquery()
    )
    query = (
        select(LotRow, Position.closed_at, InstrumentRow.base_coin, InstrumentRow.qty_step)
        .join(Position, Position.position_id == LotRow.position_id)
        .join(InstrumentRow, (InstrumentRow.category == LotRow.category) & (InstrumentRow.symbol == LotRow.symbol))
        .outerjoin(closed, closed.c.open_exec_id == LotRow.exec_id)
        .where(
            Position.market_epoch == epoch,
            LotRow.opened_at <= until,
            LotRow.qty > func.coalesce(closed.c.qty, 0),
        )
        .order_by(LotRow.opened_at, LotRow.exec_id)
    )
    return [
        OwnedLot(row.position_id, _lot(row), coin, step, closed_at)
        for row, closed_at, coin, step in await session.execute(query)
    ]


def _lot(row: LotRow) -> Lot:
    return Lot(
        exec_id=row.exec_id,
        category=Category(row.category),
        symbol=row.symbol,
        side=PositionSide(row.side),
        qty=row.qty,
        qty_left=row.qty_left,
        price=row.price,
        fee=row.fee,
        fee_left=row.fee_left,
        opened_at=row.opened_at,
    )


async def _closings(
    session: AsyncSession, epoch: str, positions: Collection[str], after: datetime, until: datetime
) -> list[Closing]:
    query = (
        select(LotMatchRow)
        .join(Position, Position.position_id == LotMatchRow.position_id)
        .where(
            Position.market_epoch == epoch,
            LotMatchRow.matched_at <= until,
            or_(LotMatchRow.matched_at > after, LotMatchRow.position_id.in_(positions)),
        )
        .order_by(LotMatchRow.matched_at, LotMatchRow.close_exec_id, LotMatchRow.open_exec_id)
    )
    return [
        Closing(row.position_id, row.open_exec_id, row.close_exec_id, row.qty, row.gross, row.matched_at)
        for row in await session.scalars(query)
    ]


async def fills_between(session: AsyncSession, epoch: str, after: datetime, until: datetime) -> list[Fill]:
    """Booked executions of (after, until], oldest first; see ``_fee`` for a fee in a third coin."""
    query = (
        select(OrderExecution, InstrumentRow.base_coin, InstrumentRow.quote_coin)
        .join(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .join(Position, Position.position_id == ExecutionApplication.position_id)
        .join(
            InstrumentRow,
            (InstrumentRow.category == OrderExecution.category) & (InstrumentRow.symbol == OrderExecution.symbol),
        )
        .where(Position.market_epoch == epoch, OrderExecution.executed_at > after, OrderExecution.executed_at <= until)
        .order_by(OrderExecution.executed_at, OrderExecution.exec_id)
    )
    return [_fill(row, base, quote) for row, base, quote in await session.execute(query)]


async def _sold_beyond(session: AsyncSession, epoch: str, after: datetime, until: datetime) -> list[SoldBeyond]:
    query = (
        select(InstrumentRow.base_coin, ExecutionApplication.unmatched_qty, OrderExecution)
        .join(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .join(Position, Position.position_id == ExecutionApplication.position_id)
        .join(
            InstrumentRow,
            (InstrumentRow.category == OrderExecution.category) & (InstrumentRow.symbol == OrderExecution.symbol),
        )
        .where(
            Position.market_epoch == epoch,
            OrderExecution.category == Category.SPOT,
            ExecutionApplication.unmatched_qty > 0,
            OrderExecution.executed_at > after,
            OrderExecution.executed_at <= until,
        )
    )
    return [SoldBeyond(coin, qty, row.price, row.executed_at) for coin, qty, row in await session.execute(query)]


def _fill(row: OrderExecution, base: str, quote: str) -> Fill:
    fee, coin = _fee(row, base, quote)
    return Fill(
        exec_id=row.exec_id,
        category=Category(row.category),
        symbol=row.symbol,
        side=Side(row.side),
        qty=row.qty,
        price=row.price,
        fee=fee,
        fee_coin=coin,
        base_coin=base,
        quote_coin=quote,
        executed_at=row.executed_at,
    )


def _fee(row: OrderExecution, base: str, quote: str) -> tuple[Decimal, str]:
    """As the ledger books it: a fee in a third coin has no value there (and was paged when it was booked)."""
    return (row.fee, row.fee_coin) if row.fee_coin in (base, quote) else (Decimal(0), quote)


async def close_price(session: AsyncSession, category: Category, symbol: str, open_time: datetime) -> Decimal | None:
    """Close of the stored 15m candle that opened at ``open_time``."""
    close = await session.scalar(
        select(CandleRow.close).where(
            CandleRow.category == category,
            CandleRow.symbol == symbol,
            CandleRow.timeframe == "15m",
            CandleRow.open_time == open_time,
        )
    )
    return None if close is None else Decimal(repr(close))
