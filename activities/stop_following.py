"""The stop at the exchange goes after its guard's: behind new targets, ratchets and fills, off the path of a tick.

Beside the guard's activity, so that nothing of it is in a workflow's history.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

from activities.guard_watch import Watch
from activities.resting_stops import RestingStops, StopNotMoved
from domain.market import Category
from domain.protection import FOLLOW_SECONDS, stop_follows
from observability.logs import get_logger

log = get_logger(__name__)

_TRY_AGAIN_SECONDS = 5.0
_under_way: set[asyncio.Task[None]] = set()
"""A move that was begun is seen through, also when its guard is over meanwhile."""


class StopFollowing:
    """For one guard; ``look`` about once a second. The next attempt of a guard compares anew.

    In a market that moves in steps (``in_steps``) ratchets are not followed: when would depend on the wall, and two
    runs of one market must end alike.
    """

    def __init__(self, stops: RestingStops, watch: Watch, *, in_steps: bool = False) -> None:
        self._stops = stops
        self._watch = watch
        self._in_steps = in_steps
        self._version: int | None = watch.targets.version if in_steps else None
        self._held: Decimal | None = None
        self._moved_at = -FOLLOW_SECONDS
        self._not_before = 0.0
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to move the stop if that is due and nothing is under way."""
        if self._task is not None and not self._task.done():
            return
        now = time.monotonic()
        work = self._due(now) if now >= self._not_before else None
        if work is not None:
            self._not_before = now + _TRY_AGAIN_SECONDS
            self._task = asyncio.create_task(self._see_through(work))
            _under_way.add(self._task)
            self._task.add_done_callback(_under_way.discard)

    def _due(self, now: float) -> Coroutine[Any, Any, None] | None:
        watch, state = self._watch, self._watch.state
        if watch.index is None or watch.resting is None or watch.targets.version != watch.newest.version:
            return None
        new, since = self._version != watch.targets.version, 0.0 if self._in_steps else now - self._moved_at
        if stop_follows(state.side, state.stop_price, watch.resting, watch.buffer_pct, since, new_targets=new):
            self._moved_at = now
            return self._follow(watch.targets.version, f"the guard's stop is at {state.stop_price:f}")
        self._version = watch.targets.version
        if watch.category is Category.SPOT and self._held != watch.held:
            return self._resize(watch.held)
        return None

    async def _follow(self, version: int, why: str) -> None:
        watch = self._watch
        await self._stops.follow(watch.position_id, watch.guard_epoch, version, watch.state.stop_price, why)
        self._version = version

    async def _resize(self, held: Decimal) -> None:
        if await self._stops.resize(self._watch.position_id, f"{held:f} held"):
            self._held = held

    async def _see_through(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StopNotMoved as missed:
            log.warning("stop did not follow", position_id=self._watch.position_id, error=str(missed))
        except Exception:  # the guard goes on whatever becomes of the stop behind it
            log.exception("stop did not follow", position_id=self._watch.position_id)
        else:
            self._not_before = 0.0
