"""Trading workers as processes of their own, to be killed, frozen and thawed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.settings import Settings
from tests.support.servers import Server
from workers.stack.environment import settings_environment
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
        return any(line["event"] == "ready" and line["pid"] == server[0].pid for line in log_of(folder, name))

    server.append(Server(spec, ready, ready_timeout=60))
    return server[0]


def log_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """What the worker ``name`` logged so far."""
    path = folder / name / "worker-trading.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@contextmanager
def frozen(process: Server) -> Iterator[None]:
    """SIGSTOP for the length of the block, then SIGCONT."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
