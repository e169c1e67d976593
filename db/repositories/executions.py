"""Executions: recorded once by exec id, attributed to a position, booked into its lots in the order they happened.

What others executed on the account is *foreign*: kept unbooked, unless it closed a position of ours. Then it is booked
to that position with as much as it took from it; the rest stays foreign (``unmatched_qty``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import (
    ExecutionApplication,
    InstrumentRow,
    LotMatchRow,
    LotRow,
    Order,
    OrderExecution,
    Position,
)
from db.repositories.audit import record_event
from db.repositories.balances import size_before
from domain.ids import parse_order_link_id
from domain.ledger import Applied, Fill, Lot, apply_fill, share
from domain.market import Category, PositionSide, Side
from domain.reconciling import OWN_STOP, share_of_ours
from observability.tracing import current_trace_id


async def record_executions(session: AsyncSession, executions: Sequence[dict[str, Any]]) -> set[str]:
    """Insert executions not yet known (by ``exec_id``). Returns the ids that are new."""
    new: set[str] = set()
    for chunk in in_chunks(executions):
        rows = [{**execution, "trace_id": current_trace_id()} for execution in chunk]
        statement = (
            insert(OrderExecution)
            .values(rows)
            .on_conflict_do_nothing(index_elements=["exec_id"])
            .returning(OrderExecution.exec_id)
        )
        new |= set((await session.execute(statement)).scalars())
    return new


async def attribute(session: AsyncSession, execution: OrderExecution) -> str | None:
    """The position an execution belongs to, or None when it is not ours.

    By its orderLinkId. On linear whatever else closes belongs to the one position of the symbol that was open then: the
    exchange's own stop, a liquidation, an order of somebody else's; unless others held enough on that side themselves.
    On spot nobody can tell from the execution alone (``book_foreign_sale``).
    """
    if parse_order_link_id(execution.order_link_id) is not None:
        return await session.scalar(select(Order.position_id).where(Order.order_link_id == execution.order_link_id))
    if execution.category != Category.LINEAR:
        return None
    side = PositionSide.LONG if execution.side == Side.SELL else PositionSide.SHORT
    position = await session.scalar(
        select(Position)
        .where(
            Position.category == execution.category,
            Position.symbol == execution.symbol,
            Position.side == side,
            Position.opened_at <= execution.executed_at,
            (Position.closed_at.is_(None)) | (Position.closed_at >= execution.executed_at),
        )
        .order_by(Position.opened_at.desc())
        .limit(1)
    )
    if position is None or await _taken_from(session, position, execution) == 0:
        return None
    return position.position_id


async def _taken_from(session: AsyncSession, position: Position, execution: OrderExecution) -> Decimal:
    """How much of a foreign closing execution on linear was taken from our position: others close their own first."""
    signed = case((OrderExecution.side == Side.BUY, 1), else_=-1)
    before = await session.scalar(
        select(func.sum(signed * func.coalesce(ExecutionApplication.unmatched_qty, OrderExecution.qty)))
        .outerjoin(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .outerjoin(Order, Order.order_link_id == OrderExecution.order_link_id)
        .where(
            OrderExecution.category == execution.category,
            OrderExecution.symbol == execution.symbol,
            or_(ExecutionApplication.exec_id.is_not(None), Order.order_link_id.is_(None)),
            tuple_(OrderExecution.executed_at, OrderExecution.exec_id)
            < tuple_(execution.executed_at, execution.exec_id),
        )
    )
    theirs = await size_before(session, position.market_epoch, position.symbol) + Decimal(before or 0)
    return share_of_ours(PositionSide(position.side), execution.qty, theirs)


async def executed_qty(session: AsyncSession, order_link_id: str) -> Decimal:
    """Quantity of the recorded executions of an order, base coin."""
    total = await session.scalar(
        select(func.coalesce(func.sum(OrderExecution.qty), 0)).where(OrderExecution.order_link_id == order_link_id)
    )
    return Decimal(total or 0)


async def apply_executions(session: AsyncSession, position_id: str) -> int:
    """Book every execution of the position not yet booked, in the order they happened. Returns how many were.

    The position's row is locked: two processes that learn of fills at once book them one after the other. An exit
    known before its entry waits: it is not booked until there was a lot to match. Updates the position's quantity,
    entry and realised P&L. Raises LookupError.
    """
    position = await session.get(Position, position_id, with_for_update=True, populate_existing=True)
    if position is None:
        raise LookupError(f"no position {position_id}")
    pending = await _pending(session, position)
    if not pending:
        return 0
    side = PositionSide(position.side)
    rows = await _lots(session, position_id)
    booked = 0
    for execution, instrument in pending:
        if execution.side != side.entry_side and not rows:
            continue
        await _apply(session, position, rows, execution, instrument, await _part(session, position, execution))
        booked += 1
    await session.flush()
    _summarise(position, rows.values())
    return booked


async def book_foreign_sale(session: AsyncSession, exec_id: str, position_id: str, qty: Decimal) -> bool:
    """Book ``qty`` of a spot sale that no order of ours made to the position whose coins it sold; what is beyond that
    stays foreign. False, and nothing done, when it is booked already or the position no longer holds as much."""
    position = await session.get(Position, position_id, with_for_update=True, populate_existing=True)
    execution = await session.get(OrderExecution, exec_id)
    if position is None or execution is None or position.qty < qty:
        return False
    if await session.get(ExecutionApplication, exec_id) is not None:
        return False
    instrument = await session.get(InstrumentRow, (execution.category, execution.symbol))
    if instrument is None:
        return False
    rows = await _lots(session, position_id)
    await _apply(session, position, rows, execution, instrument, qty)
    await session.flush()
    _summarise(position, rows.values())
    return True


async def _lots(session: AsyncSession, position_id: str) -> dict[str, LotRow]:
    return {row.exec_id: row for row in await session.scalars(select(LotRow).where(LotRow.position_id == position_id))}


async def _part(session: AsyncSession, position: Position, execution: OrderExecution) -> Decimal:
    """As much of an execution as concerns the position: all of our own, of others' what they took from it."""
    if _is_ours(execution):
        return execution.qty
    return await _taken_from(session, position, execution)


async def _apply(
    session: AsyncSession,
    position: Position,
    rows: dict[str, LotRow],
    execution: OrderExecution,
    instrument: InstrumentRow,
    qty: Decimal,
) -> None:
    """Book ``qty`` of an execution into the position's lots (``rows``, changed in place)."""
    fill = _fill(session, position, execution, instrument)
    if qty != fill.qty:
        fill = replace(fill, qty=qty, fee=share(fill.fee, qty, fill.qty))
    applied = apply_fill(_book(rows.values()), fill, PositionSide(position.side))
    if applied.new_lot is not None:
        rows[execution.exec_id] = _lot_row(applied.new_lot, position.position_id)
        session.add(rows[execution.exec_id])
    _carry_over(rows, applied.book)
    await session.flush()  # a match refers to its lot by foreign key
    _book_matches(session, position, applied, execution, execution.qty - qty)


def _is_ours(execution: OrderExecution) -> bool:
    return parse_order_link_id(execution.order_link_id) is not None


def _book_matches(
    session: AsyncSession, position: Position, applied: Applied, execution: OrderExecution, beyond: Decimal
) -> None:
    """The matches, and that the execution is booked; ``beyond`` is what of it never concerned the position."""
    for match in applied.matches:
        position.realised_pnl += match.net
        session.add(
            LotMatchRow(
                open_exec_id=match.open_exec_id,
                close_exec_id=match.close_exec_id,
                position_id=position.position_id,
                qty=match.qty,
                gross=match.gross,
                open_fee=match.open_fee,
                close_fee=match.close_fee,
                net=match.net,
                matched_at=match.closed_at,
            )
        )
    session.add(
        ExecutionApplication(
            exec_id=execution.exec_id, position_id=position.position_id, unmatched_qty=applied.unmatched + beyond
        )
    )
    if not _is_ours(execution):
        _tell_foreign_close(session, position, applied, execution)
    elif applied.unmatched > 0:
        record_event(
            session,
            "oversold",
            position.position_id,
            who="ledger",
            severity="page",
            market_at=execution.executed_at,
            detail={"exec_id": execution.exec_id, "unmatched_qty": str(applied.unmatched)},
        )


def _tell_foreign_close(session: AsyncSession, position: Position, applied: Applied, execution: OrderExecution) -> None:
    """Page when somebody else closed (a part of) a position of ours; its own stop at the exchange is no stranger."""
    if execution.stop_order_type == OWN_STOP:
        return
    closed = sum((match.qty for match in applied.matches), Decimal(0))
    detail = {
        "exec_id": execution.exec_id,
        "closed_qty": str(closed),
        "executed_qty": str(execution.qty),
        "kind": execution.stop_order_type or execution.exec_type,
        "order": execution.order_link_id or execution.exchange_order_id,
    }
    record_event(
        session,
        "foreign_close",
        position.position_id,
        who="ledger",
        severity="page",
        market_at=execution.executed_at,
        detail=detail,
    )


def _carry_over(rows: dict[str, LotRow], book: Sequence[Lot]) -> None:
    """What each lot still holds, from the book; a lot the book no longer has is used up."""
    left = {lot.exec_id: lot for lot in book}
    for exec_id, row in rows.items():
        lot = left.get(exec_id)
        row.qty_left = lot.qty_left if lot else Decimal(0)
        row.fee_left = lot.fee_left if lot else Decimal(0)


def _book(rows: Iterable[LotRow]) -> list[Lot]:
    """Open lots, oldest first."""
    open_rows = sorted((row for row in rows if row.qty_left > 0), key=lambda row: (row.opened_at, row.exec_id))
    return [
        Lot(
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
        for row in open_rows
    ]


def _lot_row(lot: Lot, position_id: str) -> LotRow:
    return LotRow(
        exec_id=lot.exec_id,
        position_id=position_id,
        category=lot.category,
        symbol=lot.symbol,
        side=lot.side,
        qty=lot.qty,
        qty_left=lot.qty_left,
        price=lot.price,
        fee=lot.fee,
        fee_left=lot.fee_left,
        opened_at=lot.opened_at,
    )


async def _pending(session: AsyncSession, position: Position) -> list[tuple[OrderExecution, InstrumentRow]]:
    """Executions of the position's orders, or attributed to it by its symbol, that no row books yet."""
    mine: Any = Order.position_id == position.position_id
    if position.opened_at is not None:
        mine |= (
            Order.order_link_id.is_(None)
            & (OrderExecution.category == Category.LINEAR)
            & (OrderExecution.side == PositionSide(position.side).exit_side)
            & (OrderExecution.executed_at >= position.opened_at)
        )
    rows = await session.execute(
        select(OrderExecution, InstrumentRow)
        .join(
            InstrumentRow,
            (InstrumentRow.category == OrderExecution.category) & (InstrumentRow.symbol == OrderExecution.symbol),
        )
        .outerjoin(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .outerjoin(Order, Order.order_link_id == OrderExecution.order_link_id)
        .where(
            ExecutionApplication.exec_id.is_(None),
            OrderExecution.category == position.category,
            OrderExecution.symbol == position.symbol,
            mine,
        )
        .order_by(OrderExecution.executed_at, OrderExecution.exec_id)
    )
    pending = []
    for execution, instrument in rows:
        if await attribute(session, execution) == position.position_id:
            pending.append((execution, instrument))
    return pending


def _fill(session: AsyncSession, position: Position, execution: OrderExecution, instrument: InstrumentRow) -> Fill:
    """The execution for the ledger. A fee in a third coin has no value in it: booked as 0, and somebody is told."""
    closing = execution.side != PositionSide(position.side).entry_side
    valued = (instrument.quote_coin,) if closing else (instrument.quote_coin, instrument.base_coin)
    fee, fee_coin = execution.fee, execution.fee_coin
    if fee != 0 and fee_coin not in valued:
        detail = {"exec_id": execution.exec_id, "fee": str(fee), "fee_coin": fee_coin}
        record_event(session, "fee_not_valued", position.position_id, who="ledger", severity="page", detail=detail)
        fee, fee_coin = Decimal(0), instrument.quote_coin
    return Fill(
        exec_id=execution.exec_id,
        category=Category(execution.category),
        symbol=execution.symbol,
        side=Side(execution.side),
        qty=execution.qty,
        price=execution.price,
        fee=fee,
        fee_coin=fee_coin,
        base_coin=instrument.base_coin,
        quote_coin=instrument.quote_coin,
        executed_at=execution.executed_at,
    )


def _summarise(position: Position, rows: Iterable[LotRow]) -> None:
    """The position's own figures, derived from its lots: what is left, what was entered and at which average."""
    lots = list(rows)
    position.qty = sum((row.qty_left for row in lots), Decimal(0))
    entered = sum((row.qty for row in lots), Decimal(0))
    if entered > 0:
        position.entry_qty = entered
        position.entry_price = sum((row.qty * row.price for row in lots), Decimal(0)) / entered
