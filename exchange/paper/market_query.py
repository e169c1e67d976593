"""What the public endpoints read from a request in the same way: symbol, times, and the page wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, unquote

from domain.candle import from_ms
from domain.market import Category
from exchange.paper.core.refusal import params_error
from exchange.paper.params import Params
from exchange.paper.quotes import QuoteBoard
from exchange.paper.wire import to_millis

T = TypeVar("T")
V = TypeVar("V")

_MS_LIMIT = 253_402_300_799_999  # the end of year 9999
_AFTER = "after:"


def category_of(params: Params) -> Category:
    """The category of an endpoint that takes the perpetuals without one."""
    return params.choice("category", Category, Category.LINEAR) or Category.LINEAR


def linear_only(params: Params, what: str, *, default: Category | None = None) -> None:
    """Refuse a category that has no such thing."""
    if (params.choice("category", Category, default) or params.category()) is not Category.LINEAR:
        raise params_error(f"category invalid: {params.text('category')} has no {what}")


def symbol_of(params: Params, board: QuoteBoard, category: Category) -> str:
    """The required symbol, which must be traded."""
    symbol = params.required("symbol")
    if (category, symbol) not in board.instruments:
        raise params_error(f"symbol invalid: {symbol!r} is not traded in {category}")
    return symbol


def symbols_of(params: Params, board: QuoteBoard, category: Category) -> list[str]:
    """The symbol asked for, or all of the category."""
    if params.text("symbol"):
        return [symbol_of(params, board, category)]
    return [symbol for kind, symbol in board.instruments if kind is category]


def one_of(params: Params, name: str, known: dict[str, V]) -> V:
    """What a required parameter stands for."""
    code = params.required(name)
    if code not in known:
        raise params_error(f"{name} invalid: {code!r} is none of {', '.join(known)}")
    return known[code]


def span(params: Params, first: str, last: str) -> tuple[int | None, int | None]:
    """Two optional times in milliseconds since 1970, in order."""
    start, end = _instant(params, first), _instant(params, last)
    if start is not None and end is not None and start > end:
        raise params_error(f"{first} invalid: {start} is after {last} {end}")
    return start, end


def stamped_window(params: Params, now: datetime) -> tuple[datetime, datetime]:
    """[first, last] stamps of a page of a series that is told newest first: up to now, ``endTime`` and the cursor."""
    start, end = span(params, "startTime", "endTime")
    before = params.before()
    bounds = [bound for bound in (end, None if before is None else before - 1) if bound is not None]
    last = from_ms(min(bounds)) if bounds and min(bounds) < to_millis(now) else now
    return from_ms(start or 0), last


def page_by_name(params: Params, rows: Sequence[T], name: Callable[[T], str], limit: int) -> tuple[list[T], str]:
    """A page of ``rows`` in the order of their names, and the cursor of the next one ("" at the end)."""
    cursor = unquote(params.text("cursor"))
    if cursor and not cursor.startswith(_AFTER):
        raise params_error(f"cursor invalid: {cursor!r}")
    after = cursor.removeprefix(_AFTER)
    found = sorted((row for row in rows if name(row) > after), key=name)
    page = found[:limit]
    return page, quote(f"{_AFTER}{name(page[-1])}", safe="") if len(found) > limit else ""


def _instant(params: Params, name: str) -> int | None:
    if not params.text(name):
        return None
    value = params.integer(name, 0)
    if not 0 <= value <= _MS_LIMIT:
        raise params_error(f"{name} invalid: {value} is not a time in milliseconds")
    return value
