"""What the market quotes at an instant, in Bybit's row shapes: tickers, order book, trades and candles.

24 h statistics cover the last 95 closed 15-minute candles and the forming one. Perpetuals mark at the last price; the
index is the spot price where the market has the symbol there. No funding is charged yet, so its rate is 0; open
interest is the market's, or half a day's volume where it has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.candle import Timeframe, from_ms, to_ms
from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import ladder
from exchange.paper.feed import Bar, Feed, Tick
from exchange.paper.wire import number, to_millis

Row = dict[str, Any]

INTERVALS = {
    "1": Timeframe.M1,
    "15": Timeframe.M15,
    "60": Timeframe.H1,
    "240": Timeframe.H4,
    "D": Timeframe.D1,
    "W": Timeframe.W1,
}
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_FUNDING_MS = 8 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class _Day:
    """The closed part of the last 24 h, valid while the 15-minute candle at ``forming`` forms."""

    forming: datetime
    first: Decimal
    hour_ago: Decimal
    high: Decimal | None
    low: Decimal | None
    volume: Decimal
    turnover: Decimal
    interest: Decimal | None


class QuoteBoard:
    """Quotes of every instrument of a feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.instruments: dict[tuple[Category, str], Instrument] = {
            (instrument.category, instrument.symbol): instrument for instrument in feed.instruments()
        }
        self._days: dict[tuple[Category, str], _Day] = {}

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
        spot = (Category.SPOT, symbol) in self.instruments
        index = self._feed.last_price(Category.SPOT, symbol, now) if spot else last
        known = self._day(category, symbol, now).interest
        interest = Decimal(common["volume24h"]) / 2 if known is None else known
        return {
            **common,
            "indexPrice": number(index),
            "markPrice": number(last),
            "openInterest": number(interest),
            "openInterestValue": number(interest * last),
            "fundingRate": "0",
            "nextFundingTime": str((to_millis(now) // _FUNDING_MS + 1) * _FUNDING_MS),
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

    def book(
        self, category: Category, symbol: str, now: datetime, depth: int
    ) -> tuple[list[list[str]], list[list[str]]]:
        """(bids, asks) as [price, quantity] pairs, best first: what market orders meet."""
        instrument = self.instruments[category, symbol]
        last = self._feed.last_price(category, symbol, now)
        liquidity = self._feed.liquidity(category, symbol, now)
        sides: list[list[list[str]]] = []
        for taker in (Side.SELL, Side.BUY):
            levels: dict[Decimal, Decimal] = {}
            for take in ladder(instrument, taker, last, liquidity):
                if take.price not in levels and len(levels) == depth:
                    break
                levels[take.price] = levels.get(take.price, Decimal(0)) + take.qty
            sides.append([[number(price), number(qty)] for price, qty in levels.items()])
        return sides[0], sides[1]

    def _statistics(self, category: Category, symbol: str, last: Decimal, now: datetime) -> Row:
        day = self._day(category, symbol, now)
        forming = self._feed.bars(category, symbol, Timeframe.M15, day.forming, now, now)
        highs = [price for price in (day.high, *(bar.high for bar in forming), last) if price is not None]
        lows = [price for price in (day.low, *(bar.low for bar in forming), last) if price is not None]
        change = (last - day.first) / day.first
        row = {
            "prevPrice24h": number(day.first),
            "price24hPcnt": number(change.quantize(Decimal("0.000001"))),
            "highPrice24h": number(max(highs)),
            "lowPrice24h": number(min(lows)),
            "turnover24h": number(day.turnover + sum((bar.turnover for bar in forming), Decimal(0))),
            "volume24h": number(day.volume + sum((bar.volume for bar in forming), Decimal(0))),
        }
        return row if category is Category.SPOT else {**row, "prevPrice1h": number(day.hour_ago)}

    def _day(self, category: Category, symbol: str, now: datetime) -> _Day:
        forming = Timeframe.M15.floor(now)
        kept = self._days.get((category, symbol))
        if kept is not None and kept.forming == forming:
            return kept
        begin = forming - _DAY + Timeframe.M15.duration
        closed = self._feed.bars(category, symbol, Timeframe.M15, begin, forming - Timeframe.M1.duration, now)
        price = self._feed.last_price(category, symbol, forming)
        hour = [bar.open for bar in closed if bar.open_time > forming - _HOUR]
        made = _Day(
            forming=forming,
            first=closed[0].open if closed else price,
            hour_ago=hour[0] if hour else price,
            high=max((bar.high for bar in closed), default=None),
            low=min((bar.low for bar in closed), default=None),
            volume=sum((bar.volume for bar in closed), Decimal(0)),
            turnover=sum((bar.turnover for bar in closed), Decimal(0)),
            interest=self._interest(symbol, forming) if category is Category.LINEAR else None,
        )
        self._days[category, symbol] = made
        return made

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


def kline_window(
    timeframe: Timeframe, start_ms: int | None, end_ms: int | None, limit: int, now: datetime
) -> tuple[datetime, datetime]:
    """(first, last) open time wanted: the newest ``limit`` before the end, or with a start alone the first from it."""
    step = timeframe.milliseconds
    if start_ms is not None and end_ms is None:
        first = timeframe.ceil_ms(start_ms)
        return from_ms(first), from_ms(first + (limit - 1) * step)
    last = timeframe.floor_ms(min(to_ms(now), end_ms if end_ms is not None else to_ms(now)))
    first = last - (limit - 1) * step
    return from_ms(max(first, start_ms) if start_ms is not None else first), from_ms(last)
