"""The real exchange's public side, heard and asked from a thread of its own.

One socket per category has trades, tickers and books of all symbols. A socket that says nothing for ten seconds is
given up; a new one is tried at once, then with pauses that double up to ten seconds. After every connect the last
trades are asked for by REST, and told before those of the socket that came meanwhile, so that nothing is missed
that the exchange still lists. What is heard is put on ``heard`` in the order it is to be told.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from domain.market import Category
from exchange.paper.feeds.shadow_wire import Book, Name, Row, UpstreamTrade, listed_trade, stream_trade

SILENT_SECONDS = 10.0
ASK_SECONDS = 3.0
_REST_AFTER_TIMEOUT, _REST_AFTER_ERROR = 30.0, 2.0
_PING_SECONDS = 4.0
_LONGEST_PAUSE = 10.0
_TOPICS_A_REQUEST = 10
_RECENT = {Category.SPOT: 60, Category.LINEAR: 1000}
_BOOKS = ("orderbook.50", "orderbook.1")  # the second where the first is refused
HOSTS = {"live": "https://api.bybit.com", "testnet": "https://api-testnet.bybit.com"}

log = logging.getLogger(__name__)


class UpstreamSilent(Exception):
    """The real exchange did not answer; the message says what was asked."""


class UpstreamRefused(UpstreamSilent):
    """The real exchange answered that it won't; the message has its reason."""


@dataclass(frozen=True, slots=True)
class Recent:
    """The last trades of a symbol, oldest first: what came since the socket was last heard is among them."""

    name: Name
    trades: tuple[UpstreamTrade, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """A category is heard again, all of what it missed is told before this."""

    category: Category


@dataclass(frozen=True, slots=True)
class Cut:
    """A category is no longer heard."""

    category: Category


Heard = UpstreamTrade | Recent | Resumed | Cut


class Upstream:
    """Listens to ``symbols`` at ``url`` (REST's; ``live`` and ``testnet`` are Bybit's) from ``start`` to ``close``.

    ``heard`` is a queue for one reader. ``tickers`` and ``books`` are what the sockets last said.
    """

    def __init__(self, url: str) -> None:
        self.url = HOSTS.get(url, url).rstrip("/")
        self.heard: deque[Heard] = deque()
        self.tickers: dict[Name, dict[str, Any]] = {}
        self.books: dict[Name, Book] = {}
        self.resumed = {category: threading.Event() for category in Category}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="shadow-upstream", daemon=True)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=ASK_SECONDS)
        self._waiting: dict[Name, list[UpstreamTrade]] = {}
        self._asking_again_at = 0.0
        self._thread.start()

    def start(self, symbols: Mapping[Category, Sequence[str]]) -> None:
        """Begin to listen."""
        for category, names in symbols.items():
            if names:
                asyncio.run_coroutine_threadsafe(self._listen(category, names), self._loop)

    def ask(self, path: str, **params: Any) -> Row:
        """The ``result`` of ``GET /v5/market/<path>``.

        Raises UpstreamSilent; then again without asking for a while, so that a silent exchange doesn't hold up ours.
        """
        if time.monotonic() < self._asking_again_at:
            raise UpstreamSilent(f"{path}: {self.url} did not answer a moment ago")
        future = asyncio.run_coroutine_threadsafe(self._ask(path, params), self._loop)
        try:
            return future.result(ASK_SECONDS + 1)
        except TimeoutError:
            future.cancel()
            self._asking_again_at = time.monotonic() + _REST_AFTER_TIMEOUT
            raise UpstreamSilent(f"{path}: {self.url} did not answer within {ASK_SECONDS:g} s") from None
        except httpx.HTTPError as error:
            timed_out = isinstance(error, httpx.TimeoutException)
            self._asking_again_at = time.monotonic() + (_REST_AFTER_TIMEOUT if timed_out else _REST_AFTER_ERROR)
            raise UpstreamSilent(f"{path}: {self.url}: {error or type(error).__name__}") from None

    def close(self) -> None:
        """Stop listening and asking."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._http.aclose())
        self._loop.close()

    def _stop(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        asyncio.gather(*tasks, return_exceptions=True).add_done_callback(lambda _: self._loop.stop())

    async def _ask(self, path: str, params: Mapping[str, Any]) -> Row:
        answer = await self._http.get(f"/v5/market/{path}", params={k: v for k, v in params.items() if v is not None})
        answer.raise_for_status()
        try:
            told = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            raise UpstreamSilent(f"{path}: {self.url} answers something else than JSON") from None
        if told["retCode"] != 0:
            raise UpstreamRefused(f"{path}: {self.url} refused: {told['retCode']} {told['retMsg']}")
        return told["result"]

    async def _listen(self, category: Category, symbols: Sequence[str]) -> None:
        pause = 0.0
        while True:
            begun = time.monotonic()
            try:
                await self._session(category, symbols)
            except (OSError, TimeoutError, WebSocketException, httpx.HTTPError, UpstreamSilent) as error:
                log.warning("%s of %s is silent: %s", category, self.url, error or type(error).__name__)
            except Exception:
                log.exception("%s of %s said what can't be understood", category, self.url)
            self.resumed[category].clear()
            self.heard.append(Cut(category))
            lasted = time.monotonic() - begun
            pause = 0.0 if lasted > SILENT_SECONDS + 1 else min(max(2 * pause, 0.25), _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _session(self, category: Category, symbols: Sequence[str]) -> None:
        """One socket's life."""
        for symbol in symbols:
            self._waiting[category, symbol] = []
        async with connect(f"{_socket_url(self.url)}/v5/public/{category}", max_size=None, open_timeout=5) as socket:
            await self._subscribe(socket, symbols, _BOOKS[0])
            tasks = [asyncio.create_task(part) for part in (self._ping(socket), self._fill(category, symbols))]
            try:
                while True:
                    async with asyncio.timeout(SILENT_SECONDS):
                        text = await socket.recv()
                    message = orjson.loads(text)
                    if "topic" in message:
                        self._take(category, message)
                    elif message.get("success") is False and message.get("req_id") == _BOOKS[0]:
                        await self._send_topics(socket, _BOOKS[1], [f"{_BOOKS[1]}.{symbol}" for symbol in symbols])
                    for task in tasks:
                        if task.done():
                            task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe(self, socket: ClientConnection, symbols: Sequence[str], book: str) -> None:
        for kind in ("publicTrade", "tickers", book):
            await self._send_topics(socket, kind, [f"{kind}.{symbol}" for symbol in symbols])

    async def _send_topics(self, socket: ClientConnection, request: str, topics: Sequence[str]) -> None:
        for begin in range(0, len(topics), _TOPICS_A_REQUEST):
            args = topics[begin : begin + _TOPICS_A_REQUEST]
            await socket.send(orjson.dumps({"op": "subscribe", "req_id": request, "args": args}).decode())

    async def _ping(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            await socket.send('{"op":"ping"}')

    async def _fill(self, category: Category, symbols: Sequence[str]) -> None:
        """Tell what was traded since the last socket, then what this one has told so far."""
        for symbol in symbols:
            params = {"category": category.value, "symbol": symbol, "limit": _RECENT[category]}
            rows = (await self._ask("recent-trade", params))["list"]
            listed = tuple(listed_trade(category, row) for row in reversed(rows))
            self.heard.append(Recent((category, symbol), listed))
            self.heard.extend(self._waiting.pop((category, symbol), ()))
        self.heard.append(Resumed(category))
        self.resumed[category].set()

    def _take(self, category: Category, message: Row) -> None:
        kind, _, rest = message["topic"].partition(".")
        data, snapshot = message["data"], message.get("type") != "delta"
        if kind == "publicTrade":
            for row in data:
                trade = stream_trade(category, row)
                waiting = self._waiting.get(trade.name)
                (self.heard if waiting is None else waiting).append(trade)
        elif kind == "tickers":
            known = {} if snapshot else self.tickers.get((category, rest), {})
            self.tickers[category, rest] = {**known, **data}
        elif kind == "orderbook":
            name = category, rest.rpartition(".")[2]
            book = Book.empty() if snapshot else self.books.get(name, Book.empty())
            self.books[name] = book.after(data)


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc
    if host.startswith("api") and host.endswith(".bybit.com"):
        host = f"stream{host.removeprefix('api')}"
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{host}"
