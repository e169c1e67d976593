"""Placing an order whose row says SENT, and what an order looks like to those who ask."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from activities.universe import refresh_instrument
from db.models import Order
from db.repositories import orders as order_rows
from db.repositories.audit import record_event
from db.repositories.executions import executed_qty
from db.repositories.positions import lock_position
from db.repositories.stops import confirm_stop
from db.session import Database
from domain.ids import OrderRole
from domain.market import Category, Side
from domain.order import OrderState, acknowledged, from_exchange
from exchange.protocol import (
    DuplicateOrder,
    Exchange,
    ExchangeError,
    InstrumentRefused,
    OrderReport,
    OrderRequest,
    Refused,
    RetryLater,
)
from observability.logs import get_logger

log = get_logger(__name__)

SIGN_WITHIN = timedelta(seconds=5)
"""From the row's SENT to the signature at most (wall): the proof of absence counts from ``sent_at``."""


class OrderIntent(BaseModel):
    """An order to be let out. ``qty`` in base coin; ``expires_at`` (wall) is when an entry is no longer wanted."""

    order_link_id: str
    position_id: str
    role: OrderRole
    category: Category
    symbol: str
    side: Side
    qty: Decimal
    trigger_price: Decimal | None = None
    trigger_rises: bool | None = None
    reduce_only: bool = False
    stop_loss: Decimal | None = None
    expires_at: AwareDatetime | None = None


class OrderView(BaseModel):
    """Where an order stands. ``complete``: every execution the exchange counts is recorded.

    ``retry_later``: the last attempt had no effect and may be made again. ``refused_again``: the last repeat of an
    order in doubt was refused for a reason other than its id, which proves nothing yet.
    """

    order_link_id: str
    state: OrderState
    qty: Decimal
    cum_exec_qty: Decimal = Decimal(0)
    avg_price: Decimal | None = None
    sent_at: AwareDatetime | None = None
    error_code: int | None = None
    error: str | None = None
    complete: bool = True
    retry_later: bool = False
    refused_again: bool = False


def view_of(order: Order, recorded: Decimal) -> OrderView:
    return OrderView(
        order_link_id=order.order_link_id,
        state=OrderState(order.state),
        qty=order.qty,
        cum_exec_qty=order.cum_exec_qty,
        avg_price=order.avg_price,
        sent_at=order.sent_at,
        error_code=order.error_code,
        error=order.error,
        complete=recorded >= order.cum_exec_qty,
    )


def request_of(order: Order) -> OrderRequest:
    """The exchange's request of an order row; the same row gives the same request each time.

    A row that is SENT may be signed only while its absence could not have been proved yet.
    """
    return OrderRequest(
        category=Category(order.category),
        symbol=order.symbol,
        side=Side(order.side),
        qty=order.qty,
        order_link_id=order.order_link_id,
        trigger_price=order.trigger_price,
        trigger_rises=order.trigger_rises,
        reduce_only=order.reduce_only,
        stop_loss=order.stop_loss,
        urgent=order.role != OrderRole.ENTRY,
        not_after=order.sent_at + SIGN_WITHIN if order.sent_at is not None else None,
    )


async def learn_report(session: AsyncSession, report: OrderReport, evidence: str) -> OrderView | None:
    """Apply the exchange's word on one of our orders. None if the order is not ours."""
    if await order_rows.find_order(session, report.order_link_id) is None:
        return None
    order = await _locked(session, report.order_link_id)
    order.exchange_order_id = report.order_id
    if report.cum_exec_qty >= order.cum_exec_qty:
        order.cum_exec_qty = report.cum_exec_qty
        order.avg_price = report.avg_price or order.avg_price
    if report.reject_reason and report.reject_reason != "EC_NoError":
        order.error = report.reject_reason
    if order_rows.learn(session, order, from_exchange(report.status, report.cum_exec_qty, report.qty), evidence):
        await _confirm_resting(session, order)
    await session.flush()
    await session.refresh(order)
    return view_of(order, await executed_qty(session, order.order_link_id))


async def _locked(session: AsyncSession, order_link_id: str) -> Order:
    """The order's row; of a stop, whose position says where it rests, the position's first, as all do."""
    known = await order_rows.find_order(session, order_link_id)
    if known is not None and known.role == OrderRole.STOP:
        await lock_position(session, known.position_id)
    return await order_rows.lock_order(session, order_link_id)


async def _confirm_resting(session: AsyncSession, order: Order) -> None:
    """A stop order of ours that has come to rest is where the position's stop is, by the exchange's word."""
    if order.role == OrderRole.STOP and order.state == OrderState.UNTRIGGERED:
        await confirm_stop(session, order.position_id, order.trigger_price)


class PlacedOrder:
    """Placing an order that is already SENT in its row, and writing down what came of it."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    async def place(self, request: OrderRequest) -> OrderView:
        """Send the order and record the outcome. Never raises for an outcome: the view says it."""
        error: ExchangeError | None = None
        try:
            ack = await self._exchange.place_order(request)
        except ExchangeError as caught:
            error, ack = caught, None
        async with self._database.session() as session:
            order = await _locked(session, request.order_link_id)
            flags = {}
            if ack is not None:
                order.exchange_order_id = ack.order_id
                state = acknowledged(request.trigger_price is not None)
                if order_rows.learn(session, order, state, "accepted by the exchange"):
                    await _confirm_resting(session, order)
            else:
                assert error is not None
                flags = self._record_error(session, order, error)
            await session.flush()
            await session.refresh(order)
            view = view_of(order, await executed_qty(session, order.order_link_id))
        if isinstance(error, InstrumentRefused):
            await refresh_instrument(self._database, self._exchange, request.category, request.symbol)
        return view.model_copy(update=flags)

    def _record_error(self, session: AsyncSession, order: Order, error: ExchangeError) -> dict[str, bool]:
        in_doubt = order.state == OrderState.UNKNOWN
        log.warning("order not acknowledged", kind=type(error).__name__, code=error.code, error=str(error))
        if order.state not in (OrderState.SENT, OrderState.UNKNOWN):
            return {}  # the stream has told more already
        if isinstance(error, RetryLater):
            return {"retry_later": True}
        order.error_code, order.error = error.code, str(error)
        if isinstance(error, DuplicateOrder) or not isinstance(error, Refused):
            order_rows.move(session, order, OrderState.UNKNOWN, f"{type(error).__name__}: {error}")
        elif in_doubt:
            return {"refused_again": True}
        else:
            order_rows.learn(session, order, OrderState.REJECTED, f"refused {error.code}: {error}")
            record_event(
                session,
                "order_rejected",
                order.order_link_id,
                who="exchange",
                severity="warning",
                detail={"code": error.code, "error": str(error)},
            )
        return {}
