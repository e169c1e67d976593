"""Ways to ask a child whether it serves yet. Each takes the child's pid and answers; none raises for "not yet"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import httpx

from workers.stack import temporal

if TYPE_CHECKING:
    from temporalio.client import Client

Probe = Callable[[int], Awaitable[bool]]


def http_answers(url: str) -> Probe:
    """Ready when GET ``url`` gives a 2xx."""
    tls = url.startswith("https:")  # 30 ms of certificates a time, where there are any

    async def probe(_: int) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2, verify=tls) as client:
                return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False

    return probe


def worker_polls(address: str, namespace: str, task_queues: Sequence[str]) -> Probe:
    """Ready when the child polls every one of ``task_queues`` for workflows or activities.

    The server is asked, not the child: a worker that Temporal would give a task is ready by definition.
    """
    connected: list[Client] = []

    async def probe(pid: int) -> bool:
        from temporalio.service import RPCError

        try:
            if not connected:
                connected.append(await temporal.connect(address, namespace))
            client = connected[0]
            answers = await asyncio.gather(*(temporal.polled_by(client, queue, pid) for queue in task_queues))
        except (RuntimeError, RPCError, TimeoutError):
            return False
        return all(answers)

    return probe
