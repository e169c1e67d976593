"""Orders: none sent and not there, none there twice, none there that nobody here knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import ExecutionApplication, Order
from domain.ids import OrderRole, parse_order_link_id
from domain.order import OrderState
from workers.verify.verdict import Finding, Kind

NEVER_THERE = frozenset({OrderState.PREPARED, OrderState.DENIED, OrderState.NOT_PLACED, OrderState.REJECTED})
"""States of an order that the exchange need not have."""

IN_DOUBT = frozenset({OrderState.SENT, OrderState.UNKNOWN})
DOUBT_LASTS = timedelta(seconds=60)
"""For so long an order whose answer was lost is being looked for, and not lost."""


async def judge_orders(session: AsyncSession, books: Mapping[str, Any]) -> list[Finding]:
    """``session`` was read before ``books``: whatever was sent by then is in them, or was not accepted yet."""
    orders = (await session.scalars(select(Order))).all()
    booked = set((await session.scalars(select(ExecutionApplication.exec_id))).all())
    return [*_lost(orders, books), *_doubled(orders, books), *_orphaned(orders, booked, books)]


def is_lost(order: Order, now: datetime) -> bool:
    """Whether an order the exchange doesn't have should be there."""
    if order.state in NEVER_THERE:
        return False
    in_doubt = order.state in IN_DOUBT and (order.sent_at is None or now - order.sent_at < DOUBT_LASTS)
    return not in_doubt


def lost(order: Order) -> Finding:
    sentence = f"order {order.order_link_id} is {order.state} here, and the exchange doesn't have it"
    return Finding(Kind.ORDERS_LOST, order.order_link_id, sentence)


def _lost(orders: Sequence[Order], books: Mapping[str, Any]) -> Iterator[Finding]:
    there = {order["orderLinkId"] for order in books["orders"]}
    now = datetime.now(UTC)
    for order in orders:
        if order.order_link_id not in there and is_lost(order, now):
            yield lost(order)


def _doubled(orders: Sequence[Order], books: Mapping[str, Any]) -> Iterator[Finding]:
    named = Counter(order["orderLinkId"] for order in books["orders"] if order["orderLinkId"])
    for link_id, count in named.items():
        for extra in range(1, count):
            sentence = f"order {link_id} is at the exchange {count} times"
            yield Finding(Kind.ORDERS_DOUBLED, f"{link_id} {extra}", sentence)
    entered = Counter(o.position_id for o in orders if o.role == OrderRole.ENTRY and o.cum_exec_qty > 0)
    for position_id, count in entered.items():
        if count > 1:
            yield Finding(Kind.ORDERS_DOUBLED, position_id, f"position {position_id} was entered by {count} orders")
    for order in orders:
        identity = parse_order_link_id(order.order_link_id)
        if identity is None or identity.position_id != order.position_id:
            sentence = f"order {order.order_link_id} belongs to another position by its row: {order.position_id}"
            yield Finding(Kind.ORDERS_DOUBLED, order.order_link_id, sentence)


def _orphaned(orders: Sequence[Order], booked: set[str], books: Mapping[str, Any]) -> Iterator[Finding]:
    known = {order.order_link_id for order in orders}
    strangers = set()
    for order in books["orders"]:
        link_id = order["orderLinkId"]
        if parse_order_link_id(link_id) is not None and link_id not in known:
            strangers.add(link_id)
            sentence = f"order {link_id} ({order['symbol']}, {order['orderStatus']}) is at the exchange without a row"
            yield Finding(Kind.ORDERS_ORPHANED, link_id, sentence)
    for execution in books["executions"]:
        link_id, exec_id = execution["orderLinkId"], execution["execId"]
        if parse_order_link_id(link_id) is not None and exec_id not in booked and link_id not in strangers:
            sentence = f"execution {exec_id} of our order {link_id} is booked to no position"
            yield Finding(Kind.ORDERS_ORPHANED, exec_id, sentence)
