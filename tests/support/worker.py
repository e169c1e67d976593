"""Trading workers as processes of their own, to be killed, frozen and thawed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.settings import Settings
from tests.support.servers import Server
from tests.support.waiting import run
from workers.stack.environment import settings_environment
from workers.stack.probes import worker_polls
from workers.stack.process import ChildSpec

PROJECT = Path(__file__).resolve().parents[2]


def trading_worker_process(settings: Settings, folder: Path, name: str) -> Server:
    """A worker of the queues ``trading`` and ``market`` that isn't started yet; its output goes to ``folder``."""
    environment = {
        **settings_environment(settings.model_copy(update={"log_dir": folder / name, "data_dir": folder})),
        "PYTHONPATH": str(PROJECT),
    }
    spec = ChildSpec((sys.executable, "-m", "workers.trading"), folder / f"{name}.out", PROJECT, environment)
    server: list[Server] = []

    def ready() -> bool:
        polls = worker_polls(settings.temporal_address, settings.temporal.namespace, ("trading", "market"))
        return run(polls(server[0].pid))

    server.append(Server(spec, ready, ready_timeout=60))
    return server[0]


@contextmanager
def frozen(process: Server) -> Iterator[None]:
    """SIGSTOP for the length of the block, then SIGCONT."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
