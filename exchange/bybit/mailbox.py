"""From reader threads to the event loop: in order, in batches, and no subscriber can hurt another."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from exchange.protocol import StreamGap
from observability.logs import get_logger

log = get_logger(__name__)

_AT_ONCE = 256  # callbacks per turn of the loop, so that a burst doesn't starve everything else

Callback = Callable[[Any], None]


class Mailbox:
    """Calls callbacks on one event loop. ``post`` may be called from any thread, each wakes the loop at most once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[Subscriber, Callback, Any]] = deque()
        self._lock = threading.Lock()
        self._awake = False

    def post(self, subscriber: Subscriber, callback: Callback, value: Any) -> None:
        with self._lock:
            self._waiting.append((subscriber, callback, value))
            if self._awake:
                return
            self._awake = True
        try:
            self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._waiting.clear()

    def _drain(self) -> None:
        for _ in range(_AT_ONCE):
            with self._lock:
                if not self._waiting:
                    self._awake = False
                    return
                subscriber, callback, value = self._waiting.popleft()
            if subscriber.closed:
                continue
            try:
                callback(value)
            except Exception:
                log.exception("stream subscriber failed", stream=subscriber.name)
        self.loop.call_soon(self._drain)


class Subscriber:
    """One subscription: its callbacks, and whether it missed something. ``name`` is for logs and gaps.

    ``lost_at`` and the ``topics_*`` methods belong to the channel that feeds it and are called under its lock.
    """

    def __init__(self, name: str, mailbox: Mailbox, on_gap: Callable[[StreamGap], None], topics: set[str]) -> None:
        self.name = name
        self.closed = False
        self.lost_at: datetime | None = None
        self._mailbox = mailbox
        self._on_gap = on_gap
        self._awaited = set(topics)
        self._topics = frozenset(topics)
        self._live = asyncio.Event()

    def post(self, callback: Callback, value: Any) -> None:
        """Have ``callback(value)`` called on the subscriber's loop, after everything posted before."""
        self._mailbox.post(self, callback, value)

    def topic_live(self, topic: str, now: datetime) -> None:
        """The exchange serves ``topic``: tell a gap that is open, and whoever waits for the start."""
        if self.lost_at is not None:
            self.post(self._on_gap, StreamGap(stream=self.name, lost_at=self.lost_at, back_at=now))
            self.lost_at = None
        self.post(self._mark_live, topic)

    def topics_lost(self, lost_at: datetime) -> None:
        """The connection broke; the earliest unreported loss is what counts."""
        self.lost_at = self.lost_at or lost_at
        self.post(self._mark_lost, None)

    async def wait_live(self, timeout: float | None = None) -> bool:
        """Wait until the exchange serves every topic of this; False when ``timeout`` seconds pass first."""
        try:
            async with asyncio.timeout(timeout):
                await self._live.wait()
        except TimeoutError:
            return False
        return True

    def _mark_live(self, topic: str) -> None:
        self._awaited.discard(topic)
        if not self._awaited:
            self._live.set()

    def _mark_lost(self, _nothing: None) -> None:
        self._awaited = set(self._topics)
        self._live.clear()
