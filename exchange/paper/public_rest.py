"""The public REST endpoints under ``/v5/market``, on Bybit's v5 wire.

Times of requests and ``time`` of answers are the wall's; times of candles and trades are the market's. Nothing inverse
and no options are traded: every list of theirs is empty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.market import Category, Instrument
from exchange.paper.core.bands import price_band
from exchange.paper.core.refusal import Refusal
from exchange.paper.depth_stream import sequence_of
from exchange.paper.instruments import linear_row, risk_row, spot_row
from exchange.paper.market_query import category_of, linear_only, page_by_name, symbol_of, symbols_of
from exchange.paper.params import Params
from exchange.paper.quotes import QuoteBoard, trade_row
from exchange.paper.series_rest import MarketSeries
from exchange.paper.wire import number, to_millis

if TYPE_CHECKING:
    from exchange.paper.venue import Venue

_EMPTY_CATEGORIES = ("inverse", "option")
_RISK_PAGE = 15

Answer = dict[str, Any]
Handler = Callable[[Params], Answer]


def public_routes(venue: Venue) -> list[Route]:
    """The routes of the market side of ``venue``."""
    venue.hub.board.taken = lambda: venue.state.taken
    market, series = _Market(venue), MarketSeries(venue)
    single: dict[str, Handler] = {
        "time": market.time,
        "orderbook": market.order_book,
        "price-limit": market.price_limit,
    }
    lists: dict[str, Handler] = {
        "kline": series.kline,
        "mark-price-kline": series.mark_price_kline,
        "index-price-kline": series.index_price_kline,
        "premium-index-price-kline": series.premium_index_price_kline,
        "instruments-info": market.instruments,
        "tickers": market.tickers,
        "recent-trade": market.recent_trades,
        "funding/history": series.funding_history,
        "open-interest": series.open_interest,
        "account-ratio": series.account_ratio,
        "risk-limit": market.risk_limits,
        "delivery-price": market.delivery_prices,
    }
    answers = single | {name: _or_empty(handler) for name, handler in lists.items()}
    return [
        Route(f"/v5/market/{name}", _endpoint(venue, handler), methods=["GET"]) for name, handler in answers.items()
    ]


def _or_empty(handler: Handler) -> Handler:
    def answer(params: Params) -> Answer:
        category, symbol = params.text("category"), params.text("symbol")
        if category not in _EMPTY_CATEGORIES:
            return handler(params)
        return {"category": category, "symbol": symbol, "list": [], "nextPageCursor": ""}

    return answer


def _endpoint(venue: Venue, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            code, message, result = 0, "OK", handler(Params(request.query_params))
        except Refusal as refusal:
            code, message, result = refusal.code, refusal.message, {}
        now_ms = venue.wall.now_ms()
        told = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms}
        return Response(orjson.dumps(told), media_type="application/json")

    return answer


class _Market:
    """Answers of the endpoints; "now" is the instant up to which the venue has processed the market."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._board: QuoteBoard = venue.hub.board

    def time(self, params: Params) -> Answer:
        wall_ns = self._venue.wall.now_ns()
        return {"timeSecond": str(wall_ns // 10**9), "timeNano": str(wall_ns)}

    def instruments(self, params: Params) -> Answer:
        category = params.category()
        symbols = symbols_of(params, self._board, category)
        base, status = params.text("baseCoin"), params.text("status", "Trading")
        found = [
            instrument
            for instrument in (self._board.instruments[category, symbol] for symbol in symbols)
            if base in ("", instrument.base_coin) and status == ("Trading" if instrument.tradable else "Closed")
        ]
        if category is Category.SPOT:  # Bybit tells all of them at once
            return {"category": category.value, "list": [spot_row(instrument) for instrument in found]}
        page, cursor = page_by_name(params, found, _name, params.limit(500, 1000))
        rows = [linear_row(instrument) for instrument in page]
        return {"category": category.value, "list": rows, "nextPageCursor": cursor}

    def tickers(self, params: Params) -> Answer:
        category, now = params.category(), self._venue.position
        symbols = symbols_of(params, self._board, category)
        return {"category": category.value, "list": [self._board.ticker(category, name, now) for name in symbols]}

    def order_book(self, params: Params) -> Answer:
        category, now = params.category(), self._venue.position
        symbol = symbol_of(params, self._board, category)
        depth = params.limit(1 if category is Category.SPOT else 25, 1000)
        bids, asks = self._board.book(category, symbol, now, depth)
        return {
            "s": symbol,
            "b": bids,
            "a": asks,
            "ts": self._venue.wall.now_ms(),
            "u": self._venue.hub.book_update(category, symbol),
            "seq": sequence_of(now),
            "cts": to_millis(now),
        }

    def recent_trades(self, params: Params) -> Answer:
        category = params.category()
        symbol = symbol_of(params, self._board, category)
        limit = params.limit(*((60, 60) if category is Category.SPOT else (500, 1000)))
        ticks = self._venue.feed.recent_ticks(category, symbol, self._venue.position, limit)
        return {"category": category.value, "list": [trade_row(tick) for tick in reversed(ticks)]}

    def price_limit(self, params: Params) -> Answer:
        category, now = category_of(params), self._venue.position
        symbol = symbol_of(params, self._board, category)
        band = price_band(self._venue.market, category, symbol, now)
        limits = {"buyLmt": number(band.highest_buy), "sellLmt": number(band.lowest_sell)}
        return {"symbol": symbol, **limits, "ts": str(self._venue.wall.now_ms())}

    def risk_limits(self, params: Params) -> Answer:
        linear_only(params, "risk limit")
        symbols = symbols_of(params, self._board, Category.LINEAR)
        page, cursor = page_by_name(params, symbols, str, _RISK_PAGE)
        rows = [risk_row(symbol) for symbol in page]
        return {"category": Category.LINEAR.value, "list": rows, "nextPageCursor": cursor}

    def delivery_prices(self, params: Params) -> Answer:
        """Perpetuals are never delivered."""
        linear_only(params, "delivery")
        symbols_of(params, self._board, Category.LINEAR)
        return {"category": Category.LINEAR.value, "list": [], "nextPageCursor": ""}


def _name(instrument: Instrument) -> str:
    return instrument.symbol
