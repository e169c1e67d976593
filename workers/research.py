"""The worker for heavy compute: queue ``research`` (``python -m workers.research``).

A process of its own so that no backtest ever delays a stop. Its workflows come with what they compute; until then it
answers for the queue, so that starting one finds a worker.
"""

from __future__ import annotations

import asyncio

from temporalio.worker import Worker

from activities.audit import AuditActivities
from config.settings import Settings
from workers.connections import Connections, open_connections
from workers.process import run_process
from workflows.options import RESEARCH_QUEUE


def research_worker(connections: Connections) -> Worker:
    audit = AuditActivities(connections.database)
    return Worker(connections.client, task_queue=RESEARCH_QUEUE, activities=[audit.page_operator, audit.record_refusal])


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    async with open_connections(settings) as connections, research_worker(connections):
        await stop.wait()


if __name__ == "__main__":
    run_process("worker-research", serve)
