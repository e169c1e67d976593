"""What others do on the account, taken note of: adopted as foreign, never touched, and said once when it comes or goes.

Sales of coins that positions of ours held are booked to the position they were taken from, where the quantities tell
which; where they don't, nothing is guessed: that is drift.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from activities.account_comparison import Look
from activities.workflow_news import PositionFact, WorkflowNews
from db.models import Position
from db.repositories.audit import record_event
from db.repositories.executions import book_foreign_sale
from db.repositories.foreign import (
    foreign_sales,
    lose_foreign_order,
    lose_foreign_position,
    open_foreign_orders,
    open_foreign_positions,
    see_foreign_order,
    see_foreign_position,
)
from db.repositories.market import find_instrument
from db.session import Database
from domain.market import Category, PositionSide
from domain.reconciling import ZERO, Drift, Holding, SizeDifference, whose_sales
from domain.sizing import exit_qty
from exchange.protocol import OrderReport
from observability.logs import get_logger

log = get_logger(__name__)

_WHO = "reconciliation"


async def news_of_foreign(session: AsyncSession, look: Look) -> bool:
    """Whether a look says anything about others that isn't written down yet."""
    known = {(row.category, row.order_id) for row in await open_foreign_orders(session)}
    told = {(category.value, order_id) for category, order_id in look.foreign}
    if known != told:
        return True
    held = {row.symbol: (row.side, row.size) for row in await open_foreign_positions(session)}
    for symbol, size in look.sizes.items():
        side = PositionSide.LONG if size.foreign > 0 else PositionSide.SHORT
        if held.get(symbol) != ((side.value, abs(size.foreign)) if size.foreign else None):
            return True
    return any(symbol not in look.sizes and symbol not in look.moving for symbol in held)


async def adopt_foreign(session: AsyncSession, first: Look, agreed: Look) -> list[str]:
    """Write down what others hold: orders that both looks saw, and gone what neither saw. What came and went."""
    said = []
    for order in agreed.foreign.values():
        if await see_foreign_order(session, _row(order)):
            said.append(f"{order.order_id} appeared")
            _say_order(session, "foreign_order_seen", order)
    for row in await open_foreign_orders(session):
        key = (Category(row.category), row.order_id)
        if key in first.foreign or key in agreed.foreign:
            continue
        if await lose_foreign_order(session, row.category, row.order_id):
            said.append(f"{row.order_id} gone")
            detail = {"symbol": row.symbol, "category": row.category, "side": row.side, "qty": str(row.qty)}
            record_event(session, "foreign_order_gone", row.order_id, who=_WHO, detail=detail)
    return said + await _adopt_positions(session, agreed)


async def _adopt_positions(session: AsyncSession, look: Look) -> list[str]:
    said = []
    for symbol, size in look.sizes.items():
        if size.foreign == 0:
            continue
        side = PositionSide.LONG if size.foreign > 0 else PositionSide.SHORT
        price = look.entry_prices.get(symbol) if size.ours == 0 else None
        if await see_foreign_position(session, symbol, side, abs(size.foreign), price):
            said.append(f"{symbol} held")
            _say_position(session, symbol, side, size)
    for row in await open_foreign_positions(session):
        size = look.sizes.get(row.symbol)
        if row.symbol in look.moving or (size is not None and size.foreign != 0):
            continue
        if await lose_foreign_position(session, row.symbol):
            said.append(f"{row.symbol} left")
            detail = {"side": row.side, "size": str(row.size)}
            record_event(session, "foreign_position_gone", row.symbol, who=_WHO, detail=detail)
    return said


def _say_order(session: AsyncSession, kind: str, order: OrderReport) -> None:
    detail = {
        "symbol": order.symbol,
        "category": order.category,
        "side": order.side,
        "qty": str(order.qty),
        "order_type": order.order_type,
        "trigger_price": None if order.trigger_price is None else str(order.trigger_price),
        "order_link_id": order.order_link_id,
    }
    record_event(session, kind, order.order_id, who=_WHO, severity="warning", detail=detail)


def _say_position(session: AsyncSession, symbol: str, side: PositionSide, size: SizeDifference) -> None:
    detail = {"side": side, "size": str(abs(size.foreign)), "ours": str(size.ours), "exchange": str(size.exchange)}
    record_event(session, "foreign_position_seen", symbol, who=_WHO, severity="warning", detail=detail)


def _row(order: OrderReport) -> dict[str, Any]:
    row = order.model_dump(
        include={
            "order_id",
            "symbol",
            "order_link_id",
            "order_type",
            "qty",
            "cum_exec_qty",
            "price",
            "trigger_price",
            "stop_order_type",
            "reduce_only",
        }
    )
    return {**row, "category": order.category.value, "side": order.side.value, "status": order.status.value}


class ForeignSales:
    """Spot positions that somebody else sold."""

    def __init__(self, database: Database, tell: WorkflowNews) -> None:
        self._database = database
        self._tell = tell

    async def book(self, look: Look) -> tuple[list[str], list[Drift]]:
        """Book the sales behind every coin that is short: (positions that lost something, what can't be explained)."""
        touched: list[str] = []
        drift = []
        for coin, missing in look.short.items():
            holders = [each for each in look.holdings if each.category is Category.SPOT and each.coin == coin]
            booked = await self._book(coin, missing, holders)
            if booked is None:
                drift.append(_short(coin, missing, holders))
            else:
                touched += booked
        for position_id in touched:
            await self._say(position_id)
        return touched, drift

    async def _book(self, coin: str, missing: Decimal, holders: list[Holding]) -> list[str] | None:
        opened = [each.opened_at for each in holders if each.opened_at is not None]
        if not opened:
            return None
        async with self._database.session() as session:
            sales = await foreign_sales(session, coin, min(opened))
            instrument = await find_instrument(session, Category.SPOT, holders[0].symbol)
            assert instrument is not None, "its position has one"
            meant = whose_sales(missing, sales, holders, instrument.qty_step)
            if meant is None:
                return None
            for sale in sorted(meant, key=lambda each: (each.position_id, each.exec_id)):
                if not await book_foreign_sale(session, sale.exec_id, sale.position_id, sale.qty):
                    log.info("a foreign sale was booked by somebody else", exec_id=sale.exec_id)
            return sorted({sale.position_id for sale in meant})

    async def _say(self, position_id: str) -> None:
        """Tell the position's workflow; what is too little to be sold counts as nothing left."""
        async with self._database.session() as session:
            row = await session.get(Position, position_id)
            assert row is not None, "it was booked a moment ago"
            instrument = await find_instrument(session, Category(row.category), row.symbol)
        assert instrument is not None
        left = row.qty if exit_qty(instrument, row.qty)[0] else ZERO
        await self._tell.position(position_id, PositionFact(qty_left=left))
        if left:
            await self._tell.check_stop(position_id)


def _short(coin: str, missing: Decimal, holders: list[Holding]) -> Drift:
    held = ", ".join(f"{each.position_id} ({each.qty:f})" for each in holders)
    return Drift("coin_short", coin, missing, f"{coin}: the wallet holds {missing:f} less than our positions {held}")
