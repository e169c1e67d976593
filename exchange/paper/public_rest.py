"""The public REST endpoints under ``/v5/market``, on Bybit's v5 wire.

Times of requests and ``time`` of answers are the wall's; times of candles and trades are the market's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.candle import from_ms
from domain.market import Category
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.instruments import linear_row, spot_row
from exchange.paper.params import Params, cursor_text
from exchange.paper.quotes import INTERVALS, QuoteBoard, kline_row, kline_window, trade_row
from exchange.paper.wire import number, to_millis

if TYPE_CHECKING:
    from exchange.paper.venue import Venue

_EMPTY_CATEGORIES = ("inverse", "option")
INTEREST_INTERVALS = {
    name: minutes * 60_000
    for name, minutes in {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1440}.items()
}
_MS_LIMIT = 253_402_300_799_999  # the end of year 9999

Answer = dict[str, Any]
Handler = Callable[[Params], Answer]


def public_routes(venue: Venue) -> list[Route]:
    """The routes of the market side of ``venue``."""
    market = _Market(venue)
    answers: dict[str, Handler] = {
        "time": market.time,
        "kline": market.kline,
        "instruments-info": market.instruments,
        "tickers": market.tickers,
        "orderbook": market.order_book,
        "recent-trade": market.recent_trades,
        "open-interest": market.open_interest,
    }
    return [Route(f"/v5/market/{name}", _endpoint(handler), methods=["GET"]) for name, handler in answers.items()]


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            code, message, result = 0, "OK", handler(Params(request.query_params))
        except Refusal as refusal:
            code, message, result = refusal.code, refusal.message, {}
        wall_ms = time.time_ns() // 1_000_000
        return _json({"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": wall_ms})

    return answer


class _Market:
    """Answers of the endpoints; "now" is the instant up to which the venue has processed the market."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._board: QuoteBoard = venue.hub.board

    def time(self, params: Params) -> Answer:
        wall_ns = time.time_ns()
        return {"timeSecond": str(wall_ns // 10**9), "timeNano": str(wall_ns)}

    def kline(self, params: Params) -> Answer:
        category, symbol = params.category(), self._symbol(params)
        code = params.required("interval")
        timeframe = INTERVALS.get(code)
        if timeframe is None:
            raise params_error(f"interval invalid: {code!r} is none of {', '.join(INTERVALS)}")
        start, end = _instant(params, "start"), _instant(params, "end")
        if start is not None and end is not None and start > end:
            raise params_error(f"start invalid: {start} is after end {end}")
        now = self._venue.position
        first, last = kline_window(timeframe, start, end, params.limit(200, 1000), now)
        bars = self._venue.feed.bars(category, symbol, timeframe, first, last, now)
        return {"category": category.value, "symbol": symbol, "list": [kline_row(bar) for bar in reversed(bars)]}

    def instruments(self, params: Params) -> Answer:
        told = params.text("category")
        if told in _EMPTY_CATEGORIES:
            return {"category": told, "list": [], "nextPageCursor": ""}
        category = params.category()
        symbol = self._symbol(params) if params.text("symbol") else None
        base, status = params.text("baseCoin"), params.text("status", "Trading")
        row = spot_row if category is Category.SPOT else linear_row
        found = [
            row(instrument)
            for instrument in self._board.instruments.values()
            if instrument.category is category
            and symbol in (None, instrument.symbol)
            and base in ("", instrument.base_coin)
            and status == ("Trading" if instrument.tradable else "Closed")
        ]
        page: Answer = {"category": category.value, "list": found}
        return page if category is Category.SPOT else {**page, "nextPageCursor": ""}

    def tickers(self, params: Params) -> Answer:
        told = params.text("category")
        if told in _EMPTY_CATEGORIES:
            return {"category": told, "list": []}
        category = params.category()
        symbol = self._symbol(params) if params.text("symbol") else None
        wanted = [name for kind, name in self._board.instruments if kind is category and symbol in (None, name)]
        now = self._venue.position
        return {"category": category.value, "list": [self._board.ticker(category, name, now) for name in wanted]}

    def order_book(self, params: Params) -> Answer:
        category, symbol = params.category(), self._symbol(params)
        now = self._venue.position
        depth = params.limit(*((1, 200) if category is Category.SPOT else (25, 500)))
        bids, asks = self._board.book(category, symbol, now, depth)
        sequence = to_millis(now)
        return {
            "s": symbol,
            "b": bids,
            "a": asks,
            "ts": time.time_ns() // 1_000_000,
            "u": sequence,
            "seq": sequence,
            "cts": sequence,
        }

    def recent_trades(self, params: Params) -> Answer:
        category, symbol = params.category(), self._symbol(params)
        limit = params.limit(*((60, 60) if category is Category.SPOT else (500, 1000)))
        ticks = self._venue.feed.recent_ticks(category, symbol, self._venue.position, limit)
        return {"category": category.value, "list": [trade_row(tick) for tick in reversed(ticks)]}

    def open_interest(self, params: Params) -> Answer:
        """Newest first, from ``endTime`` (the market's now without it) back to ``startTime``."""
        category = params.category()
        if category is not Category.LINEAR:
            raise params_error(f"category invalid: {category} has no open interest")
        symbol, code = self._symbol(params), params.required("intervalTime")
        interval_ms = INTEREST_INTERVALS.get(code)
        if interval_ms is None:
            raise params_error(f"intervalTime invalid: {code!r} is none of {', '.join(INTEREST_INTERVALS)}")
        start, end = _instant(params, "startTime"), _instant(params, "endTime")
        if start is not None and end is not None and start > end:
            raise params_error(f"startTime invalid: {start} is after endTime {end}")
        now, limit, before = self._venue.position, params.limit(50, 200), params.before()
        bounds = [bound for bound in (end, None if before is None else before - 1) if bound is not None]
        last = from_ms(min(bounds)) if bounds and min(bounds) < to_millis(now) else now
        stamps = self._venue.feed.open_interest(symbol, interval_ms, from_ms(start or 0), last, now, limit + 1)
        told = stamps[-limit:]
        rows = [{"openInterest": number(x.value), "timestamp": str(to_millis(x.at))} for x in reversed(told)]
        cursor = cursor_text(to_millis(told[0].at) if len(stamps) > limit else None)
        return {"symbol": symbol, "category": category.value, "list": rows, "nextPageCursor": cursor}

    def _symbol(self, params: Params) -> str:
        symbol = params.required("symbol")
        if (params.category(), symbol) not in self._board.instruments:
            raise params_error(f"symbol invalid: {symbol!r} is not traded in {params.category()}")
        return symbol


def _instant(params: Params, name: str) -> int | None:
    """An optional parameter in milliseconds since 1970."""
    if not params.text(name):
        return None
    value = params.integer(name, 0)
    if not 0 <= value <= _MS_LIMIT:
        raise params_error(f"{name} invalid: {value} is not a time in milliseconds")
    return value


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")
