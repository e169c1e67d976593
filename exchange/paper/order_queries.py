"""Signed endpoints that tell orders and executions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.market import Category
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.core.model import OrderFilter
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import tradable_instrument
from exchange.paper.params import Params, cursor_text
from exchange.paper.wire import execution_row, order_row, to_millis

WEEK = timedelta(days=7)
UNFILLED_KEPT = timedelta(days=1)
EXEC_TYPES = frozenset({"Trade", "Funding", "BustTrade", "AdlTrade", "Settle", "BlockTrade", "MovePosition"})


async def realtime(asked: Asked) -> Result:
    """Open orders; with ``openOnly`` 1, or of one order named, the last closed ones that are still in memory too."""
    p, venue = asked.params, asked.venue
    category = p.category()
    needs_scope(p, category)
    wants_one = bool(p.text("orderId") or p.text("orderLinkId"))
    open_only = p.integer("openOnly", 0)
    if open_only not in (0, 1):
        raise params_error(f"openOnly invalid: {open_only} is neither 0 nor 1")
    closed_too = wants_one or open_only == 1
    page = venue.history.orders(
        category,
        symbols=_symbols(asked, category),
        order_id=p.text("orderId"),
        link_id="" if p.text("orderId") else p.text("orderLinkId"),
        order_filter=p.choice("orderFilter", OrderFilter) or "",
        open_or_among=venue.closed.sequences(category) if closed_too else (),
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
        symbols=_symbols(asked, category),
        order_id=order_id,
        link_id="" if order_id else link_id,
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
    exec_type = p.text("execType")
    if exec_type and exec_type not in EXEC_TYPES:
        raise params_error(f"execType {exec_type!r} invalid: none of {', '.join(sorted(EXEC_TYPES))}")
    one = bool(order_id or link_id) and not p.has_window()
    page = venue.history.executions(
        category,
        symbols=_symbols(asked, category),
        order_id=order_id,
        link_id="" if order_id else link_id,
        exec_type=exec_type,
        window=None if one else p.window(to_millis(venue.position), WEEK, WEEK),
        before=p.before(),
        limit=p.limit(50, 100),
    )
    return _page(category, [execution_row(row) for row in page.rows], page.before)


ORDER_QUERIES: dict[tuple[str, str], Handler] = {
    ("GET", "order/realtime"): realtime,
    ("GET", "order/history"): history,
    ("GET", "execution/list"): executions,
}


def needs_scope(p: Params, category: Category) -> None:
    if category is Category.LINEAR and not (p.text("symbol") or p.text("settleCoin") or p.text("baseCoin")):
        raise params_error("symbol, settleCoin or baseCoin is required on linear")


def _symbols(asked: Asked, category: Category) -> tuple[str, ...] | None:
    """The symbols asked for by ``symbol``, else ``baseCoin``, else ``settleCoin`` (linear); None: all."""
    p, market = asked.params, asked.venue.market
    symbol, base, settle = p.text("symbol"), p.text("baseCoin"), p.text("settleCoin")
    if symbol:
        return (tradable_instrument(market, category, symbol).symbol,)
    if category is Category.SPOT or not (base or settle):
        return None
    known = [tradable_instrument(market, category, name) for name in market.symbols(category)]
    if base:
        return tuple(i.symbol for i in known if i.base_coin == base)
    return tuple(i.symbol for i in known if i.quote_coin == settle)


def _page(category: Category, rows: list[dict[str, Any]], before: int | None) -> Result:
    return {"category": category.value, "list": rows, "nextPageCursor": cursor_text(before)}
