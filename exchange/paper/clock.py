"""The market's clock: market time as a function of wall time, durable, and never running backwards.

Market time advances ``speed`` times as fast as the machine's monotonic clock while the exchange runs and stands still
while it is down. No instant is told before a later one (the lease) is on disk, so that after kill -9 the clock goes on
from the lease: later than everything ever told, by at most ``LEASE_SECONDS`` of wall time. A clean ``close`` stores
the exact instant. ``until`` is where the clock halts: the end of the market's data.

In step mode market time stands still and only ``advance`` moves it, by one quarter hour at the most: exactly to an
instant that is on disk before it is told, so that kill -9 leaves the clock either where it stood or there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from domain.candle import EPOCH, Timeframe
from domain.clock import MarketClock

LEASE_SECONDS = 2.0
STEP: Final = "step"
Speed = float | Literal["step"]
_MICROSECOND = timedelta(microseconds=1)


class ClockRefused(Exception):
    """The stored clock can't go on with this market; the message says what to do."""


class AdvanceRefused(Exception):
    """The market can't go to the instant asked for; the message names the rule. ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MarketClockKeeper:
    """Keeps one market's time in ``path``, at a ``speed`` (market seconds per wall second) or in steps.

    ``start`` is used when ``path`` does not exist yet. Raises ClockRefused when ``path`` belongs to another epoch or
    can't be read, and OSError when it can't be written. With ``follow_wall`` it begins at the wall's time, or where it
    stood if that is later. ``monotonic_ns`` is the elapsing time behind it.
    """

    def __init__(
        self,
        path: Path,
        *,
        epoch: str,
        start: datetime,
        speed: Speed,
        until: datetime | None = None,
        follow_wall: bool = False,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if speed != STEP and not speed > 0:
            raise ValueError(f"speed: {speed} must be above 0")
        self.epoch = epoch
        self._path = path
        self._speed = 0.0 if speed == STEP else speed
        self._monotonic_ns = monotonic_ns
        self._until_us = None if until is None else _to_us(until)
        self._anchor_us = self._load(_to_us(start))
        self._follows_wall = follow_wall
        if follow_wall:
            self._anchor_us = max(self._anchor_us, _to_us(datetime.now(UTC)))
        self._anchor_ns = monotonic_ns()
        self._lease_us = self._anchor_us
        self._closed = False
        self._extend_lease(self._anchor_us)

    @property
    def speed(self) -> float:
        """Market seconds per wall second, 0 in step mode."""
        return self._speed

    @property
    def step(self) -> bool:
        return self._speed == 0

    @property
    def until(self) -> datetime | None:
        """Where the clock halts, if anywhere."""
        return None if self._until_us is None else _from_us(self._until_us)

    @property
    def paused(self) -> bool:
        """Whether market time stands still now (in step mode, halted at ``until``, or closed)."""
        return self._closed or self.step or self.halted

    @property
    def halted(self) -> bool:
        """Whether market time has come to ``until``: it goes no further."""
        return self._until_us is not None and self._now_us() >= self._until_us

    def now(self) -> datetime:
        """Market time, aware UTC to the microsecond; never less than an earlier answer, across restarts too."""
        now_us = self._now_us()
        if now_us > self._lease_us and not self._closed:
            self._extend_lease(now_us)
        return _from_us(now_us)

    def read(self) -> MarketClock:
        """One reading: epoch, market time, speed, and the wall time it was taken at."""
        now = self.now()
        return MarketClock(epoch=self.epoch, now=now, speed=self._speed, read_at=datetime.now(UTC), step=self.step)

    def advance(self, to: datetime | None = None) -> datetime:
        """Step mode: let market time be ``to`` (by default, and at most, the next quarter hour); where it stands then.

        The market's present instant is no step and no error, so that an advance may be asked for again. Raises
        AdvanceRefused for an instant that is past or too far, at the end of the market, and where time runs by itself.
        """
        if not self.step:
            raise AdvanceRefused(
                f"the market's time runs by itself at speed {self._speed:g}: it is not in step mode", 409
            )
        now = _from_us(self._anchor_us)
        if to is not None and to < now:
            raise AdvanceRefused(f"to: {to.isoformat()} has passed, the market is at {now.isoformat()}", 400)
        if to == now:
            return now
        if self.halted:
            raise AdvanceRefused(f"the market is over: its data ended at {now.isoformat()}", 409)
        furthest = Timeframe.M15.floor(now) + Timeframe.M15.duration
        if to is not None and to > furthest:
            rule = "the market goes no further than the next quarter hour at once"
            raise AdvanceRefused(f"to: {to.isoformat()} is after {furthest.isoformat()}: {rule}", 400)
        target_us = _to_us(to or furthest)
        self._extend_lease(target_us if self._until_us is None else min(target_us, self._until_us))
        self._anchor_us = self._lease_us
        return _from_us(self._anchor_us)

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed (market seconds per wall second). Raises ValueError unless above 0."""
        if not speed > 0:
            raise ValueError(f"speed: {speed} must be above 0")
        if self._follows_wall and speed != 1:
            raise ValueError(f"speed: {speed} is not the wall's, which this market follows")
        self._reanchor()
        self._speed = speed

    def halt_at(self, until: datetime | None) -> None:
        """Let market time run to ``until`` and stand there (None: run on). Raises ValueError for an instant passed."""
        self._reanchor()
        if until is not None and _to_us(until) < self._anchor_us:
            raise ValueError(f"until: {until} has passed, the market is at {_from_us(self._anchor_us)}")
        self._until_us = None if until is None else _to_us(until)

    def close(self) -> None:
        """Stop the clock and store where it stands, so that the next one goes on exactly there."""
        if not self._closed:
            self._reanchor()
            self._closed = True
            self._store(self._anchor_us)

    def _now_us(self) -> int:
        if self._closed:
            return self._anchor_us
        now_us = self._anchor_us + int((self._monotonic_ns() - self._anchor_ns) * self._speed / 1000)
        return now_us if self._until_us is None else min(now_us, max(self._until_us, self._anchor_us))

    def _reanchor(self) -> None:
        self._anchor_us, self._anchor_ns = self._now_us(), self._monotonic_ns()

    def _extend_lease(self, now_us: int) -> None:
        lease_us = now_us + int(LEASE_SECONDS * 1e6 * self._speed)
        if self._until_us is not None:
            lease_us = min(lease_us, max(self._until_us, now_us))
        self._store(lease_us)
        self._lease_us = lease_us

    def _load(self, start_us: int) -> int:
        try:
            stored: dict[str, Any] = json.loads(self._path.read_text())
            epoch, lease_us = str(stored["epoch"]), int(stored["lease_us"])
        except FileNotFoundError:
            return start_us
        except (ValueError, KeyError, TypeError) as error:
            raise ClockRefused(
                f"{self._path} is not a market clock ({error}): restore it or use another data directory"
            ) from None
        if epoch != self.epoch:
            raise ClockRefused(
                f"{self._path.parent} holds the market {epoch} (at {_from_us(lease_us):%Y-%m-%d %H:%M}), not "
                f"{self.epoch}: use another data directory, or the options that market was started with"
            )
        return lease_us

    def _store(self, lease_us: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}")
        with temporary.open("w") as file:
            json.dump({"epoch": self.epoch, "lease_us": lease_us, "lease": _from_us(lease_us).isoformat()}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _to_us(instant: datetime) -> int:
    return (instant - EPOCH) // _MICROSECOND


def _from_us(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
