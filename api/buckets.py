"""Token buckets: how often one caller may ask."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Level:
    tokens: float
    at: float


class Buckets:
    """A bucket a name: ``burst`` at once, refilled at ``per_second``. Times are monotonic seconds, given by the caller.

    Keeps the most recently used ``capacity`` names, so that many senders can't fill the memory.
    """

    def __init__(self, per_second: float, burst: float, capacity: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._capacity = capacity
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def wait(self, name: str, now: float) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        level = self._levels.get(name)
        if level is None:
            level = self._levels[name] = _Level(self._burst, now)
            if len(self._levels) > self._capacity:
                self._levels.popitem(last=False)
        self._levels.move_to_end(name)
        level.tokens = min(self._burst, level.tokens + max(now - level.at, 0.0) * self._per_second)
        level.at = now
        if level.tokens < 1:
            return (1 - level.tokens) / self._per_second
        level.tokens -= 1
        return 0.0
