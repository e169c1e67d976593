"""The streams of one exchange: who wants what, over sockets per category and one private."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from domain.market import Category
from exchange.bybit import parsing
from exchange.bybit.channel import Channel, Decoder
from exchange.bybit.mailbox import Callback, Mailbox, Subscriber
from exchange.bybit.shards import Shards
from exchange.bybit.socket import Frame, SocketOptions, StreamSocket
from exchange.protocol import Candle, PrivateHandlers, StreamFreshness, StreamGap, Ticker, Trade, Wallet

_JOIN_SECONDS = 3.0
_CATEGORIES = {category.value: category for category in Category}

OnGap = Callable[[StreamGap], None]


class StreamSubscription:
    """A live subscription. ``close`` ends it; the socket goes when its last subscription does."""

    def __init__(self, channel: Channel, subscriber: Subscriber, on_close: Callable[[], None]) -> None:
        self._channel = channel
        self._subscriber = subscriber
        self._on_close = on_close

    def close(self) -> None:
        """No callback runs after this returns (call it on the event loop of the subscription)."""
        if not self._subscriber.closed:
            self._subscriber.closed = True
            self._channel.remove(self._subscriber)
            self._on_close()

    async def wait_live(self, timeout: float | None = None) -> bool:
        """Wait until the exchange acknowledged the subscription; False when ``timeout`` seconds pass first."""
        return await self._subscriber.wait_live(timeout)


class StreamHub:
    """Makes channels as they are needed. Subscribing must happen on a running event loop, and never blocks it."""

    def __init__(self, options: SocketOptions, stands_still: Callable[[], bool] = lambda: False) -> None:
        self._options = options
        self._stands_still = stands_still
        # Everywhere "ts" is wall time; the paper exchange's sequence number is market time in milliseconds.
        self._ticker_time = "cs" if options.mode == "paper" else "ts"
        self._shards = Shards()
        self._channels: dict[tuple[str, int], Channel] = {}
        self._mailboxes: dict[int, Mailbox] = {}

    def trades(
        self, category: Category, symbol: str, on_trades: Callable[[Sequence[Trade]], None], on_gap: OnGap
    ) -> StreamSubscription:
        topic = f"publicTrade.{symbol}"
        return self._public(category, symbol, topic, lambda: partial(_trades, category), on_trades, on_gap)

    def tickers(
        self, category: Category, symbol: str, on_ticker: Callable[[Ticker], None], on_gap: OnGap
    ) -> StreamSubscription:
        topic = f"tickers.{symbol}"
        return self._public(
            category, symbol, topic, lambda: _TickerState(category, self._ticker_time), on_ticker, on_gap
        )

    def candles(
        self, category: Category, symbol: str, timeframe: str, on_candle: Callable[[Candle], None], on_gap: OnGap
    ) -> StreamSubscription:
        topic = f"kline.{parsing.INTERVALS[timeframe]}.{symbol}"

        def make() -> Decoder:
            return partial(_candles, category, symbol, timeframe)

        return self._public(category, symbol, topic, make, _each(on_candle), on_gap)

    def private(self, handlers: PrivateHandlers) -> StreamSubscription:
        topics: list[tuple[str, Callable[[], Decoder], Callback]] = [
            ("order", lambda: partial(_private_rows, parsing.order), handlers.on_orders),
            ("execution", lambda: partial(_private_rows, parsing.execution), handlers.on_executions),
            ("position", lambda: partial(_private_rows, parsing.position), handlers.on_positions),
            ("wallet", lambda: _wallets, _each(handlers.on_wallet)),
        ]
        return self._subscribe("private", 1, "private", topics, handlers.on_gap, lambda: None)

    def freshness(self) -> list[StreamFreshness]:
        return [reading for channel in self._channels.values() for reading in channel.freshness()]

    async def close(self) -> None:
        """End every socket and thread."""
        for channel in self._channels.values():
            channel.stop()
        loop = asyncio.get_running_loop()
        joins = [loop.run_in_executor(None, channel.join, _JOIN_SECONDS) for channel in self._channels.values()]
        await asyncio.gather(*joins)
        self._channels.clear()
        self._mailboxes.clear()

    def _public(
        self,
        category: Category,
        symbol: str,
        topic: str,
        make_decoder: Callable[[], Decoder],
        callback: Callback,
        on_gap: OnGap,
    ) -> StreamSubscription:
        number = self._shards.enter(category, symbol)
        label = f"{category.value}:{topic}"
        leave = partial(self._shards.leave, category, symbol)
        return self._subscribe(category.value, number, label, [(topic, make_decoder, callback)], on_gap, leave)

    def _subscribe(
        self,
        name: str,
        number: int,
        label: str,
        topics: list[tuple[str, Callable[[], Decoder], Callback]],
        on_gap: OnGap,
        on_close: Callable[[], None],
    ) -> StreamSubscription:
        loop = asyncio.get_running_loop()
        mailbox = self._mailboxes.get(id(loop))
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailboxes[id(loop)] = Mailbox(loop)
        channel = self._channels.get((name, number))
        if channel is None:
            stands_still = (lambda: False) if name == "private" else self._stands_still
            channel = self._channels[name, number] = Channel(name, self._open_socket, number, stands_still)
        subscriber = Subscriber(label, mailbox, on_gap, {topic for topic, _, _ in topics})
        channel.add(subscriber, topics)
        return StreamSubscription(channel, subscriber, on_close)

    def _open_socket(
        self, channel: str, on_frame: Callable[[Frame], None], on_closed: Callable[[], None]
    ) -> StreamSocket:
        return StreamSocket(channel, self._options, on_frame, on_closed)


class _TickerState:
    """Linear tickers come as a snapshot and changes to it, spot ones as snapshots: the state is what is told."""

    def __init__(self, category: Category, time_field: str) -> None:
        self._category = category
        self._time_field = time_field
        self._row: dict[str, Any] = {}

    def __call__(self, frame: Frame) -> Ticker | None:
        if frame.get("type") == "snapshot":
            self._row = dict(frame["data"])
        elif not self._row:
            return None  # a change of a snapshot we never saw
        else:
            self._row.update(frame["data"])
        return parsing.ticker(self._category, self._row, parsing.moment(frame[self._time_field]))


def _trades(category: Category, frame: Frame) -> list[Trade]:
    return [parsing.pushed_trade(category, row) for row in frame["data"]]


def _candles(category: Category, symbol: str, timeframe: str, frame: Frame) -> list[Candle]:
    return [parsing.pushed_candle(category, symbol, timeframe, row) for row in frame["data"]]


def _private_rows(parse: Callable[[Category, parsing.Row], Any], frame: Frame) -> list[Any] | None:
    """Rows of the categories we trade; the account's other products are not ours to follow."""
    rows = [parse(_CATEGORIES[row["category"]], row) for row in frame["data"] if row.get("category") in _CATEGORIES]
    return rows or None


def _wallets(frame: Frame) -> list[Wallet]:
    return [parsing.wallet(row) for row in frame["data"] if row.get("accountType", "UNIFIED") == "UNIFIED"]


def _each(callback: Callable[[Any], None]) -> Callable[[Sequence[Any]], None]:
    def call(values: Sequence[Any]) -> None:
        for value in values:
            callback(value)

    return call
