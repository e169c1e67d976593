"""Workflows that always run: started unless they do, and looked after for as long as the worker lives.

Temporal keeps them over every restart of a worker. Only a Temporal that lost its data (its file was deleted) has to be
told again; reconciliation, started anew, then brings back everything that rows say is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from observability.logs import get_logger
from workflows import account_stream, market_clock, market_stream, reconciliation
from workflows.account_stream import AccountStreamInput, AccountStreamWorkflow
from workflows.inputs import WorkflowInput
from workflows.market_clock import MarketClockInput, MarketClockWorkflow
from workflows.market_stream import MarketStreamInput, MarketStreamWorkflow
from workflows.options import MARKET_QUEUE, TRADING_QUEUE, WORKFLOW_TASK_TIMEOUT
from workflows.reconciliation import ReconciliationInput, ReconciliationWorkflow

log = get_logger(__name__)

_EVERY_SECONDS = 3.0


@dataclass(frozen=True)
class Wanted:
    """A workflow that always runs under an id that is its alone."""

    run: Any
    input: WorkflowInput
    workflow_id: str
    queue: str = TRADING_QUEUE


ALWAYS_ON = (
    Wanted(AccountStreamWorkflow.run, AccountStreamInput(), account_stream.WORKFLOW_ID),
    Wanted(MarketStreamWorkflow.run, MarketStreamInput(), market_stream.WORKFLOW_ID, MARKET_QUEUE),
    Wanted(ReconciliationWorkflow.run, ReconciliationInput(), reconciliation.WORKFLOW_ID),
    Wanted(MarketClockWorkflow.run, MarketClockInput(), market_clock.WORKFLOW_ID),
)


class AlwaysOn:
    """``ensure`` once, or ``keep`` until ``stop``."""

    def __init__(self, client: Client, wanted: Sequence[Wanted] = ALWAYS_ON) -> None:
        self._client = client
        self._wanted = wanted
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Start each unless it runs. Raises RPCError."""
        for wanted in self._wanted:
            await self._client.start_workflow(
                wanted.run,
                wanted.input,
                id=wanted.workflow_id,
                task_queue=wanted.queue,
                task_timeout=WORKFLOW_TASK_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )

    def keep(self) -> Self:
        """Ensure every few seconds from now on. What goes wrong is said once, and once more when it is over."""
        self._task = asyncio.create_task(self._keep(), name="always on")
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.ensure()
            except Exception as error:  # whatever it is, this loop must go on
                if not self._failing:
                    log.warning("can't see to the workflows that always run", error=str(error))
                self._failing = True
            else:
                if self._failing:
                    log.info("the workflows that always run are seen to again")
                self._failing = False
