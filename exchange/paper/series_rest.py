"""Endpoints under ``/v5/market`` that tell a series: candles of every kind, funding, open interest, account ratios."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from domain.market import Category
from exchange.paper.core.refusal import params_error
from exchange.paper.feed import AccountRatio, Bar, Interest, PriceKind
from exchange.paper.market_query import category_of, linear_only, one_of, span, stamped_window, symbol_of
from exchange.paper.market_series import INTERVALS, Interval, kline_window, premium_bars, price_bars, trade_bars
from exchange.paper.params import Params, cursor_text
from exchange.paper.quotes import QuoteBoard, kline_row, price_row
from exchange.paper.wire import number, to_millis

if TYPE_CHECKING:
    from exchange.paper.venue import Venue

STAMP_INTERVALS = {
    name: minutes * 60_000
    for name, minutes in {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1440}.items()
}

Answer = dict[str, Any]
Read = Callable[[Interval, datetime, datetime, datetime], list[Bar]]


class MarketSeries:
    """Answers of the endpoints; "now" is the instant up to which the venue has processed the market."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._board: QuoteBoard = venue.hub.board

    def kline(self, params: Params) -> Answer:
        category = category_of(params)
        symbol, feed = symbol_of(params, self._board, category), self._venue.feed
        bars = self._bars(params, lambda *asked: trade_bars(feed, category, symbol, *asked))
        return {"category": category.value, "symbol": symbol, "list": [kline_row(bar) for bar in reversed(bars)]}

    def mark_price_kline(self, params: Params) -> Answer:
        return self._price_kline(params, PriceKind.MARK)

    def index_price_kline(self, params: Params) -> Answer:
        return self._price_kline(params, PriceKind.INDEX)

    def premium_index_price_kline(self, params: Params) -> Answer:
        return self._price_kline(params, None)

    def funding_history(self, params: Params) -> Answer:
        """Newest first: settlements up to ``endTime`` (the market's now without it), from ``startTime`` on."""
        linear_only(params, "funding")
        symbol = symbol_of(params, self._board, Category.LINEAR)
        start, end = span(params, "startTime", "endTime")
        if start is not None and end is None:
            raise params_error("startTime invalid: it needs endTime beside it")
        settled = self._board.settled_rates(symbol, start, end, params.limit(200, 200), self._venue.position)
        rows = [
            {"symbol": symbol, "fundingRate": number(rate), "fundingRateTimestamp": str(at)} for at, rate in settled
        ]
        return {"category": Category.LINEAR.value, "list": rows}

    def open_interest(self, params: Params) -> Answer:
        """Newest first, from ``endTime`` (the market's now without it) back to ``startTime``."""
        linear_only(params, "open interest")
        symbol = symbol_of(params, self._board, Category.LINEAR)
        interval_ms = one_of(params, "intervalTime", STAMP_INTERVALS)
        now, limit = self._venue.position, params.limit(50, 200)
        first, last = stamped_window(params, now)
        found = self._venue.feed.open_interest(symbol, interval_ms, first, last, now, limit + 1)
        told = reversed(found[-limit:])
        rows = [{"openInterest": number(stamp.value), "timestamp": str(to_millis(stamp.at))} for stamp in told]
        head = {"symbol": symbol, "category": Category.LINEAR.value}
        return {**head, "list": rows, "nextPageCursor": _cursor(found, limit)}

    def account_ratio(self, params: Params) -> Answer:
        """Shares of accounts that are long and short, paged as open interest."""
        linear_only(params, "account ratio")
        symbol = symbol_of(params, self._board, Category.LINEAR)
        interval_ms = one_of(params, "period", STAMP_INTERVALS)
        now, limit = self._venue.position, params.limit(50, 500)
        first, last = stamped_window(params, now)
        found = self._venue.feed.account_ratio(symbol, interval_ms, first, last, now, limit + 1)
        rows = [
            {
                "symbol": symbol,
                "buyRatio": number(stamp.long),
                "sellRatio": number(stamp.short),
                "timestamp": str(to_millis(stamp.at)),
            }
            for stamp in reversed(found[-limit:])
        ]
        return {"list": rows, "nextPageCursor": _cursor(found, limit)}

    def _price_kline(self, params: Params, kind: PriceKind | None) -> Answer:
        linear_only(params, "such price", default=Category.LINEAR)
        symbol, feed = symbol_of(params, self._board, Category.LINEAR), self._venue.feed
        if kind is None:
            bars = self._bars(params, lambda *asked: premium_bars(feed, symbol, *asked))
        else:
            bars = self._bars(params, lambda *asked: price_bars(feed, kind, symbol, *asked))
        rows = [price_row(bar) for bar in reversed(bars)]
        return {"category": Category.LINEAR.value, "symbol": symbol, "list": rows}

    def _bars(self, params: Params, read: Read) -> list[Bar]:
        interval = one_of(params, "interval", INTERVALS)
        start, end = span(params, "start", "end")
        now = self._venue.position
        first, last = kline_window(interval, start, end, params.limit(200, 1000), now)
        return read(interval, first, last, now)


def _cursor(found: list[Interest] | list[AccountRatio], limit: int) -> str:
    """The cursor of what is older than the newest ``limit``."""
    return cursor_text(to_millis(found[-limit].at) if len(found) > limit else None)
