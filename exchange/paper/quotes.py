"""What the market quotes at an instant, in Bybit's row shapes: tickers, order book, funding, trades and candles.

24 h statistics cover the last 95 closed 15-minute candles and the forming one. Open interest is the market's, or half a
day's volume where it has none. The funding rate of a ticker is the prediction for the next settlement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.candle import EPOCH, Timeframe, from_ms
from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import ladder
from exchange.paper.feed import Bar, Feed, Tick
from exchange.paper.shown_book import Level, shown_side
from exchange.paper.wire import number, to_millis

Row = dict[str, Any]

FUNDING_INTERVAL = timedelta(hours=8)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_ZERO = Decimal(0)
_FUNDING_MS = FUNDING_INTERVAL // timedelta(milliseconds=1)


@dataclass(slots=True)
class _Day:
    """The last 24 h as known at ``until``, while the 15-minute candle at ``forming`` forms."""

    forming: datetime
    until: datetime
    first: Decimal
    hour_ago: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal
    interest: Decimal | None
    funding_rate: Decimal

    def add(self, tick: Tick) -> None:
        """Count a trade of the forming candle."""
        self.high, self.low = max(self.high, tick.price), min(self.low, tick.price)
        self.volume += tick.qty
        self.turnover += tick.price * tick.qty


class QuoteBoard:
    """Quotes of every instrument of a feed. ``taken`` tells what takers took of a book since the last trade."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.instruments: dict[tuple[Category, str], Instrument] = {
            (instrument.category, instrument.symbol): instrument for instrument in feed.instruments()
        }
        self.taken: Callable[[], Mapping[tuple[Category, str, Side], Decimal]] = dict
        self._days: dict[tuple[Category, str], _Day] = {}
        self._settled: dict[tuple[str, int], Decimal] = {}
        self._first_bars: dict[str, datetime] = {}

    def ticker(self, category: Category, symbol: str, now: datetime) -> Row:
        """A row of ``market/tickers`` and the data of the ``tickers`` topic."""
        last = self._feed.last_price(category, symbol, now)
        bids, asks = self.book(category, symbol, now, 1)
        common = {
            "symbol": symbol,
            "bid1Price": bids[0][0],
            "bid1Size": bids[0][1],
            "ask1Price": asks[0][0],
            "ask1Size": asks[0][1],
            "lastPrice": number(last),
            **self._statistics(category, symbol, last, now),
        }
        if category is Category.SPOT:
            return {**common, "usdIndexPrice": number(last)}
        mark, day = self._feed.mark_price(symbol, now), self._day(category, symbol, now)
        interest = Decimal(common["volume24h"]) / 2 if day.interest is None else day.interest
        return {
            **common,
            "indexPrice": number(self._feed.index_price(symbol, now)),
            "markPrice": number(mark),
            "openInterest": number(interest),
            "openInterestValue": number(interest * mark),
            "fundingRate": number(day.funding_rate),
            "nextFundingTime": str(_next_funding_ms(now)),
            "fundingIntervalHour": "8",
            "fundingCap": "0.005",
            "predictedDeliveryPrice": "",
            "basisRate": "",
            "basis": "",
            "deliveryFeeRate": "",
            "deliveryTime": "0",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def book(self, category: Category, symbol: str, now: datetime, depth: int) -> tuple[list[Level], list[Level]]:
        """(bids, asks) as (price, quantity) pairs, best first: what market orders meet, as it is shown."""
        instrument = self.instruments[category, symbol]
        last = self._feed.last_price(category, symbol, now)
        liquidity, taken = self._feed.liquidity(category, symbol, now), self.taken()
        bids, asks = (
            shown_side(
                instrument,
                taker,
                ladder(instrument, taker, last, liquidity, taken.get((category, symbol, taker), _ZERO)),
                depth,
            )
            for taker in (Side.SELL, Side.BUY)
        )
        return bids, asks

    def settled_rates(
        self, symbol: str, start_ms: int | None, end_ms: int | None, limit: int, now: datetime
    ) -> list[tuple[int, Decimal]]:
        """(instant in ms, rate) of the newest ``limit`` funding settlements in [start, end] up to now, newest first."""
        newest = min(to_millis(now), to_millis(now) if end_ms is None else end_ms) // _FUNDING_MS
        oldest = max(to_millis(self._first_bar(symbol, now)) // _FUNDING_MS + 1, -(-(start_ms or 0) // _FUNDING_MS))
        instants = [count * _FUNDING_MS for count in range(newest, max(oldest - 1, newest - limit), -1)]
        return [(at, self._settled_rate(symbol, at)) for at in instants]

    def _settled_rate(self, symbol: str, at_ms: int) -> Decimal:
        rate = self._settled.get((symbol, at_ms))
        if rate is None:
            rate = self._settled[symbol, at_ms] = self._feed.funding_rate(symbol, from_ms(at_ms))
        return rate

    def _first_bar(self, symbol: str, now: datetime) -> datetime:
        """Where the history of a perpetual begins."""
        found = self._first_bars.get(symbol)
        if found is None:
            weeks = self._feed.bars(Category.LINEAR, symbol, Timeframe.W1, EPOCH, now, now)
            begin = weeks[0].open_time if weeks else Timeframe.W1.floor(now)
            days = self._feed.bars(Category.LINEAR, symbol, Timeframe.D1, begin, begin + _DAY * 7, now)
            found = self._first_bars[symbol] = days[0].open_time if days else now
        return found

    def _statistics(self, category: Category, symbol: str, last: Decimal, now: datetime) -> Row:
        day = self._day(category, symbol, now)
        change = (last - day.first) / day.first
        row = {
            "prevPrice24h": number(day.first),
            "price24hPcnt": number(change.quantize(Decimal("0.000001"))),
            "highPrice24h": number(max(day.high, last)),
            "lowPrice24h": number(min(day.low, last)),
            "turnover24h": number(day.turnover),
            "volume24h": number(day.volume),
        }
        return row if category is Category.SPOT else {**row, "prevPrice1h": number(day.hour_ago)}

    def _day(self, category: Category, symbol: str, now: datetime) -> _Day:
        """The statistics of the day up to ``now``; what is kept of them grows by the trades since."""
        forming = Timeframe.M15.floor(now)
        day = self._days.get((category, symbol))
        if day is None or day.forming != forming or day.until > now:
            day = self._days[category, symbol] = self._closed_day(category, symbol, forming, now)
        if day.until < now:
            for tick in self._feed.trades(category, symbol, day.until, now):
                day.add(tick)
            day.until = now
        return day

    def _closed_day(self, category: Category, symbol: str, forming: datetime, now: datetime) -> _Day:
        """The day without the candle that opens at ``forming``."""
        begin = forming - _DAY + Timeframe.M15.duration
        closed = self._feed.bars(category, symbol, Timeframe.M15, begin, forming - Timeframe.M1.duration, now)
        price = self._feed.last_price(category, symbol, forming)
        hour = [bar.open for bar in closed if bar.open_time > forming - _HOUR]
        return _Day(
            forming=forming,
            until=forming - timedelta(microseconds=1),
            first=closed[0].open if closed else price,
            hour_ago=hour[0] if hour else price,
            high=max((bar.high for bar in closed), default=price),
            low=min((bar.low for bar in closed), default=price),
            volume=sum((bar.volume for bar in closed), _ZERO),
            turnover=sum((bar.turnover for bar in closed), _ZERO),
            interest=self._interest(symbol, forming) if category is Category.LINEAR else None,
            funding_rate=self._predicted_rate(symbol, now) if category is Category.LINEAR else _ZERO,
        )

    def _predicted_rate(self, symbol: str, now: datetime) -> Decimal:
        return self._feed.funding_rate(symbol, from_ms(_next_funding_ms(now)), now)

    def _interest(self, symbol: str, at: datetime) -> Decimal | None:
        """The last open interest stamped in the day up to ``at``."""
        quarter = Timeframe.M15.milliseconds
        stamps = self._feed.open_interest(symbol, quarter, at - _DAY, at, at, 1)
        return stamps[-1].value if stamps else None


def trade_id(tick: Tick) -> str:
    """Id of a public trade: unique and rising per instrument, and of equal length, so that text sorts like numbers."""
    return str(10**15 + tick.sequence)


def trade_row(tick: Tick) -> Row:
    """A row of ``market/recent-trade``; ``time`` is market time in ms."""
    return {
        "execId": trade_id(tick),
        "symbol": tick.symbol,
        "price": number(tick.price),
        "size": number(tick.qty),
        "side": tick.side.value,
        "time": str(to_millis(tick.at)),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(tick.sequence),
    }


def kline_row(bar: Bar) -> list[str]:
    """A row of ``market/kline``: start, open, high, low, close, volume, turnover."""
    values = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover)
    return [str(to_millis(bar.open_time)), *map(number, values)]


def price_row(bar: Bar) -> list[str]:
    """A row of the mark, index and premium price candles: start, open, high, low, close."""
    return [str(to_millis(bar.open_time)), *map(number, (bar.open, bar.high, bar.low, bar.close))]


def _next_funding_ms(now: datetime) -> int:
    return (to_millis(now) // _FUNDING_MS + 1) * _FUNDING_MS
