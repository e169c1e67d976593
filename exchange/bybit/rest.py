"""REST calls: pybit on threads, errors sorted, orders never waiting behind queries.

pybit's client holds one ``requests.Session``, which is not safe to share. So each thread has a client of its own, with
its own kept-alive connection. Exits, other orders and queries have separate threads. pybit's own retries are off: they
hide the exchange's code and sleep, and retrying is decided above.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pybit.unified_trading import HTTP

from exchange.bybit.endpoints import Endpoint, endpoint_of
from exchange.bybit.errors import headers_of, sort_code, sort_failure
from exchange.bybit.limiter import RateLimiter
from exchange.protocol import ExchangeError, Mode, OutcomeUnknown, RetryLater
from observability.logs import get_logger

log = get_logger(__name__)

_WARM_UP_SECONDS = 5.0
_CONNECT_SECONDS = 1.5
_MARGIN_SECONDS = 1.0  # over the read timeout, so that the thread's own error is normally the one told
_MAX_PAGES = 1000
_KEEP_WARM_SECONDS = 5.0
TIME_REFUSED = 10002
_ADDRESS_STATUS, _ADDRESS_REFUSED = 403, 10018

Answer = dict[str, Any]


@dataclass(frozen=True)
class RestOptions:
    """``url`` replaces Bybit's address (paper mode). Timeouts in seconds, ``recv_window_ms`` in milliseconds.

    ``order_threads`` are those for exits, and as many again for all other orders.
    """

    mode: Mode
    key: str = field(repr=False)
    secret: str = field(repr=False)
    url: str | None
    recv_window_ms: int
    timeout_seconds: float
    order_threads: int
    query_threads: int


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came of a request that may have left: the answer or the error, and what its headers told."""

    answer: Answer | None
    error: ExchangeError | None
    headers: Mapping[str, str]
    http_status: int | None = None
    began_ns: int = 0
    """Wall time at which it went out."""
    took_ns: int = 0


class RestClient:
    """Calls pybit methods by name from the event loop. ``on_time_refused`` is called when a timestamp was (10002)."""

    def __init__(
        self, options: RestOptions, limiter: RateLimiter, on_time_refused: Callable[[], None] = lambda: None
    ) -> None:
        self._options = options
        self._limiter = limiter
        self._on_time_refused = on_time_refused
        self._clients = threading.local()
        self._opened: list[HTTP] = []
        self._exits = ThreadPoolExecutor(options.order_threads, thread_name_prefix="bybit-exit")
        self._orders = ThreadPoolExecutor(options.order_threads, thread_name_prefix="bybit-order")
        self._queries = ThreadPoolExecutor(options.query_threads, thread_name_prefix="bybit-query")
        self._warmth: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make every thread and its connection now, so that the first order pays for neither."""
        ready = await asyncio.gather(
            self._warm(self._exits, self._options.order_threads),
            self._warm(self._orders, self._options.order_threads),
            self._warm(self._queries, self._options.query_threads),
        )
        if not all(ready):
            log.warning("exchange not reachable yet", at=self._options.url or self._options.mode)
        self._warmth = asyncio.create_task(self._keep_warm())

    async def close(self) -> None:
        """End the threads; waits for a running call no longer than its own timeout."""
        if self._warmth is not None:
            self._warmth.cancel()
            await asyncio.gather(self._warmth, return_exceptions=True)
        pools = (self._exits, self._orders, self._queries)
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, pool.shutdown) for pool in pools))
        for client in self._opened:
            client.client.close()

    async def order(
        self, method: str, *, urgent: bool = False, not_after: datetime | None = None, **params: Any
    ) -> Answer:
        """Call an order method (place, cancel, ...) on the threads kept for orders. Raises the protocol's errors.

        ``urgent`` ones have threads of their own and the whole of the rate limit. After ``not_after`` (wall) nothing
        is signed or sent any more: RetryLater.
        """
        return await self._call(self._exits if urgent else self._orders, method, params, not_after, urgent=urgent)

    async def query(self, method: str, **params: Any) -> Answer:
        """Call any other method. Raises the protocol's errors."""
        return await self._call(self._queries, method, params)

    async def timed(self, method: str) -> tuple[Answer, int, int]:
        """(answer, when it went out by our clock, how long it took) in ns; waiting for its turn is in neither."""
        reply = await self._reply(self._queries, method, {})
        assert reply.answer is not None
        return reply.answer, reply.began_ns, reply.took_ns

    async def rows(self, method: str, **params: Any) -> list[dict[str, Any]]:
        """``result.list`` of every page, in the exchange's order, following ``nextPageCursor`` to its end."""
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(_MAX_PAGES):
            page = (await self.query(method, **params, cursor=cursor or None))["result"]
            found.extend(page["list"])
            following = page.get("nextPageCursor") or ""
            if not following or following == cursor or not page["list"]:
                return found
            cursor = following
        raise OutcomeUnknown(f"{method}: more than {_MAX_PAGES} pages")

    async def _call(
        self,
        pool: ThreadPoolExecutor,
        method: str,
        params: dict[str, Any],
        not_after: datetime | None = None,
        urgent: bool = False,
    ) -> Answer:
        answer = (await self._reply(pool, method, params, not_after, urgent)).answer
        assert answer is not None
        return answer

    async def _reply(
        self,
        pool: ThreadPoolExecutor,
        method: str,
        params: dict[str, Any],
        not_after: datetime | None = None,
        urgent: bool = False,
    ) -> _Reply:
        endpoint = endpoint_of(method, params.get("category"))
        until = latest(self._options.timeout_seconds, not_after)
        await self._limiter.turn(endpoint, until=until, symbol=params.get("symbol") or "", urgent=urgent)
        sent = time.monotonic()
        reply = await self._submit(pool, method, params, not_after)
        self._learn(endpoint, reply, sent)
        if reply.error is not None:
            raise reply.error
        return reply

    async def _submit(
        self, pool: ThreadPoolExecutor, method: str, params: dict[str, Any], not_after: datetime | None
    ) -> _Reply:
        try:
            job = pool.submit(self._send, method, params, not_after)
        except RuntimeError:
            raise RetryLater(f"{method}: this gateway is closed, not sent") from None
        waiter = asyncio.wrap_future(job)
        waiter.add_done_callback(mark_retrieved)
        try:
            async with asyncio.timeout(self._options.timeout_seconds + _MARGIN_SECONDS):
                return await asyncio.shield(waiter)
        except TimeoutError:
            if job.cancel():
                raise RetryLater(f"{method}: every connection busy, not sent") from None
            raise OutcomeUnknown(f"{method}: no answer in time") from None
        except asyncio.CancelledError:
            job.cancel()
            raise

    def _learn(self, endpoint: Endpoint | None, reply: _Reply, sent: float) -> None:
        code = reply.error.code if reply.error is not None else None
        self._limiter.learn(endpoint, reply.headers, code, sent)
        if reply.http_status == _ADDRESS_STATUS or code == _ADDRESS_REFUSED:
            self._limiter.address_refused()
        if code == TIME_REFUSED:
            self._on_time_refused()

    def _send(self, method: str, params: dict[str, Any], not_after: datetime | None = None) -> _Reply:
        client = self._client()
        if not_after is not None and datetime.now(UTC) > not_after:
            raise RetryLater(f"{method}: its time was over at {not_after.isoformat()}, not sent")
        began_ns, began = time.time_ns(), time.monotonic_ns()
        try:
            answer, _, headers = getattr(client, method)(**params)
        except Exception as failure:
            told, status = headers_of(failure)
            error = sort_failure(failure)
            error.__cause__ = failure
            return _Reply(None, error, told, status)
        code = answer.get("retCode") if isinstance(answer, dict) else None
        if not isinstance(code, int):
            return _Reply(None, OutcomeUnknown(f"{method}: an answer without retCode"), headers)
        if code != 0:
            return _Reply(None, sort_code(code, str(answer.get("retMsg"))), headers)
        return _Reply(answer, None, headers, None, began_ns, time.monotonic_ns() - began)

    def _client(self) -> HTTP:
        client: HTTP | None = getattr(self._clients, "http", None)
        if client is None:
            client = self._clients.http = self._new_client()
            self._opened.append(client)
        return client

    def _new_client(self) -> HTTP:
        options = self._options
        client = HTTP(
            testnet=options.mode == "testnet",
            demo=options.mode == "demo",
            api_key=options.key,
            api_secret=options.secret,
            recv_window=options.recv_window_ms,
            timeout=(min(_CONNECT_SECONDS, options.timeout_seconds), options.timeout_seconds),
            max_retries=1,
            return_response_headers=True,
        )
        client.retry_codes = set()  # type: ignore[assignment]  # given to the constructor, empty means its default
        if options.url is not None:
            client.endpoint = options.url
            client.client.trust_env = False  # a proxy of the environment is not the way to a local exchange
        return client

    async def _warm(self, pool: ThreadPoolExecutor, threads: int) -> bool:
        together = threading.Barrier(threads)  # holds each thread until all are there, else one would take all jobs

        def warm() -> None:
            together.wait(_WARM_UP_SECONDS)
            if (error := self._send("get_server_time", {}).error) is not None:
                raise error

        jobs = [asyncio.wrap_future(pool.submit(warm)) for _ in range(threads)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        return not any(isinstance(result, BaseException) for result in results)

    async def _keep_warm(self) -> None:
        """Use one order connection after the other, so that an exit after a quiet hour doesn't pay for a new one.

        One at a time: whatever happens to it, the other threads stay free for orders. Idle threads take turns.
        """
        while True:
            for pool in (self._exits, self._orders):
                await asyncio.sleep(_KEEP_WARM_SECONDS / 2)
                with contextlib.suppress(ExchangeError):
                    await self._call(pool, "get_server_time", {})


def latest(timeout_seconds: float, not_after: datetime | None) -> float:
    """The last instant (``time.monotonic``) at which it makes sense to send: one timeout from now, or ``not_after``."""
    left = timeout_seconds
    if not_after is not None:
        left = min(left, (not_after - datetime.now(UTC)).total_seconds())
    return time.monotonic() + left


def mark_retrieved(done: Future[Any] | asyncio.Future[Any]) -> None:
    """A caller that left early doesn't ask for the error, which is no reason for a warning."""
    if not done.cancelled():
        done.exception()


def windows(start_ms: int, end_ms: int, width_ms: int) -> Iterator[tuple[int, int]]:
    """[start, end] cut into inclusive stretches of ``width_ms`` milliseconds.

    The exchange refuses more than seven days (or a thousand candles) at once. The last stretch keeps its full width and
    so reaches past ``end``: what happens during the query is in it.
    """
    at = start_ms
    while at <= end_ms:
        yield at, at + width_ms - 1
        at += width_ms
