"""Signed endpoints about orders and executions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.market import Category, Side
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.core.commands import CancelAll, CancelOrder, PlaceOrder
from exchange.paper.core.model import Order, OrderFilter
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import tradable_instrument
from exchange.paper.params import Params, cursor_text
from exchange.paper.wire import execution_row, order_row, to_millis

WEEK = timedelta(days=7)
UNFILLED_KEPT = timedelta(days=1)


async def create(asked: Asked) -> Result:
    p = asked.params
    _only_supported(p)
    side = p.choice("side", Side)
    if side is None:
        raise params_error("side is required: Buy or Sell")
    command = {
        "category": p.category(),
        "symbol": p.required("symbol"),
        "side": side,
        "order_type": p.required("orderType"),
        "qty": p.positive("qty"),
        "link_id": p.text("orderLinkId"),
        "market_unit": p.text("marketUnit"),
        "order_filter": p.choice("orderFilter", OrderFilter) or OrderFilter.ORDER,
        "trigger_price": p.decimal("triggerPrice") or None,
        "trigger_direction": p.integer("triggerDirection", 0),
        "reduce_only": p.flag("reduceOnly"),
        "close_on_trigger": p.flag("closeOnTrigger"),
        "stop_loss": p.decimal("stopLoss") or None,
        "received_wall_ms": asked.received_wall_ms,
    }
    applied = await asked.venue.submit(lambda at: PlaceOrder(at=at, **command))
    return _ids(applied.orders[0])


async def cancel(asked: Asked) -> Result:
    p = asked.params
    category = p.category()
    symbol, order_id, link_id = p.required("symbol"), p.text("orderId"), p.text("orderLinkId")
    kind = _filter(p, category)
    applied = await asked.venue.submit(
        lambda at: CancelOrder(at, category, symbol, order_id=order_id, link_id=link_id, order_filter=kind)
    )
    return _ids(applied.orders[0])


async def cancel_all(asked: Asked) -> Result:
    p = asked.params
    category = p.category()
    symbol = p.text("symbol") or None
    _needs_scope(p, category)
    kind = _filter(p, category)
    applied = await asked.venue.submit(lambda at: CancelAll(at, category, symbol, order_filter=kind))
    return {"list": [_ids(order) for order in applied.orders], "success": "1"}


async def realtime(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    _needs_scope(p, category)
    symbol = _known_symbol(asked, category)
    wants_one = bool(p.text("orderId") or p.text("orderLinkId"))
    closed_too = wants_one or p.integer("openOnly", 0) == 1
    kind = p.choice("orderFilter", OrderFilter)
    page = venue.history.orders(
        category,
        symbol=symbol,
        order_id=p.text("orderId"),
        link_id=p.text("orderLinkId"),
        order_filter=kind or "",
        is_open=None if wants_one else not closed_too,
        # closed orders are a cache here: a restart of the exchange forgets them
        closed_after_ms=to_millis(venue.started_at) if closed_too else None,
        before=p.before(),
        limit=p.limit(20, 50),
    )
    return _page(category, [order_row(order) for order in page.rows], page.before)


async def history(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    now_ms = to_millis(venue.position)
    order_id, link_id = p.text("orderId"), p.text("orderLinkId")
    window = None if (order_id or link_id) and not p.has_window() else p.window(now_ms, WEEK, WEEK)
    page = venue.history.orders(
        category,
        symbol=_known_symbol(asked, category),
        order_id=order_id,
        link_id=link_id,
        status=p.text("orderStatus"),
        order_filter=p.choice("orderFilter", OrderFilter) or "",
        is_open=False,
        window=window,
        unfilled_after_ms=now_ms - UNFILLED_KEPT // timedelta(milliseconds=1),
        before=p.before(),
        limit=p.limit(20, 50),
    )
    return _page(category, [order_row(order) for order in page.rows], page.before)


async def executions(asked: Asked) -> Result:
    p, venue = asked.params, asked.venue
    category = p.category()
    order_id, link_id = p.text("orderId"), p.text("orderLinkId")
    one = bool(order_id or link_id) and not p.has_window()
    page = venue.history.executions(
        category,
        symbol=_known_symbol(asked, category),
        order_id=order_id,
        link_id=link_id,
        window=None if one else p.window(to_millis(venue.position), WEEK, WEEK),
        before=p.before(),
        limit=p.limit(50, 100),
    )
    return _page(category, [execution_row(row) for row in page.rows], page.before)


ORDER_ENDPOINTS: dict[tuple[str, str], Handler] = {
    ("POST", "order/create"): create,
    ("POST", "order/cancel"): cancel,
    ("POST", "order/cancel-all"): cancel_all,
    ("GET", "order/realtime"): realtime,
    ("GET", "order/history"): history,
    ("GET", "execution/list"): executions,
}


def _only_supported(p: Params) -> None:
    """Refuse what would change the order's meaning and is not known here, rather than leave it out silently."""
    one_way_only(p)
    for name in ("takeProfit", "tpLimitPrice", "slLimitPrice", "bboSideType"):
        if p.decimal(name) if name != "bboSideType" else p.text(name):
            raise params_error(f"{name} is not supported by this exchange yet")
    for name in ("triggerBy", "slTriggerBy"):
        if p.text(name, "LastPrice") != "LastPrice":
            raise params_error(f"{name} {p.text(name)!r} is not supported by this exchange yet: LastPrice")
    if p.text("tpslMode", "Full") != "Full":
        raise params_error("tpslMode Partial is not supported by this exchange yet: Full")


def one_way_only(p: Params) -> None:
    if p.integer("positionIdx", 0) != 0:
        raise params_error("position idx not match position mode: one-way mode has positionIdx 0")


def _filter(p: Params, category: Category) -> OrderFilter | None:
    """Kinds a cancel looks at: all on linear; on spot the kind named, plain orders by default."""
    kind = p.choice("orderFilter", OrderFilter)
    return kind or OrderFilter.ORDER if category is Category.SPOT else kind


def _needs_scope(p: Params, category: Category) -> None:
    if category is Category.LINEAR and not (p.text("symbol") or p.text("settleCoin") or p.text("baseCoin")):
        raise params_error("symbol, settleCoin or baseCoin is required on linear")


def _known_symbol(asked: Asked, category: Category) -> str:
    symbol = asked.params.text("symbol")
    if symbol:
        tradable_instrument(asked.venue.market, category, symbol)
    return symbol


def _ids(order: Order) -> dict[str, str]:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}


def _page(category: Category, rows: list[dict[str, Any]], before: int | None) -> Result:
    return {"category": category.value, "list": rows, "nextPageCursor": cursor_text(before)}
