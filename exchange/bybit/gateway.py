"""Bybit through pybit, as the protocol's ``Exchange``: paper, demo, testnet and live alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.clock import MarketClock
from domain.market import Category, Instrument
from exchange.bybit import parsing
from exchange.bybit.errors import LEVERAGE_UNCHANGED, UNKNOWN_ORDER_CODES, unreadable_is_unknown
from exchange.bybit.market_time import PaperTime, WallTime
from exchange.bybit.parsing import milliseconds, moment, plain
from exchange.bybit.rest import RestClient, RestOptions, windows
from exchange.bybit.socket import SocketOptions
from exchange.bybit.streams import StreamHub, StreamSubscription
from exchange.protocol import (
    BookTop,
    Candle,
    Execution,
    Mode,
    OpenInterest,
    OrderAck,
    OrderReport,
    OrderRequest,
    PositionReport,
    PrivateHandlers,
    Refused,
    StreamFreshness,
    StreamGap,
    Ticker,
    Trade,
    TransactionLogRow,
    Wallet,
)

SEVEN_DAYS_MS = 7 * 24 * 3600 * 1000
_KLINE_ROWS = 1000
_INTEREST_ROWS = 200
_UP_TO_WHOLE_MS = timedelta(microseconds=999)
_BOOK_DEPTHS = {Category.SPOT: (1, 50, 200, 1000), Category.LINEAR: (1, 50, 200, 500, 1000)}
_SETTLE_COIN = "USDT"

OnGap = Callable[[StreamGap], None]


class BybitExchange:
    """One account at one exchange. ``start`` before the first call, ``close`` when done, both on one event loop.

    ``url`` (``http://host:port``) replaces Bybit's addresses and is required in paper mode. ``threads`` are those for
    queries; orders have ``order_threads`` of their own.
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
    ) -> None:
        if mode == "paper" and url is None:
            raise ValueError("url: paper mode needs the paper exchange's address")
        url = url.rstrip("/") if url is not None else None
        self.mode = mode
        self._rest = RestClient(
            RestOptions(mode, key, secret, url, recv_window_ms, http_timeout_seconds, order_threads, threads)
        )
        self._streams = StreamHub(SocketOptions(mode, key, secret, url))
        # A real exchange may still be writing the last trades of a candle into it just after its end.
        self._settling = timedelta(0) if mode == "paper" else timedelta(seconds=2)
        self._time: PaperTime | WallTime = (
            PaperTime(url, http_timeout_seconds) if mode == "paper" and url else WallTime(mode, self._rest)
        )

    async def start(self) -> None:
        """Open the REST connections. An exchange that can't be reached yet is logged, not raised."""
        await self._rest.start()

    async def close(self) -> None:
        """End sockets, connections and threads."""
        await self._streams.close()
        await self._rest.close()
        await self._time.close()

    # market

    async def market_clock(self) -> MarketClock:
        """Market time, at most a second of extrapolation old in paper mode. Raises RetryLater."""
        return await self._time.read()

    async def advance_clock(self, to: datetime | None = None) -> MarketClock:
        """Step mode of the paper exchange: let the market come to ``to``, by default the next quarter hour."""
        if not isinstance(self._time, PaperTime):
            raise Refused(f"the market clock of {self.mode} is the world's: only a paper exchange can be advanced")
        return await self._time.advance(to)

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
        at = (await self.market_clock()).now if self.mode == "paper" else moment(answer["time"])
        return parsing.ticker(category, rows[0], at)

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
        now = (await self._time.read(max_age_seconds=0.0)).now - self._settling
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
        interval = parsing.INTEREST_INTERVALS.get(timeframe)
        if interval is None:
            known = ", ".join(parsing.INTEREST_INTERVALS)
            raise Refused(f"timeframe: open interest comes in {known}, not {timeframe} (not sent)")
        first, last = milliseconds(start + _UP_TO_WHOLE_MS), milliseconds(end)
        if first > last:
            return []
        rows = await self._rest.rows(
            "get_open_interest",
            category=Category.LINEAR.value,
            symbol=symbol,
            intervalTime=interval,
            startTime=first,
            endTime=last,
            limit=_INTEREST_ROWS,
        )
        found = {one.at: one for one in (parsing.open_interest(symbol, row) for row in rows)}
        return [found[at] for at in sorted(found)]

    # orders

    @unreadable_is_unknown
    async def place_order(self, request: OrderRequest) -> OrderAck:
        """Send it once. Raises DuplicateOrder, Refused, RetryLater (not sent or not looked at) or OutcomeUnknown."""
        answer = await self._rest.order("place_order", not_after=request.not_after, **_order_params(request))
        result = answer["result"]
        return OrderAck(
            order_id=result["orderId"],
            order_link_id=result.get("orderLinkId") or request.order_link_id,
            exchange_time=moment(answer["time"]),
        )

    async def cancel_order(self, category: Category, symbol: str, order_link_id: str) -> None:
        """Accepted, not final. Refused with 110001 / 170213 when the order is unknown or already final."""
        params: dict[str, Any] = {"category": category.value, "symbol": symbol, "orderLinkId": order_link_id}
        if category is Category.LINEAR:
            await self._rest.order("cancel_order", **params)
            return
        # Spot keeps conditional orders apart. What rests on spot is a stop: ask there first.
        try:
            await self._rest.order("cancel_order", **params, orderFilter="StopOrder")
        except Refused as refusal:
            if refusal.code not in UNKNOWN_ORDER_CODES:
                raise
            await self._rest.order("cancel_order", **params, orderFilter="Order")

    async def cancel_all(self, category: Category, symbol: str) -> None:
        """Cancel every open order of ``symbol``, conditional ones too."""
        kinds = (None,) if category is Category.LINEAR else ("Order", "StopOrder", "tpslOrder")
        for kind in kinds:
            await self._rest.order("cancel_all_orders", category=category.value, symbol=symbol, orderFilter=kind)

    @unreadable_is_unknown
    async def find_order(self, category: Category, symbol: str, order_link_id: str) -> OrderReport | None:
        """Realtime, then history. None means: not found in either (which alone proves nothing)."""
        for method in ("get_open_orders", "get_order_history"):
            answer = await self._rest.query(method, category=category.value, symbol=symbol, orderLinkId=order_link_id)
            for row in answer["result"]["list"]:
                if row.get("orderLinkId") == order_link_id:
                    return parsing.order(category, row)
        return None

    @unreadable_is_unknown
    async def open_orders(self, category: Category, symbol: str | None = None) -> list[OrderReport]:
        """Orders resting or waiting for their trigger, every page."""
        rows = await self._rest.rows(
            "get_open_orders", category=category.value, **_narrowed(category, symbol), openOnly=0, limit=50
        )
        return [parsing.order(category, row) for row in rows]

    @unreadable_is_unknown
    async def executions(
        self,
        category: Category,
        *,
        symbol: str | None = None,
        order_link_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Execution]:
        """All matching executions, oldest first, every page; without ``since`` those of the last seven days."""
        rows = await self._dated_rows(
            "get_executions",
            since,
            category=category.value,
            symbol=symbol,
            orderLinkId=order_link_id,
            limit=100,
        )
        found = {row["execId"]: parsing.execution(category, row) for row in reversed(rows)}
        return sorted(found.values(), key=lambda execution: execution.executed_at)

    # account

    @unreadable_is_unknown
    async def positions(self, category: Category = Category.LINEAR, symbol: str | None = None) -> list[PositionReport]:
        """Linear positions; without ``symbol`` only those that are not flat. Spot has none: []."""
        if category is Category.SPOT:
            return []
        rows = await self._rest.rows("get_positions", category=category.value, **_narrowed(category, symbol), limit=200)
        return [parsing.position(category, row) for row in rows]

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Set it for both sides of a linear symbol. Already so (110043) is success."""
        value = plain(leverage)
        try:
            await self._rest.order(
                "set_leverage", category=Category.LINEAR.value, symbol=symbol, buyLeverage=value, sellLeverage=value
            )
        except Refused as refusal:
            if refusal.code != LEVERAGE_UNCHANGED:
                raise

    @unreadable_is_unknown
    async def wallet(self) -> Wallet:
        """The unified account."""
        answer = await self._rest.query("get_wallet_balance", accountType="UNIFIED")
        return parsing.wallet(answer["result"]["list"][0])

    @unreadable_is_unknown
    async def transaction_log(self, since: datetime | None = None) -> list[TransactionLogRow]:
        """Every change of the wallet, oldest first, every page; without ``since`` those of the last 24 hours."""
        rows = await self._dated_rows("get_transaction_log", since, accountType="UNIFIED", limit=50)
        found = {row["id"]: parsing.transaction(row) for row in reversed(rows)}
        return sorted(found.values(), key=lambda row: row.at)

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

    async def _dated_rows(self, method: str, since: datetime | None, **params: Any) -> list[dict[str, Any]]:
        """Newest first, as each window tells them; windows of at most seven days from ``since`` to the market's now."""
        if since is None:
            return await self._rest.rows(method, **params)
        until = (await self._time.read(max_age_seconds=0.0)).now
        rows: list[dict[str, Any]] = []
        for start, end in windows(milliseconds(since), milliseconds(max(until, since)), SEVEN_DAYS_MS):
            rows = await self._rest.rows(method, **params, startTime=start, endTime=end) + rows
        return rows


def _narrowed(category: Category, symbol: str | None) -> dict[str, str]:
    """Linear lists want a symbol or a settle coin, spot ones take neither."""
    if symbol is not None:
        return {"symbol": symbol}
    return {"settleCoin": _SETTLE_COIN} if category is Category.LINEAR else {}


def _order_params(request: OrderRequest) -> dict[str, Any]:
    params: dict[str, Any] = {
        "category": request.category.value,
        "symbol": request.symbol,
        "side": request.side.value,
        "orderType": "Market",
        "qty": plain(request.qty),
        "orderLinkId": request.order_link_id,
    }
    if request.category is Category.SPOT:
        params["marketUnit"] = "baseCoin"
        if request.trigger_price is not None:
            params |= {"orderFilter": "StopOrder", "triggerPrice": plain(request.trigger_price)}
        return params
    params["positionIdx"] = 0
    if request.reduce_only:
        params["reduceOnly"] = True
    if request.trigger_price is not None:
        if request.trigger_rises is None:
            raise Refused("trigger_rises: a linear conditional order needs its direction (not sent)")
        params |= {
            "triggerPrice": plain(request.trigger_price),
            "triggerDirection": 1 if request.trigger_rises else 2,
            "triggerBy": "LastPrice",
        }
    if request.stop_loss is not None:
        params |= {"stopLoss": plain(request.stop_loss), "tpslMode": "Full", "slTriggerBy": "LastPrice"}
    return params
