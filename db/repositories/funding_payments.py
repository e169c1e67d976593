"""Funding payments: each settlement of the exchange's log once, with the position of ours that was open then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Date, Text, case, func, null, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import FundingPayment, LotMatchRow, LotRow, Position
from domain.funding_payments import Settlement, part_of
from domain.market import Category, PositionSide


async def record_funding(session: AsyncSession, epoch: str, settlements: Sequence[Settlement]) -> int:
    """Write down those not known yet (by ``log_id``). Returns how many were new.

    Every execution up to them must be booked: whose a payment is, is never looked at again.
    """
    new = 0
    for chunk in in_chunks(settlements):
        known = await _known(session, epoch, [each.log_id for each in chunk])
        rows = [await _row(session, epoch, each) for each in chunk if each.log_id not in known]
        if not rows:
            continue
        statement = (
            insert(FundingPayment)
            .values(rows)
            .on_conflict_do_nothing(index_elements=["log_id", "epoch"])
            .returning(FundingPayment.log_id)
        )
        new += len((await session.execute(statement)).all())
    return new


async def _known(session: AsyncSession, epoch: str, log_ids: Collection[str]) -> set[str]:
    query = select(FundingPayment.log_id).where(FundingPayment.epoch == epoch, FundingPayment.log_id.in_(log_ids))
    return set(await session.scalars(query))


async def _row(session: AsyncSession, epoch: str, settlement: Settlement) -> dict[str, Any]:
    position_id, held = await _holder(session, epoch, settlement.symbol, settlement.at)
    return {
        "log_id": settlement.log_id,
        "epoch": epoch,
        "symbol": settlement.symbol,
        "position_id": position_id,
        "coin": settlement.coin,
        "amount": settlement.amount,
        "attributed": part_of(settlement, held),
        "size": settlement.size,
        "rate": settlement.rate,
        "at": settlement.at,
    }


async def _holder(session: AsyncSession, epoch: str, symbol: str, at: datetime) -> tuple[str | None, Decimal]:
    """The position that held the linear symbol at ``at`` and how much, signed, by its lots; (None, 0) when none did."""
    closed = (
        select(LotMatchRow.open_exec_id, func.sum(LotMatchRow.qty).label("qty"))
        .where(LotMatchRow.matched_at < at)
        .group_by(LotMatchRow.open_exec_id)
        .subquery()
    )
    sign = case((LotRow.side == PositionSide.LONG.value, 1), else_=-1)
    held = func.sum(sign * (LotRow.qty - func.coalesce(closed.c.qty, 0)))
    over = Position.closed_at.is_not(None) & (Position.closed_at < at)
    query = (
        select(LotRow.position_id, held)
        .join(Position, Position.position_id == LotRow.position_id)
        .outerjoin(closed, closed.c.open_exec_id == LotRow.exec_id)
        .where(
            Position.market_epoch == epoch,
            LotRow.category == Category.LINEAR,
            LotRow.symbol == symbol,
            LotRow.opened_at <= at,
            ~over,
        )
        .group_by(LotRow.position_id)
        .having(held != 0)
        .order_by(func.max(LotRow.opened_at).desc())
        .limit(1)
    )
    found = (await session.execute(query)).first()
    return (None, Decimal(0)) if found is None else (found[0], Decimal(found[1]))


async def funding_of(session: AsyncSession, position_ids: Sequence[str]) -> dict[str, Decimal]:
    """What funding brought each position; those without any are left out."""
    query = (
        select(FundingPayment.position_id, func.sum(FundingPayment.attributed))
        .where(FundingPayment.position_id.in_(position_ids))
        .group_by(FundingPayment.position_id)
    )
    return {position_id: amount for position_id, amount in await session.execute(query) if position_id is not None}


async def payments_of(session: AsyncSession, position_id: str) -> Sequence[FundingPayment]:
    """The position's payments, oldest first."""
    query = select(FundingPayment).where(FundingPayment.position_id == position_id)
    return (await session.scalars(query.order_by(FundingPayment.at, FundingPayment.log_id))).all()


@dataclass(frozen=True, slots=True)
class FundingResult:
    """Funding of one UTC day on a symbol, dollars; ``strategy`` None: what no position of ours had a part in."""

    day: date
    strategy: str | None
    symbol: str
    amount: Decimal


async def funding_between(
    session: AsyncSession, epoch: str | None, after: datetime | None, until: datetime
) -> list[FundingResult]:
    """Funding of (after, until] by UTC day, strategy and symbol; ``after`` None: since the beginning.

    Of each payment the position's part is its strategy's, the rest is nobody's: together they are what the account got.
    """
    day = func.timezone("UTC", FundingPayment.at - timedelta(microseconds=1)).cast(Date).label("day")
    inside = [FundingPayment.epoch == epoch, FundingPayment.at <= until]
    if after is not None:
        inside.append(FundingPayment.at > after)
    attributed = (
        select(day, Position.strategy, FundingPayment.symbol, FundingPayment.attributed.label("amount"))
        .join(Position, Position.position_id == FundingPayment.position_id)
        .where(*inside)
    )
    rest = FundingPayment.amount - FundingPayment.attributed
    nobodys = select(day, null().cast(Text), FundingPayment.symbol, rest).where(*inside, rest != 0)
    parts = attributed.union_all(nobodys).subquery().c
    key = (parts.day, parts.strategy, parts.symbol)
    query = select(*key, func.sum(parts.amount)).group_by(*key).order_by(*key)
    return [FundingResult(*row) for row in await session.execute(query)]
