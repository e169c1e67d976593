"""Rate limits as bookkeeping: how many requests may go now, and whose turn it is. Pure: time is an argument.

Bybit counts requests in a rolling second per endpoint and account. An ``Allowance`` is that count as we know it, a
``Line`` those that wait for it: exits first and never behind an entry, one symbol after the other; entries leave some
of the allowance to the exits that may come.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict, deque
from dataclasses import dataclass

MARGIN_SECONDS = 0.05
"""Over the exchange's window: two requests may arrive closer together than they were sent."""
RESERVED_SHARE = 0.3
_LEAST_RESERVED = 2


class Allowance:
    """At most ``limit`` requests in any ``seconds`` (wall, any clock that doesn't go back)."""

    def __init__(self, limit: int, seconds: float = 1.0) -> None:
        self.limit = max(limit, 1)
        self.seconds = seconds
        self._taken: deque[float] = deque()
        self._shut_until = -math.inf

    def free(self, now: float) -> int:
        """How many may go now."""
        self._forget(now)
        return 0 if now < self._shut_until else max(self.limit - len(self._taken), 0)

    def take(self, now: float) -> None:
        self._taken.append(now)

    def give_back(self, taken_at: float) -> None:
        """The request that was counted then is not sent after all."""
        with contextlib.suppress(ValueError):
            self._taken.remove(taken_at)

    def opens_at(self, now: float, spare: int = 0) -> float:
        """When more than ``spare`` are free, if nothing else is taken until then."""
        self._forget(now)
        too_many = len(self._taken) - (self.limit - spare - 1)
        freed = self._taken[too_many - 1] + self.seconds if too_many > 0 else now
        return max(freed, self._shut_until, now)

    def learn(self, limit: int | None, remaining: int | None, now: float) -> None:
        """What the exchange told with an answer. Fewer remaining than we think: others use the account as well."""
        if limit is not None:
            self.limit = max(limit, 1)
        if remaining is not None:
            self._forget(now)
            self._taken.extend([now] * min(self.limit - len(self._taken) - remaining, self.limit))

    def shut(self, until: float) -> None:
        """Nothing goes before ``until``: the exchange said that it was too much."""
        self._shut_until = max(self._shut_until, until)

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0] + self.seconds <= now:
            self._taken.popleft()


@dataclass(eq=False)
class Turn:
    """One request that wants to go. ``urgent`` ones (exits, stops, cancels) may use the whole allowance.

    ``taken_at`` is when it was counted, once it may go.
    """

    symbol: str = ""
    urgent: bool = False
    taken_at: float = 0.0


class Line:
    """Those who wait for one allowance. ``reserves``: others than urgent ones leave a part of it unused."""

    def __init__(self, allowance: Allowance, reserves: bool) -> None:
        self.allowance = allowance
        self._reserves = reserves
        self._urgent: OrderedDict[str, deque[Turn]] = OrderedDict()  # by symbol; the first is whose turn it is
        self._others: deque[Turn] = deque()

    def __len__(self) -> int:
        return sum(len(turns) for turns in self._urgent.values()) + len(self._others)

    @property
    def reserved(self) -> int:
        """How many of the allowance are kept for urgent requests (never all of them)."""
        if not self._reserves:
            return 0
        wanted = max(_LEAST_RESERVED, math.ceil(self.allowance.limit * RESERVED_SHARE))
        return min(wanted, self.allowance.limit - 1)

    def at_once(self, turn: Turn, now: float) -> bool:
        """Let it go now if nobody who goes before it waits and there is room."""
        if self._urgent or (self._others and not turn.urgent):
            return False
        if self.allowance.free(now) <= (0 if turn.urgent else self.reserved):
            return False
        self._take(turn, now)
        return True

    def wait(self, turn: Turn) -> None:
        if turn.urgent:
            self._urgent.setdefault(turn.symbol, deque()).append(turn)
        else:
            self._others.append(turn)

    def leave(self, turn: Turn) -> None:
        """It doesn't want to go any more."""
        waiting = self._urgent.get(turn.symbol) if turn.urgent else self._others
        if waiting is not None and turn in waiting:
            waiting.remove(turn)
            if turn.urgent and not waiting:
                del self._urgent[turn.symbol]

    def next(self, now: float) -> Turn | None:
        """Whose turn it is; None while nobody may go. The request is counted."""
        if self._urgent:
            if self.allowance.free(now) < 1:
                return None
            symbol, waiting = next(iter(self._urgent.items()))
            turn = waiting.popleft()
            del self._urgent[symbol]
            if waiting:
                self._urgent[symbol] = waiting  # behind every other symbol
        elif self._others and self.allowance.free(now) > self.reserved:
            turn = self._others.popleft()
        else:
            return None
        self._take(turn, now)
        return turn

    def opens_at(self, now: float) -> float | None:
        """When the next one that waits may go; None if nobody waits."""
        if self._urgent:
            return self.allowance.opens_at(now)
        return self.allowance.opens_at(now, self.reserved) if self._others else None

    def _take(self, turn: Turn, now: float) -> None:
        turn.taken_at = now
        self.allowance.take(now)
