"""The public REST endpoints under ``/v5/market`` and the market's clock, on Bybit's v5 wire.

Times of requests and ``time`` of answers are the wall's; times of candles and trades are the market's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.market import Category, FilterViolation, Side
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.faults import loopback_only
from exchange.paper.feeds.bar_feed import UnknownSymbol
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.instruments import linear_row, spot_row
from exchange.paper.params import Params
from exchange.paper.quotes import INTERVALS, QuoteBoard, kline_row, kline_window, trade_row
from exchange.paper.wire import to_millis

if TYPE_CHECKING:
    from exchange.paper.venue import Venue

_EMPTY_CATEGORIES = ("inverse", "option")
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
    }
    return [
        *(Route(f"/v5/market/{name}", _endpoint(handler), methods=["GET"]) for name, handler in answers.items()),
        Route("/paper/clock", _clock_endpoint(venue), methods=["GET"]),
        Route("/paper/ticks", loopback_only(_push_endpoint(venue)), methods=["POST"]),
    ]


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


def _clock_endpoint(venue: Venue) -> Callable[[Request], Awaitable[Response]]:
    async def clock(request: Request) -> Response:
        venue.pump()
        # what is told as now has been processed: a candle that ended by then is whole in every later answer
        reading = venue.clock.read().model_copy(update={"now": venue.position})
        return _json({**reading.model_dump(mode="json"), "paused": venue.clock.paused})

    return clock


class TradeToPush(BaseModel):
    """One trade of ``POST /paper/ticks``; numbers may be strings."""

    model_config = ConfigDict(extra="forbid")

    category: Category
    symbol: str
    price: Decimal = Field(gt=0, max_digits=30)
    qty: Decimal | None = Field(None, gt=0, max_digits=30)
    side: Side | None = None


_TRADES = TypeAdapter(list[TradeToPush])


def _push_endpoint(venue: Venue) -> Callable[[Request], Awaitable[Response]]:
    """``POST /paper/ticks`` [{category, symbol, price, qty?, side?}, ...]: make trades happen on a manual market.

    Answers when they are published: ``at`` is their market time, ``published_ns`` the wall time at which the first of
    their messages was handed to the sockets. Bad input: 400 with ``error`` naming the field, and nothing happened.
    """

    async def push(request: Request) -> Response:
        feed = venue.feed
        if not isinstance(feed, ManualFeed):
            return _json({"error": "this market is not manual: its trades are its own"}, 409)
        try:
            asked = _TRADES.validate_json(await request.body())
            if not asked:
                return _json({"error": "body: at least one trade is needed"}, 400)
            trades = [PushedTrade(t.category, t.symbol, t.price, t.qty, t.side) for t in asked]
            ticks = feed.push(trades, venue.clock.now())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return _json({"error": f"{where}: {first['msg']}"}, 400)
        except FilterViolation as violation:
            return _json({"error": str(violation)}, 400)
        except UnknownSymbol as unknown:
            return _json({"error": f"symbol: {unknown.args[0]} is not traded"}, 400)
        published = venue.hub.published(ticks[-1].at)
        venue.pump()
        published_ns = await published
        rows = [{"category": t.category, "symbol": t.symbol, "sequence": t.sequence} for t in ticks]
        at = ticks[0].at
        return _json({"at": _iso(at), "at_ms": to_millis(at), "published_ns": published_ns, "ticks": rows})

    return push


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")
