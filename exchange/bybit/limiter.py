"""Nobody asks the exchange more often than it allows: requests wait for their turn, exits before entries.

One limiter serves a whole gateway, on its event loop. A request that finds room goes on without a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from exchange.bybit.endpoints import ADDRESS_REQUESTS, ADDRESS_SECONDS, Endpoint
from exchange.bybit.limits import MARGIN_SECONDS, Allowance, Line, Turn
from exchange.protocol import RateUsage, RetryLater
from observability.logs import get_logger

log = get_logger(__name__)

TOO_MANY_VISITS = 10006
_SHUT_SECONDS = 1.0
_LEAST_SHUT_SECONDS, _LONGEST_SHUT_SECONDS = 0.2, 5.0  # our clock may be off from the one that names the reset
_ADDRESS_SHUT_SECONDS = 5.0


class RateLimiter:
    """``share`` is the part of every limit that this process may use; the others of the account have the rest."""

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._queues: dict[str, _Queue] = {}
        self._address = _Queue("address", Allowance(int(ADDRESS_REQUESTS * share), ADDRESS_SECONDS), reserves=True)

    async def turn(
        self, endpoint: Endpoint | None, *, until: float, symbol: str = "", urgent: bool = False, http: bool = True
    ) -> None:
        """Wait until the request may go, at most to ``until`` (``time.monotonic``): RetryLater then.

        ``endpoint`` None has no limit of its own. ``http``: it counts for the address as well (a socket's doesn't).
        """
        if http:
            await self._address.turn(Turn(symbol, urgent), until)
        if endpoint is not None:
            await self._queue(endpoint).turn(Turn(symbol, urgent), until)

    def learn(self, endpoint: Endpoint | None, headers: Mapping[str, str], code: int | None, sent: float) -> None:
        """Take in what an answer told of the limit. ``sent`` is when its request left (``time.monotonic``)."""
        if endpoint is None:
            return
        queue, now = self._queue(endpoint), time.monotonic()
        limit, remaining = _number(headers.get("X-Bapi-Limit")), _number(headers.get("X-Bapi-Limit-Status"))
        if code == TOO_MANY_VISITS:
            queue.refused += 1
            reset = _number(headers.get("X-Bapi-Limit-Reset-Timestamp"))
            wait = _SHUT_SECONDS if reset is None else reset / 1000 - datetime.now(UTC).timestamp() + MARGIN_SECONDS
            queue.line.allowance.shut(now + min(max(wait, _LEAST_SHUT_SECONDS), _LONGEST_SHUT_SECONDS))
            log.warning("too many requests", endpoint=endpoint.name, limit=limit, wait_seconds=round(wait, 3))
            remaining = None
        own = None if limit is None or limit <= 0 else max(int(limit * self._share), 1)
        # an answer that took long counts visits that are forgotten, and the others' share is not ours to count
        fresh = now - sent < queue.line.allowance.seconds / 2
        queue.line.allowance.learn(own, remaining if fresh and self._share == 1.0 else None, now)
        queue.serve()

    def address_refused(self) -> None:
        """The exchange turned our address away (403): all but urgent requests pause."""
        self._address.refused += 1
        self._address.pause_others(time.monotonic() + _ADDRESS_SHUT_SECONDS)
        log.error("the exchange turns this address away: too many requests", pause_seconds=_ADDRESS_SHUT_SECONDS)

    def usage(self) -> list[RateUsage]:
        """One reading an endpoint class that was used so far."""
        now = time.monotonic()
        queues = [self._address, *(self._queues[name] for name in sorted(self._queues))]
        return [
            RateUsage(
                name=queue.name,
                per_second=queue.line.allowance.limit / queue.per_seconds,
                available=queue.line.allowance.free(now),
                waiting=len(queue.line),
                refused=queue.refused,
            )
            for queue in queues
        ]

    def _queue(self, endpoint: Endpoint) -> _Queue:
        queue = self._queues.get(endpoint.name)
        if queue is None:
            allowance = Allowance(int(endpoint.per_second * self._share))
            queue = self._queues[endpoint.name] = _Queue(endpoint.name, allowance, endpoint.reserves)
        return queue


@dataclass(eq=False)
class _Waiting(Turn):
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Queue:
    """A line whose turns are awaited."""

    def __init__(self, name: str, allowance: Allowance, reserves: bool) -> None:
        self.name = name
        self.per_seconds = allowance.seconds
        self.refused = 0
        allowance.seconds += MARGIN_SECONDS
        self.line = Line(allowance, reserves)
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = 0.0

    async def turn(self, turn: Turn, until: float) -> None:
        now = time.monotonic()
        if not turn.urgent and now < self._paused_until:
            raise RetryLater(f"{self.name}: paused after too many requests, not sent")
        if self.line.at_once(turn, now):
            return
        waiting = _Waiting(turn.symbol, turn.urgent)
        self.line.wait(waiting)
        self.serve()
        try:
            async with asyncio.timeout(max(until - time.monotonic(), 0.0)):
                await waiting.done
        except TimeoutError:
            if not waiting.done.done() or waiting.done.cancelled():
                self.line.leave(waiting)
                raise RetryLater(f"{self.name}: no turn in time under the rate limit, not sent") from None
        except asyncio.CancelledError:
            self.line.leave(waiting)
            if waiting.done.done() and not waiting.done.cancelled():
                self.line.allowance.give_back(waiting.taken_at)
                self.serve()
            raise

    def pause_others(self, until: float) -> None:
        self._paused_until = until

    def serve(self) -> None:
        """Let everybody go who may, and come back when the next one may."""
        while True:
            now = time.monotonic()
            turn = self.line.next(now)
            if turn is None:
                break
            assert isinstance(turn, _Waiting)
            if turn.done.done():  # it was given up in this very moment
                self.line.allowance.give_back(turn.taken_at)
                continue
            turn.done.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        opens = self.line.opens_at(now)
        if opens is not None:
            self._timer = asyncio.get_running_loop().call_later(max(opens - now, 0.001), self.serve)


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
