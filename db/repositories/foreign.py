"""What others hold on the account: their open orders, their part of linear positions, and coins that aren't ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import (
    Dust,
    ExecutionApplication,
    ForeignOrder,
    ForeignPosition,
    InstrumentRow,
    Order,
    OrderExecution,
    Position,
    WalletBalance,
)
from domain.market import Category, PositionSide, Side
from domain.portfolio import DOLLARS
from domain.reconciling import Sale

_TOLD = ("status", "qty", "cum_exec_qty", "price", "trigger_price")


@dataclass(frozen=True, slots=True)
class ForeignCoin:
    """What of a coin's balance no position of ours explains. ``ours`` is what our open spot positions hold of it."""

    coin: str
    balance: Decimal
    ours: Decimal
    dust: Decimal


async def open_foreign_orders(session: AsyncSession) -> Sequence[ForeignOrder]:
    return (await session.scalars(select(ForeignOrder).where(ForeignOrder.gone_at.is_(None)))).all()


async def see_foreign_order(session: AsyncSession, values: Mapping[str, Any]) -> bool:
    """Write down that a foreign order is open; True when it was not known to be."""
    known = await session.get(ForeignOrder, (values["category"], values["order_id"]), with_for_update=True)
    if known is None:
        session.add(ForeignOrder(**values))
        return True
    was_gone = known.gone_at is not None
    for name in _TOLD:
        setattr(known, name, values[name])
    known.last_seen_at, known.gone_at = func.clock_timestamp(), None
    return was_gone


async def lose_foreign_order(session: AsyncSession, category: str, order_id: str) -> bool:
    """Write down that a foreign order is not open any more; False when that was known."""
    gone = await session.execute(
        update(ForeignOrder)
        .where(ForeignOrder.category == category, ForeignOrder.order_id == order_id, ForeignOrder.gone_at.is_(None))
        .values(gone_at=func.clock_timestamp())
        .returning(ForeignOrder.order_id)
    )
    return gone.scalar_one_or_none() is not None


async def open_foreign_positions(session: AsyncSession) -> Sequence[ForeignPosition]:
    return (await session.scalars(select(ForeignPosition).where(ForeignPosition.gone_at.is_(None)))).all()


async def see_foreign_position(
    session: AsyncSession, symbol: str, side: PositionSide, size: Decimal, avg_price: Decimal | None
) -> bool:
    """Write down what others hold of a linear symbol; True when they held nothing of it before, or the other side."""
    key = (Category.LINEAR.value, symbol)
    known = await session.get(ForeignPosition, key, with_for_update=True)
    new = known is None or known.gone_at is not None or known.side != side
    values = {"side": side.value, "size": size, "avg_price": avg_price, "gone_at": None}
    if new:
        values["first_seen_at"] = func.clock_timestamp()
    statement = insert(ForeignPosition).values(category=key[0], symbol=symbol, **values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["category", "symbol"], set_={**values, "last_seen_at": func.clock_timestamp()}
        )
    )
    return new


async def lose_foreign_position(session: AsyncSession, symbol: str) -> bool:
    """Write down that others hold nothing of a linear symbol any more; False when that was known."""
    gone = await session.execute(
        update(ForeignPosition)
        .where(
            ForeignPosition.category == Category.LINEAR,
            ForeignPosition.symbol == symbol,
            ForeignPosition.gone_at.is_(None),
        )
        .values(gone_at=func.clock_timestamp(), size=0)
        .returning(ForeignPosition.symbol)
    )
    return gone.scalar_one_or_none() is not None


async def foreign_sizes(session: AsyncSession) -> dict[str, Decimal]:
    """What others executed of each linear symbol and is not closed by now, signed: by every execution recorded.

    An execution that is booked counts with what of it went beyond our position, and so does what a position of ours
    left behind when it was closed (too little for an order). Our own executions that aren't booked yet are ours.
    """
    found = await executed_by_others(session)
    left = await session.execute(
        select(Position.symbol, func.sum(Dust.qty * case((Position.side == PositionSide.LONG, 1), else_=-1)))
        .join(Position, Position.position_id == Dust.position_id)
        .where(Position.category == Category.LINEAR)
        .group_by(Position.symbol)
    )
    for symbol, size in left:
        found[symbol] = found.get(symbol, Decimal(0)) + Decimal(size)
    return {symbol: size for symbol, size in found.items() if size}


async def executed_by_others(session: AsyncSession, until: datetime | None = None) -> dict[str, Decimal]:
    """The sizes that others' executions make of each linear symbol, signed; ``until`` (market): as of then."""
    signed = case((OrderExecution.side == Side.BUY, 1), else_=-1)
    query = (
        select(
            OrderExecution.symbol,
            func.sum(signed * func.coalesce(ExecutionApplication.unmatched_qty, OrderExecution.qty)),
        )
        .outerjoin(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .outerjoin(Order, Order.order_link_id == OrderExecution.order_link_id)
        .where(OrderExecution.category == Category.LINEAR)
        .where(or_(ExecutionApplication.unmatched_qty > 0, _nobodys()))
        .group_by(OrderExecution.symbol)
    )
    if until is not None:
        query = query.where(OrderExecution.executed_at <= until)
    return {symbol: Decimal(size) for symbol, size in await session.execute(query)}


async def foreign_sales(session: AsyncSession, coin: str, since: datetime) -> list[Sale]:
    """Spot sales of ``coin`` from ``since`` (market) on that no order of ours made and nobody is booked with."""
    rows = await session.scalars(
        select(OrderExecution)
        .join(
            InstrumentRow,
            (InstrumentRow.category == OrderExecution.category) & (InstrumentRow.symbol == OrderExecution.symbol),
        )
        .outerjoin(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .outerjoin(Order, Order.order_link_id == OrderExecution.order_link_id)
        .where(OrderExecution.category == Category.SPOT, OrderExecution.side == Side.SELL, _nobodys())
        .where(InstrumentRow.base_coin == coin, OrderExecution.executed_at >= since)
    )
    return [Sale(row.exec_id, row.qty, row.executed_at) for row in rows]


def _nobodys() -> Any:
    """Booked to no position, and of no order of ours. Needs both outer joins."""
    return ExecutionApplication.exec_id.is_(None) & Order.order_link_id.is_(None)


async def foreign_coins(session: AsyncSession, account: str) -> list[ForeignCoin]:
    """Balances beyond what our spot positions and their dust hold. Dollars are left out: whose one is, nobody can
    say."""
    lots = await _held_by_coin(session)
    dust_rows = await session.execute(select(Dust.coin, func.sum(Dust.qty)).group_by(Dust.coin))
    dust = {coin: Decimal(qty) for coin, qty in dust_rows}
    wallet = await session.scalars(select(WalletBalance).where(WalletBalance.account == account))
    found = [
        ForeignCoin(row.coin, row.wallet_balance, lots.get(row.coin, Decimal(0)), dust.get(row.coin, Decimal(0)))
        for row in wallet
        if row.coin not in DOLLARS
    ]
    return sorted((each for each in found if each.balance > each.ours + each.dust), key=lambda each: each.coin)


async def _held_by_coin(session: AsyncSession) -> dict[str, Decimal]:
    rows = await session.execute(
        select(InstrumentRow.base_coin, func.sum(Position.qty))
        .join(InstrumentRow, (InstrumentRow.category == Position.category) & (InstrumentRow.symbol == Position.symbol))
        .where(Position.category == Category.SPOT, Position.qty > 0)
        .group_by(InstrumentRow.base_coin)
    )
    return {coin: Decimal(qty) for coin, qty in rows}


async def list_foreign_orders(session: AsyncSession, gone_after: datetime, limit: int) -> Sequence[ForeignOrder]:
    """Those open now and those gone since ``gone_after`` (wall), open ones first, then the newest."""
    shown = or_(ForeignOrder.gone_at.is_(None), ForeignOrder.gone_at >= gone_after)
    order = (ForeignOrder.gone_at.is_(None).desc(), ForeignOrder.first_seen_at.desc(), ForeignOrder.order_id)
    return (await session.scalars(select(ForeignOrder).where(shown).order_by(*order).limit(limit))).all()


async def list_foreign_positions(session: AsyncSession, gone_after: datetime, limit: int) -> Sequence[ForeignPosition]:
    shown = or_(ForeignPosition.gone_at.is_(None), ForeignPosition.gone_at >= gone_after)
    order = (ForeignPosition.gone_at.is_(None).desc(), ForeignPosition.first_seen_at.desc(), ForeignPosition.symbol)
    return (await session.scalars(select(ForeignPosition).where(shown).order_by(*order).limit(limit))).all()


async def known_orders(session: AsyncSession, order_link_ids: Iterable[str]) -> set[str]:
    """Those of the ids that a row of ours has."""
    wanted = sorted(set(order_link_ids))
    return set(await session.scalars(select(Order.order_link_id).where(Order.order_link_id.in_(wanted))))
