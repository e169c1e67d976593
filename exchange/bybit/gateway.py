"""Bybit through pybit, as the protocol's ``Exchange``: paper, demo, testnet and live alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from domain.clock import MarketClock
from domain.market import Category
from exchange.bybit.account_queries import AccountQueries
from exchange.bybit.clock_offset import OffsetMeter
from exchange.bybit.limiter import RateLimiter
from exchange.bybit.market_queries import MarketQueries
from exchange.bybit.market_time import PaperTime, WallTime
from exchange.bybit.order_commands import OrderCommands
from exchange.bybit.order_entry import OrderEntry
from exchange.bybit.rest import RestClient, RestOptions
from exchange.bybit.socket import SocketOptions
from exchange.bybit.streams import StreamHub, StreamSubscription
from exchange.bybit.trade_socket import TradeSocket
from exchange.protocol import (
    Candle,
    ClockOffset,
    Mode,
    PrivateHandlers,
    RateUsage,
    Refused,
    StreamFreshness,
    StreamGap,
    Ticker,
    Trade,
)

OnGap = Callable[[StreamGap], None]


class BybitExchange(MarketQueries, AccountQueries, OrderCommands):
    """One account at one exchange. ``start`` before the first call, ``close`` when done, both on one event loop.

    ``url`` (``http://host:port``) replaces Bybit's addresses and is required in paper mode. ``threads`` are those for
    queries; exits have ``order_threads`` of their own, other orders as many. ``order_entry`` websocket sends orders
    over the trade socket while it stands. ``rate_share`` is the part of the account's rate limits that is ours.
    """

    def __init__(
        self,
        mode: Mode,
        key: str,
        secret: str,
        url: str | None = None,
        recv_window_ms: int = 5000,
        http_timeout_seconds: float = 3.0,
        threads: int = 6,
        order_threads: int = 4,
        order_entry: Literal["rest", "websocket"] = "rest",
        rate_share: float = 1.0,
    ) -> None:
        if mode == "paper" and url is None:
            raise ValueError("url: paper mode needs the paper exchange's address")
        if mode == "demo" and order_entry == "websocket":
            raise ValueError("order_entry: demo accounts have no trade socket")
        url = url.rstrip("/") if url is not None else None
        self.mode: Mode = mode
        self._limiter = RateLimiter(rate_share)
        self._rest = RestClient(
            RestOptions(mode, key, secret, url, recv_window_ms, http_timeout_seconds, order_threads, threads),
            self._limiter,
            self._time_refused,
        )
        self._offset = OffsetMeter(self._rest, recv_window_ms)
        self._time: PaperTime | WallTime = (
            PaperTime(url, http_timeout_seconds) if mode == "paper" and url else WallTime(mode, self._offset)
        )
        sockets = SocketOptions(mode, key, secret, url)
        self._streams = StreamHub(sockets, self._stands_still)
        self._trade_socket = (
            TradeSocket(sockets, recv_window_ms, http_timeout_seconds) if order_entry == "websocket" else None
        )
        self._entry = OrderEntry(
            self._rest, self._limiter, http_timeout_seconds, self._time_refused, self._trade_socket
        )

    async def start(self) -> None:
        """Open the connections. An exchange that can't be reached yet is logged, not raised."""
        if self._trade_socket is not None:
            self._trade_socket.start()
        await self._rest.start()
        self._offset.start()

    async def close(self) -> None:
        """End sockets, connections and threads."""
        await self._offset.close()
        await self._streams.close()
        if self._trade_socket is not None:
            await self._trade_socket.close()
        await self._rest.close()
        await self._time.close()

    # market time

    async def market_clock(self) -> MarketClock:
        """Market time, at most a second of extrapolation old in paper mode. Raises RetryLater."""
        return await self._time.read()

    async def advance_clock(self, to: datetime | None = None) -> MarketClock:
        """Step mode of the paper exchange: let the market come to ``to``, by default the next quarter hour."""
        if not isinstance(self._time, PaperTime):
            raise Refused(f"the market clock of {self.mode} is the world's: only a paper exchange can be advanced")
        return await self._time.advance(to)

    # streams

    def subscribe_trades(
        self,
        category: Category,
        symbol: str,
        on_trades: Callable[[Sequence[Trade]], None],
        on_gap: OnGap,
    ) -> StreamSubscription:
        return self._streams.trades(category, symbol, on_trades, on_gap)

    def subscribe_tickers(
        self, category: Category, symbol: str, on_ticker: Callable[[Ticker], None], on_gap: OnGap
    ) -> StreamSubscription:
        return self._streams.tickers(category, symbol, on_ticker, on_gap)

    def subscribe_candles(
        self, category: Category, symbol: str, timeframe: str, on_candle: Callable[[Candle], None], on_gap: OnGap
    ) -> StreamSubscription:
        return self._streams.candles(category, symbol, timeframe, on_candle, on_gap)

    def subscribe_private(self, handlers: PrivateHandlers) -> StreamSubscription:
        return self._streams.private(handlers)

    def freshness(self) -> list[StreamFreshness]:
        return self._streams.freshness()

    # how we stand with it

    def clock_offset(self) -> ClockOffset | None:
        """As last measured (about once a minute); None before the first measurement."""
        return self._offset.latest()

    def rate_usage(self) -> list[RateUsage]:
        """One reading an endpoint class that was used so far, the address's first."""
        return self._limiter.usage()

    @property
    def order_entry(self) -> Literal["rest", "websocket"]:
        """How orders go out now."""
        return self._entry.way

    def _time_refused(self) -> None:
        self._offset.doubt()

    def _stands_still(self) -> bool:
        return isinstance(self._time, PaperTime) and self._time.stands_still()
