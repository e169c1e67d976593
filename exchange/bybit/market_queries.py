"""What the market is asked: instruments, prices, candles, open interest, accounts long and short, funding."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from domain.market import Category, Instrument
from exchange.bybit import parsing
from exchange.bybit.errors import unreadable_is_unknown
from exchange.bybit.market_time import PaperTime, WallTime
from exchange.bybit.parsing import milliseconds, moment
from exchange.bybit.rest import RestClient, windows
from exchange.protocol import (
    BookTop,
    Candle,
    FundingRate,
    LongShortRatio,
    Mode,
    OpenInterest,
    Refused,
    Ticker,
    Trade,
)

_KLINE_ROWS = 1000
_INTEREST_ROWS = _FUNDING_ROWS = 200
_RATIO_ROWS = 500
_UP_TO_WHOLE_MS = timedelta(microseconds=999)
_BOOK_DEPTHS = {Category.SPOT: (1, 50, 200, 1000), Category.LINEAR: (1, 50, 200, 500, 1000)}
_SETTLING = timedelta(seconds=2)
"""A real exchange may still be writing the last trades of a candle into it just after its end."""

_S = TypeVar("_S", OpenInterest, LongShortRatio, FundingRate)


class MarketQueries:
    """The market's part of the gateway."""

    mode: Mode
    _rest: RestClient
    _time: PaperTime | WallTime

    @unreadable_is_unknown
    async def server_time(self) -> datetime:
        """The exchange's protocol clock (wall time), by which signatures are judged."""
        answer = await self._rest.query("get_server_time")
        return datetime.fromtimestamp(int(answer["result"]["timeNano"]) / 1e9, UTC)

    @unreadable_is_unknown
    async def instruments(self, category: Category, symbol: str | None = None) -> list[Instrument]:
        """Perpetuals or spot pairs, tradable or not; [] or Refused for an unknown ``symbol``."""
        limit = 1000 if category is Category.LINEAR else None
        rows = await self._rest.rows("get_instruments_info", category=category.value, symbol=symbol, limit=limit)
        wanted = [row for row in rows if row.get("contractType", "LinearPerpetual") == "LinearPerpetual"]
        return [parsing.instrument(category, row) for row in wanted]

    @unreadable_is_unknown
    async def ticker(self, category: Category, symbol: str) -> Ticker:
        """Raises Refused for an unknown symbol."""
        answer = await self._rest.query("get_tickers", category=category.value, symbol=symbol)
        rows = answer["result"]["list"]
        if not rows:
            raise Refused(f"symbol: {symbol} is not a {category.value} symbol")
        return parsing.ticker(category, rows[0], await self._told_at(answer))

    @unreadable_is_unknown
    async def tickers(self, category: Category) -> list[Ticker]:
        """Of every symbol of the category that has a price, in one call."""
        answer = await self._rest.query("get_tickers", category=category.value)
        at = await self._told_at(answer)
        return [parsing.ticker(category, row, at) for row in answer["result"]["list"] if row.get("lastPrice")]

    async def _told_at(self, answer: dict[str, Any]) -> datetime:
        """The market's time of an answer."""
        return (await self._time.read()).now if self.mode == "paper" else moment(answer["time"])

    @unreadable_is_unknown
    async def order_book(self, category: Category, symbol: str, depth: int = 1) -> BookTop:
        """At least ``depth`` levels a side where the book has them (1 to 1000)."""
        limit = next((known for known in _BOOK_DEPTHS[category] if known >= depth), _BOOK_DEPTHS[category][-1])
        answer = await self._rest.query("get_orderbook", category=category.value, symbol=symbol, limit=limit)
        return parsing.book(category, answer["result"])

    @unreadable_is_unknown
    async def recent_trades(self, category: Category, symbol: str) -> list[Trade]:
        """The newest public trades the exchange still tells (60 spot, 1000 linear), oldest first."""
        limit = 60 if category is Category.SPOT else 1000
        answer = await self._rest.query("get_public_trade_history", category=category.value, symbol=symbol, limit=limit)
        trades = [parsing.queried_trade(category, row) for row in reversed(answer["result"]["list"])]
        return sorted(trades, key=lambda trade: trade.at)  # stable: trades of one millisecond keep their order

    @unreadable_is_unknown
    async def candles(
        self, category: Category, symbol: str, timeframe: str, start: datetime, end: datetime
    ) -> list[Candle]:
        """Candles with open time in [start, end], oldest first, the forming one unconfirmed."""
        # Read before the rows are: what had ended then is final in every answer that follows.
        settling = timedelta(0) if self.mode == "paper" else _SETTLING
        now = (await self._time.read(max_age_seconds=0.0)).now - settling
        length_ms = parsing.LENGTHS[timeframe] // timedelta(milliseconds=1)
        found: dict[datetime, Candle] = {}
        for first, last in windows(milliseconds(start), milliseconds(end), _KLINE_ROWS * length_ms):
            answer = await self._rest.query(
                "get_kline",
                category=category.value,
                symbol=symbol,
                interval=parsing.INTERVALS[timeframe],
                start=first,
                end=min(last, milliseconds(end)),
                limit=_KLINE_ROWS,
            )
            for row in answer["result"]["list"]:
                candle = parsing.queried_candle(category, symbol, timeframe, row, now)
                if start <= candle.open_time <= end:
                    found[candle.open_time] = candle
        return [found[at] for at in sorted(found)]

    @unreadable_is_unknown
    async def open_interest(self, symbol: str, timeframe: str, start: datetime, end: datetime) -> list[OpenInterest]:
        """Stamped in [start, end], oldest first, every page. Refused for a timeframe other than 15m 1h 4h 1d."""
        interval = _stamp_interval(timeframe, "open interest")
        asked = {"intervalTime": interval, "limit": _INTEREST_ROWS}
        rows = await self._stamped("get_open_interest", symbol, start, end, asked)
        return _oldest_first(parsing.open_interest(symbol, row) for row in rows)

    @unreadable_is_unknown
    async def long_short_ratio(
        self, symbol: str, timeframe: str, start: datetime, end: datetime
    ) -> list[LongShortRatio]:
        """Stamped in [start, end], oldest first, every page. Refused for a timeframe other than 15m 1h 4h 1d."""
        asked = {"period": _stamp_interval(timeframe, "the long/short ratio"), "limit": _RATIO_ROWS}
        rows = await self._stamped("get_long_short_ratio", symbol, start, end, asked)
        return _oldest_first(parsing.long_short_ratio(symbol, row) for row in rows)

    @unreadable_is_unknown
    async def funding_rates(self, symbol: str, start: datetime, end: datetime) -> list[FundingRate]:
        """Settled in [start, end], oldest first. There is no cursor: each page ends before the oldest of the last."""
        found: list[FundingRate] = []
        last = end
        while True:
            asked = {"limit": _FUNDING_ROWS}
            rows = await self._stamped("get_funding_rate_history", symbol, start, last, asked)
            found += [parsing.funding_rate(symbol, row) for row in rows]
            if len(rows) < _FUNDING_ROWS:
                return _oldest_first(found)
            last = min(one.at for one in found) - timedelta(milliseconds=1)

    async def _stamped(
        self, method: str, symbol: str, start: datetime, end: datetime, asked: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Rows of a perpetual's series in [start, end], in the exchange's order."""
        first, last = milliseconds(start + _UP_TO_WHOLE_MS), milliseconds(end)
        if first > last:
            return []
        return await self._rest.rows(
            method, category=Category.LINEAR.value, symbol=symbol, startTime=first, endTime=last, **asked
        )


def _stamp_interval(timeframe: str, what: str) -> str:
    interval = parsing.STAMP_INTERVALS.get(timeframe)
    if interval is None:
        known = ", ".join(parsing.STAMP_INTERVALS)
        raise Refused(f"timeframe: {what} comes in {known}, not {timeframe} (not sent)")
    return interval


def _oldest_first(told: Iterable[_S]) -> list[_S]:
    """Each stamp once: pages may overlap."""
    found = {one.at: one for one in told}
    return [found[at] for at in sorted(found)]
