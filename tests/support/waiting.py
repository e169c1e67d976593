"""Waiting for a condition instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def run(coroutine: Awaitable[Answer]) -> Answer:
    """The result of ``coroutine`` from synchronous code, also while another loop belongs to this thread."""

    async def whole() -> Answer:
        return await coroutine

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, whole()).result()


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 30.0, every: float = 0.05) -> None:
    """Return when ``condition()`` is true; AssertionError naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for: {what}")
        time.sleep(every)


async def eventually(
    condition: Callable[[], Awaitable[Answer]], what: str, timeout: float = 30.0, every: float = 0.05
) -> Answer:
    """The first truthy answer of ``await condition()``; AssertionError naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for: {what}")
        await asyncio.sleep(every)
    return answer
