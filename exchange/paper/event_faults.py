"""Between what happens to the account and who listens: messages told twice, late, in another order or not at all.

The fault happens to the message, once, so that every socket hears the same.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from exchange.paper.fault_rules import Fault
from exchange.paper.faults import Faults

REORDER_WITHIN_MS = 200


class Told(NamedTuple):
    """A message of a private topic: its rows."""

    topic: str
    rows: list[dict[str, Any]]


class EventFaults:
    """Hands each message to ``tell``, unless a fault has other plans. Made and used on one event loop."""

    def __init__(self, faults: Faults, tell: Callable[[Told], None]) -> None:
        self._faults = faults
        self._tell = tell
        self._mixing: Fault | None = None
        self._mixed: list[Told] = []
        self._late: deque[tuple[float, Told]] = deque()
        self._late_timer: asyncio.TimerHandle | None = None
        self._mix_timer: asyncio.TimerHandle | None = None

    def pass_on(self, message: Told) -> None:
        """Tell it now or later."""
        if not self._faults.any_of_events and self._mixing is None and not self._late:
            self._tell(message)
            return
        for copy in self._copies(message):
            self._mix(copy)

    def _take(self, kind: str, message: Told) -> Fault | None:
        fields = [{name: str(value) for name, value in row.items()} for row in message.rows]
        return self._faults.take_event(kind, message.topic, fields)

    def _copies(self, message: Told) -> Iterator[Told]:
        if self._take("lost_events", message) is not None:
            return
        yield message
        if self._take("duplicated_events", message) is not None:
            yield message

    def _mix(self, message: Told) -> None:
        if self._mixing is None:
            self._mixing = self._take("reordered_events", message)
            if self._mixing is None:
                self._delay(message)
                return
            within = self._mixing.spec.delay_ms or REORDER_WITHIN_MS
            self._mix_timer = asyncio.get_running_loop().call_later(within / 1000, self._mixed_up)
        self._mixed.append(message)
        if len(self._mixed) >= self._mixing.spec.window:
            self._mixed_up()

    def _mixed_up(self) -> None:
        """Tell what was gathered, in any order but the one it came in."""
        assert self._mixing is not None
        assert self._mix_timer is not None
        self._mix_timer.cancel()
        gathered, chance = self._mixed, self._mixing.chance
        self._mixing, self._mixed = None, []
        for number in _another_order(len(gathered), chance):
            self._delay(gathered[number])

    def _delay(self, message: Told) -> None:
        fault = self._take("delayed_events", message)
        if fault is None and not self._late:
            self._tell(message)
            return
        now = asyncio.get_running_loop().time()
        due = now + (fault.spec.delay_ms / 1000 if fault is not None else 0.0)
        # what comes after a late message waits behind it: late is another fault than out of order
        self._late.append((max(due, self._late[-1][0] if self._late else due), message))
        if self._late_timer is None:
            self._wait()

    def _wait(self) -> None:
        self._late_timer = asyncio.get_running_loop().call_at(self._late[0][0], self._tell_late)

    def _tell_late(self) -> None:
        self._late_timer = None
        now = asyncio.get_running_loop().time()
        while self._late and self._late[0][0] <= now + 0.001:
            self._tell(self._late.popleft()[1])
        if self._late:
            self._wait()


def _another_order(count: int, chance: random.Random) -> list[int]:
    order = list(range(count))
    chance.shuffle(order)
    return order if order != sorted(order) else order[::-1]
