"""Outside paper mode there are no books to read: the exchange's queries, about what the database knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Order, OrderExecution
from domain.market import Category
from domain.order import is_final
from exchange.protocol import Exchange
from workers.verify.orders import NEVER_THERE, is_lost, lost
from workers.verify.verdict import Finding, Kind

NOT_JUDGED = ("ledger_drift", "orders_doubled", "orders_orphaned", "stops_missed")
"""What only an exchange that shows its books and all its trades lets anybody judge."""

_ORDERS_SINCE = timedelta(hours=24)
_EXECUTIONS_SINCE = timedelta(days=7)
_MOST_ORDERS = 200


async def judge_by_queries(session: AsyncSession, exchange: Exchange) -> list[Finding]:
    """Orders of the last day that the exchange doesn't know, and its executions of the last week that we don't.

    Older orders without a fill are gone from the exchange's own history. Raises ExchangeError.
    """
    return [*await _orders(session, exchange), *await _executions(session, exchange)]


async def _orders(session: AsyncSession, exchange: Exchange) -> list[Finding]:
    now = datetime.now(UTC)
    asked = select(Order).where(Order.created_at >= now - _ORDERS_SINCE, Order.state.not_in(NEVER_THERE))
    orders = (await session.scalars(asked.order_by(Order.created_at.desc()).limit(_MOST_ORDERS))).all()
    findings = []
    for order in sorted(orders, key=lambda each: is_final(each.state)):  # type: ignore[arg-type]
        there = await exchange.find_order(Category(order.category), order.symbol, order.order_link_id)
        if there is None and is_lost(order, now):
            findings.append(lost(order))
    return findings


async def _executions(session: AsyncSession, exchange: Exchange) -> list[Finding]:
    since = (await exchange.market_clock()).now - _EXECUTIONS_SINCE
    known = set((await session.scalars(select(OrderExecution.exec_id))).all())
    findings = []
    for category in Category:
        for execution in await exchange.executions(category, since=since):
            if execution.exec_type != "Funding" and execution.exec_id not in known:
                sentence = f"execution {execution.exec_id} ({execution.symbol}) is at the exchange, not in the database"
                findings.append(Finding(Kind.EXECUTIONS_MISSING, execution.exec_id, sentence))
    return findings
