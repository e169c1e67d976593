"""Heartbeats of an activity that works for longer than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity


@asynccontextmanager
async def beating(every: float = 1.0) -> AsyncIterator[None]:
    """Heartbeat while the block runs, so that a worker's death is noticed within the heartbeat timeout."""
    task = asyncio.create_task(_beat(every))
    try:
        yield
    finally:
        task.cancel()


async def _beat(every: float) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(every)
