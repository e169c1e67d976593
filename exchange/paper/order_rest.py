"""Signed endpoints that place, change and cancel orders, one by one or in batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from domain.market import Category
from exchange.paper.asked import Asked, BatchResult, Handler, Result
from exchange.paper.core.account import Applied
from exchange.paper.core.commands import CancelAll, Command
from exchange.paper.core.model import Order
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.order_params import (
    cancelled_kind,
    read_amend,
    read_cancel,
    read_place,
)
from exchange.paper.order_queries import ORDER_QUERIES, needs_scope
from exchange.paper.params import Params
from exchange.paper.wire import millis

MOST_ITEMS = {Category.SPOT: 10, Category.LINEAR: 20}

Read = Callable[[Params, Category], Callable[[datetime], Command]]


async def create(asked: Asked) -> Result:
    make = read_place(asked.params, asked.params.category(), asked.received_wall_ms)
    return _ids((await asked.venue.submit(make)).orders[0])


async def amend(asked: Asked) -> Result:
    return _ids((await asked.venue.submit(read_amend(asked.params, asked.params.category()))).orders[0])


async def cancel(asked: Asked) -> Result:
    return _ids((await asked.venue.submit(read_cancel(asked.params, asked.params.category()))).orders[0])


async def cancel_all(asked: Asked) -> Result:
    p = asked.params
    category = p.category()
    needs_scope(p, category)
    fields: dict[str, Any] = {
        "symbol": p.text("symbol") or None,
        "base_coin": p.text("baseCoin"),
        "settle_coin": p.text("settleCoin"),
        "order_filter": cancelled_kind(p, category),
        "stop_order_type": p.text("stopOrderType"),
    }
    applied = await asked.venue.submit(lambda at: CancelAll(at, category, **fields))
    return {"list": [_ids(order) for order in applied.orders], "success": "1"}


async def create_batch(asked: Asked) -> BatchResult:
    def read(p: Params, category: Category) -> Callable[[datetime], Command]:
        return read_place(p, category, asked.received_wall_ms)

    return await _batch(asked, read, tells_time=True)


async def amend_batch(asked: Asked) -> BatchResult:
    return await _batch(asked, read_amend)


async def cancel_batch(asked: Asked) -> BatchResult:
    return await _batch(asked, read_cancel)


ORDER_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("POST", "order/create"): create,
    ("POST", "order/amend"): amend,
    ("POST", "order/cancel"): cancel,
    ("POST", "order/cancel-all"): cancel_all,
    ("POST", "order/create-batch"): create_batch,
    ("POST", "order/amend-batch"): amend_batch,
    ("POST", "order/cancel-batch"): cancel_batch,
    **ORDER_QUERIES,
}


async def _batch(asked: Asked, read: Read, *, tells_time: bool = False) -> BatchResult:
    """Do each item by itself: what one of them is refused says nothing about the others."""
    category = asked.params.category()
    items = asked.params.items("request")
    if not 1 <= len(items) <= MOST_ITEMS[category]:
        raise params_error(f"request invalid: 1 to {MOST_ITEMS[category]} items are expected, not {len(items)}")
    outcomes = await asked.venue.submit_each([_reader(read, item, category) for item in items])
    rows: list[Result] = []
    for item, outcome in zip(items, outcomes, strict=True):
        row = {"category": category.value, "symbol": item.shown("symbol"), **_item_ids(item, outcome)}
        if tells_time:
            row["createAt"] = "" if isinstance(outcome, Refusal) else millis(outcome.orders[0].created_at)
        rows.append(row)
    return BatchResult(rows, [(o.code, o.message) if isinstance(o, Refusal) else (0, "OK") for o in outcomes])


def _reader(read: Read, item: Params, category: Category) -> Callable[[datetime], Command]:
    """What makes the item's command; refusals of its fields are told when its turn comes."""
    return lambda at: read(item, category)(at)


def _item_ids(item: Params, outcome: Applied | Refusal) -> dict[str, str]:
    if isinstance(outcome, Refusal):
        return {"orderId": item.shown("orderId"), "orderLinkId": item.shown("orderLinkId")}
    return _ids(outcome.orders[0])


def _ids(order: Order) -> dict[str, str]:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}
