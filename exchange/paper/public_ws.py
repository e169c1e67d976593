"""The public sockets ``/v5/public/spot`` and ``/v5/public/linear``: trades, tickers, order books and candles.

``PublicHub.publish`` tells a stretch of the market: all trades at once, then tickers, books and candles. Every trade
and every closed candle is told; tickers, deep books and forming candles no more often than their pace, but their last
state always. What changes without a trade (a book's depth, a funding rate) is looked for as a minute of the market
ends, though not more often than each second. A message is encoded once per topic however many listen. It never waits:
each socket has its own queue, and one too slow is closed.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.depth_stream import DEPTH_SECONDS, DepthStream, Told
from exchange.paper.feed import Feed, Tick
from exchange.paper.forming_candle import FormingCandle
from exchange.paper.market_series import INTERVALS
from exchange.paper.pacing import Pacer
from exchange.paper.public_socket import PublicSocket
from exchange.paper.quotes import QuoteBoard, Row, trade_id
from exchange.paper.wire import number, to_millis

if TYPE_CHECKING:
    from exchange.paper.clock import MarketClockKeeper
    from exchange.paper.venue import Venue

_MOST_TRADES = 1024
# of the wall, whatever the market's speed: about as often as Bybit tells them
_TICKER_SECONDS = 0.1
_FORMING_SECONDS = 0.25
_SWEEP_SECONDS = 1.0

_DEPTHS = {Category.SPOT: ("1", "50", "200", "1000"), Category.LINEAR: ("1", "50", "200", "500", "1000")}

Name = tuple[Category, str]
Topic = tuple[Category, str]  # a category and the topic as the client wrote it


def public_sockets(venue: Venue) -> list[WebSocketRoute]:
    """The public socket routes of ``venue``."""

    def endpoint(category: Category) -> Any:
        async def serve(websocket: WebSocket) -> None:
            await venue.hub.serve(websocket, category)

        return serve

    return [WebSocketRoute(f"/v5/public/{category}", endpoint(category)) for category in Category]


class PublicHub:
    """Everything told on the public sockets of one market; ``position`` is the market instant told so far."""

    def __init__(self, feed: Feed, clock: MarketClockKeeper) -> None:
        self.board = QuoteBoard(feed)
        self.position = clock.now()
        self._feed = feed
        self._listeners: dict[Topic, set[PublicSocket]] = {}
        self._sockets: set[PublicSocket] = set()
        self._candles: dict[Topic, FormingCandle] = {}
        self._told_tickers: dict[Topic, Row] = {}
        self._books: dict[Topic, DepthStream] = {}
        self._book_updates: dict[Topic, int] = {}
        self._swept_at = 0.0
        self._swept_minute = self.position
        self._pacer: Pacer[Topic] = Pacer(self._tell_state)
        self._untold: list[tuple[dict[Name, list[Tick]], datetime]] = []
        self._waiting: list[tuple[datetime, asyncio.Future[int]]] = []

    def publish(self, ticks: Sequence[Tick], now: datetime) -> None:
        """Tell the trades up to ``now`` and what they changed. Call it without trades too: candles close anyway."""
        begun_ns = time.time_ns()
        self.position = now
        by_name: defaultdict[Name, list[Tick]] = defaultdict(list)
        for tick in ticks:
            by_name[tick.category, tick.symbol].append(tick)
        for name, trades in by_name.items():
            self._tell_trades(name, trades)
        self._resolve(begun_ns)
        if not self._untold:
            asyncio.get_running_loop().call_soon(self._tell_rest)
        self._untold.append((by_name, now))

    def tell_all(self) -> None:
        """Tell at once what else would come later: the market stands still after this."""
        self._tell_rest()
        self._sweep()
        self._pacer.flush()

    def book_update(self, category: Category, symbol: str) -> int:
        """Number of the last message of a symbol's deepest book: the "u" that REST tells, 1 before any."""
        topic = category, f"orderbook.1000.{symbol}"
        return max(self._book_updates.get(topic, 0), 1)

    def _tell_rest(self) -> None:
        """Tell what the trades changed: a turn of the loop later, when the trades are on their way."""
        untold, self._untold = self._untold, []
        for by_name, now in untold:
            for name in by_name:
                self._quotes_moved(*name)
            for topic, candle in self._candles.items():
                for row in candle.step(by_name.get(candle.name, ()), now):
                    self._tell(topic, self._message(topic[1], "snapshot", [row]))
                if candle.moved:
                    self._pacer.changed(topic, _FORMING_SECONDS)
        for category, symbol, _ in self.board.taken():
            self._book_moved(category, symbol)
        if self._swept_minute != _minute(self.position) and time.monotonic() - self._swept_at >= _SWEEP_SECONDS:
            self._sweep()

    def _quotes_moved(self, category: Category, symbol: str) -> None:
        """A symbol traded: its ticker and books are to be told, and what its price is the index of."""
        self._ticker_moved((category, f"tickers.{symbol}"))
        if category is Category.SPOT:
            self._ticker_moved((Category.LINEAR, f"tickers.{symbol}"))
        self._book_moved(category, symbol)

    def _ticker_moved(self, topic: Topic) -> None:
        if topic in self._listeners:
            self._pacer.changed(topic, _TICKER_SECONDS)

    def _book_moved(self, category: Category, symbol: str) -> None:
        for depth in _DEPTHS[category]:
            topic = category, f"orderbook.{depth}.{symbol}"
            if topic in self._listeners:
                self._pacer.changed(topic, DEPTH_SECONDS[int(depth)])

    def _sweep(self) -> None:
        """Tell what changed without a trade."""
        self._swept_at, self._swept_minute = time.monotonic(), _minute(self.position)
        for topic in self._told_tickers:
            self._pacer.changed(topic, _TICKER_SECONDS)
        for topic, stream in self._books.items():
            self._pacer.changed(topic, DEPTH_SECONDS[stream.depth])

    def _tell_state(self, topic: Topic) -> None:
        """Tell a ticker, a book or a forming candle as it now is."""
        kind = topic[1].partition(".")[0]
        if kind == "tickers":
            self._tell_ticker(topic)
        elif kind == "orderbook":
            self._tell_book(topic)
        elif (candle := self._candles.get(topic)) is not None and (row := candle.forming()) is not None:
            self._tell(topic, self._message(topic[1], "snapshot", [row]))

    def published(self, instant: datetime) -> asyncio.Future[int]:
        """The next publication that tells the market up to ``instant``: the wall time (ns) at which it began."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((instant, future))
        return future

    async def serve(self, websocket: WebSocket, category: Category) -> None:
        """Serve one socket until it ends."""
        await websocket.accept()
        socket = PublicSocket(websocket, category, self)
        self._sockets.add(socket)
        try:
            await socket.run()
        finally:
            self._sockets.discard(socket)
            for topic in list(self._listeners):
                self._leave(topic, socket)

    def unknown(self, category: Category, topics: Iterable[str]) -> list[str]:
        """Those of ``topics`` that this market does not have."""
        return [topic for topic in topics if not self._known(category, topic)]

    def join(self, category: Category, names: Iterable[str], socket: PublicSocket) -> None:
        """Subscribe a socket from here on; it is told at once what the topics' later messages build on."""
        self._tell_rest()  # a new candle or ticker begins with what was published, not with it once more
        for text in names:
            topic = category, text
            listeners = self._listeners.setdefault(topic, set())
            if socket in listeners:
                continue
            listeners.add(socket)
            self._begin(topic, socket)

    def _begin(self, topic: Topic, socket: PublicSocket) -> None:
        category, text = topic
        kind, _, rest = text.partition(".")
        detail, _, symbol = rest.rpartition(".")
        if kind == "kline" and topic not in self._candles:
            self._candles[topic] = FormingCandle(self._feed, (category, symbol), INTERVALS[detail], self.position)
        elif kind == "tickers":
            row = self._told_tickers.get(topic) or self.board.ticker(category, symbol, self.position)
            self._told_tickers[topic] = row
            socket.send(self._message(text, "snapshot", row, cs=to_millis(self.position)))
        elif kind == "orderbook":
            stream = self._books.get(topic)
            if stream is not None:
                socket.send(self._book_message(text, stream.repeated()))
                return
            stream = self._books[topic] = DepthStream(symbol, int(detail), self._book_updates.get(topic, 0))
            book = self.board.book(category, symbol, self.position, stream.depth)
            socket.send(self._book_message(text, stream.snapshot(book, self.position)))
            self._book_updates[topic] = stream.update

    def leave(self, category: Category, names: Iterable[str], socket: PublicSocket) -> None:
        """Unsubscribe a socket from topics."""
        for text in names:
            self._leave((category, text), socket)

    def _leave(self, topic: Topic, socket: PublicSocket) -> None:
        listeners = self._listeners.get(topic)
        if listeners is None:
            return
        listeners.discard(socket)
        if not listeners:  # what is kept for a topic's next message goes with its last listener
            del self._listeners[topic]
            self._candles.pop(topic, None)
            self._told_tickers.pop(topic, None)
            self._books.pop(topic, None)
            self._pacer.forget(topic)

    def _known(self, category: Category, topic: str) -> bool:
        match topic.split("."):
            case ["tickers" | "publicTrade", symbol]:
                pass
            case ["kline", interval, symbol] if interval in INTERVALS:
                pass
            case ["orderbook", depth, symbol] if depth in _DEPTHS[category]:
                pass
            case ["liquidation" | "allLiquidation", symbol] if category is Category.LINEAR:
                pass  # nobody but the account is ever liquidated here, and Bybit does not tell whose it was
            case _:
                return False
        return (category, symbol) in self.board.instruments

    def _tell(self, topic: Topic, message: str) -> None:
        for socket in self._listeners.get(topic, ()):
            socket.send(message)

    def _tell_trades(self, name: Name, trades: Sequence[Tick]) -> None:
        topic = name[0], f"publicTrade.{name[1]}"
        if topic not in self._listeners:
            return
        for begin in range(0, len(trades), _MOST_TRADES):
            rows = [_trade(tick) for tick in trades[begin : begin + _MOST_TRADES]]
            self._tell(topic, self._message(topic[1], "snapshot", rows))

    def _tell_ticker(self, topic: Topic) -> None:
        category, symbol = topic[0], topic[1].partition(".")[2]
        row, told = self.board.ticker(category, symbol, self.position), self._told_tickers.get(topic)
        self._told_tickers[topic] = row
        if row == told:
            return
        sequence = to_millis(self.position)
        if category is Category.SPOT or told is None:
            self._tell(topic, self._message(topic[1], "snapshot", row, cs=sequence))
            return
        changed = {key: value for key, value in row.items() if told.get(key) != value}
        self._tell(topic, self._message(topic[1], "delta", {"symbol": symbol, **changed}, cs=sequence))

    def _tell_book(self, topic: Topic) -> None:
        stream = self._books[topic]
        symbol = topic[1].rpartition(".")[2]
        told = stream.changes(self.board.book(topic[0], symbol, self.position, stream.depth), self.position)
        if told is not None:
            self._book_updates[topic] = stream.update
            self._tell(topic, self._book_message(topic[1], told))

    def _book_message(self, topic: str, told: Told) -> str:
        kind, data, cts = told
        return self._message(topic, kind, data, cts=cts)

    def _message(self, topic: str, kind: str, data: Any, **extra: int) -> str:
        wall_ms = time.time_ns() // 1_000_000
        return orjson.dumps({"topic": topic, "type": kind, "ts": wall_ms, **extra, "data": data}).decode()

    def _resolve(self, begun_ns: int) -> None:
        if not self._waiting:
            return
        for instant, future in self._waiting:
            if instant <= self.position and not future.done():
                future.set_result(begun_ns)
        self._waiting = [(instant, future) for instant, future in self._waiting if not future.done()]


def _minute(instant: datetime) -> datetime:
    return Timeframe.M1.floor(instant)


def _trade(tick: Tick) -> Row:
    return {
        "T": to_millis(tick.at),
        "s": tick.symbol,
        "S": tick.side.value,
        "v": number(tick.qty),
        "p": number(tick.price),
        "L": "PlusTick" if tick.side == "Buy" else "MinusTick",
        "i": trade_id(tick),
        "BT": False,
        "RPI": False,
        "seq": tick.sequence,
    }
