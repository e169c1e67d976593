"""REST calls: pybit on threads, errors sorted, orders never waiting behind queries.

pybit's client holds one ``requests.Session``, which is not safe to share. So each thread has a client of its own, with
its own kept-alive connection. Orders and queries have separate threads. pybit's own retries are off: they hide the
exchange's code and sleep, and retrying is decided above.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pybit.unified_trading import HTTP

from exchange.bybit.errors import sort_code, sort_failure
from exchange.protocol import ExchangeError, Mode, OutcomeUnknown, RetryLater
from observability.logs import get_logger

log = get_logger(__name__)

_WARM_UP_SECONDS = 5.0
_CONNECT_SECONDS = 1.5
_MARGIN_SECONDS = 1.0  # over the read timeout, so that the thread's own error is normally the one told
_MAX_PAGES = 1000
_KEEP_WARM_SECONDS = 5.0

Answer = dict[str, Any]


@dataclass(frozen=True)
class RestOptions:
    """``url`` replaces Bybit's address (paper mode). Timeouts in seconds, ``recv_window_ms`` in milliseconds."""

    mode: Mode
    key: str = field(repr=False)
    secret: str = field(repr=False)
    url: str | None
    recv_window_ms: int
    timeout_seconds: float
    order_threads: int
    query_threads: int


class RestClient:
    """Calls pybit methods by name from the event loop."""

    def __init__(self, options: RestOptions) -> None:
        self._options = options
        self._clients = threading.local()
        self._opened: list[HTTP] = []
        self._orders = ThreadPoolExecutor(options.order_threads, thread_name_prefix="bybit-order")
        self._queries = ThreadPoolExecutor(options.query_threads, thread_name_prefix="bybit-query")
        self._warmth: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make every thread and its connection now, so that the first order pays for neither."""
        ready = await asyncio.gather(
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
        for pool in (self._orders, self._queries):
            pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self._join)
        for client in self._opened:
            client.client.close()

    async def order(self, method: str, *, not_after: datetime | None = None, **params: Any) -> Answer:
        """Call an order method (place, cancel, ...) on the threads kept for orders. Raises the protocol's errors.

        After ``not_after`` (wall) nothing is signed or sent any more: RetryLater.
        """
        return await self._call(self._orders, method, params, not_after)

    async def query(self, method: str, **params: Any) -> Answer:
        """Call any other method. Raises the protocol's errors."""
        return await self._call(self._queries, method, params)

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
        self, pool: ThreadPoolExecutor, method: str, params: dict[str, Any], not_after: datetime | None = None
    ) -> Answer:
        try:
            job = pool.submit(self._send, method, params, not_after)
        except RuntimeError:
            raise RetryLater(f"{method}: this gateway is closed, not sent") from None
        waiter = asyncio.wrap_future(job)
        waiter.add_done_callback(_mark_retrieved)
        try:
            return await asyncio.wait_for(asyncio.shield(waiter), self._options.timeout_seconds + _MARGIN_SECONDS)
        except TimeoutError:
            if job.cancel():
                raise RetryLater(f"{method}: every connection busy, not sent") from None
            raise OutcomeUnknown(f"{method}: no answer in time") from None
        except asyncio.CancelledError:
            job.cancel()
            raise

    def _send(self, method: str, params: dict[str, Any], not_after: datetime | None = None) -> Answer:
        client = self._client()
        if not_after is not None and datetime.now(UTC) > not_after:
            raise RetryLater(f"{method}: its time was over at {not_after.isoformat()}, not sent")
        try:
            answer = getattr(client, method)(**params)
        except Exception as failure:
            raise sort_failure(failure) from failure
        code = answer.get("retCode") if isinstance(answer, dict) else None
        if not isinstance(code, int):
            raise OutcomeUnknown(f"{method}: an answer without retCode")
        if code != 0:
            raise sort_code(code, str(answer.get("retMsg")))
        return answer

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
            self._send("get_server_time", {})

        jobs = [asyncio.wrap_future(pool.submit(warm)) for _ in range(threads)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        return not any(isinstance(result, BaseException) for result in results)

    async def _keep_warm(self) -> None:
        """Use one order connection after the other, so that an exit after a quiet hour doesn't pay for a new one.

        One at a time: whatever happens to it, the other threads stay free for orders. Idle threads take turns.
        """
        while True:
            await asyncio.sleep(_KEEP_WARM_SECONDS)
            with contextlib.suppress(ExchangeError):
                await self._call(self._orders, "get_server_time", {})

    def _join(self) -> None:
        for pool in (self._orders, self._queries):
            pool.shutdown(wait=True)


def _mark_retrieved(done: Future[Answer] | asyncio.Future[Answer]) -> None:
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
