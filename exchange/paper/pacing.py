"""How often a topic is told: at once after a pause, then no more often than its pace, and its last state always."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_TURN_SECONDS = 0.05


class Pacer(Generic[T]):
    """Calls ``tell`` for topics that changed. What comes too soon waits, and is told once when its time has come."""

    def __init__(self, tell: Callable[[T], None]) -> None:
        self._tell = tell
        self._not_before: dict[T, float] = {}
        self._waiting: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def changed(self, topic: T, seconds: float) -> None:
        """Tell ``topic`` now, or ``seconds`` (of the wall) after it was last told."""
        if time.monotonic() >= self._not_before.get(topic, 0.0):
            self._tell_now(topic, seconds)
            return
        self._waiting[topic] = seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TURN_SECONDS, self._turn)

    def flush(self) -> None:
        """Tell all that waits."""
        for topic, seconds in list(self._waiting.items()):
            self._tell_now(topic, seconds)

    def forget(self, topic: T) -> None:
        """Nobody listens to ``topic`` any more."""
        self._waiting.pop(topic, None)
        self._not_before.pop(topic, None)

    def _turn(self) -> None:
        self._timer = None
        now = time.monotonic()
        for topic, seconds in list(self._waiting.items()):
            if now >= self._not_before.get(topic, 0.0):
                self._tell_now(topic, seconds)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_TURN_SECONDS, self._turn)

    def _tell_now(self, topic: T, seconds: float) -> None:
        self._waiting.pop(topic, None)
        self._not_before[topic] = time.monotonic() + seconds
        self._tell(topic)
