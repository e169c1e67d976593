"""The stack as an operator has it: ``ats up --detach``, ``status``, kill -9 of the launcher, ``up`` again, ``down``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.waiting import wait_until
from workers.stack import State, spare_settings
from workers.stack.environment import settings_environment
from workers.stack.remote import running_stack
from workers.stack.services import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Operator:
    """Runs ``ats`` commands on a stack of its own."""

    def __init__(self, folder: Path) -> None:
        self.settings = spare_settings(folder)
        self._environment = {**os.environ, **settings_environment(self.settings), "PYTHONPATH": str(PROJECT)}

    def ats(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "cli.main", *arguments, "--json"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def pids(self) -> dict[str, int]:
        """Of the processes that are ready now."""
        told = running_stack(self.settings)
        parts = told.parts if told else []
        return {part.name: part.pid for part in parts if part.pid and part.state is State.READY}


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_an_operators_day(scratch: Path) -> None:
    operator = Operator(scratch)
    up = operator.ats("up", "--detach")
    try:
        assert up["ready"]
        assert {part["name"] for part in up["parts"]} == {
            "postgres", "temporal", "exchange", "migrations", "worker-trading", "worker-research", "api", "ui",
        }  # fmt: skip
        assert httpx.get(f"{up['urls']['ui']}/", timeout=10).is_success
        assert httpx.get(up["urls"]["temporal"], timeout=10, follow_redirects=True).is_success
        assert _mode(scratch / "ats" / "credentials") == 0o600
        told = operator.ats("status")
        assert told["system"]["mode"] == "paper"
        assert operator.ats("up", expect=1)["error"].startswith(f"the stack of {scratch}/ats is already run by pid")

        # a killed process is started again
        worker = operator.pids()["worker-research"]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: operator.pids().get("worker-research") not in (None, worker), "another worker", timeout=60)

        # a killed launcher takes everything with it
        family = [psutil.Process(pid) for pid in operator.pids().values()]
        os.kill(up["launcher_pid"], signal.SIGKILL)
        _, living = psutil.wait_procs(family, timeout=10)
        assert living == []
        assert operator.ats("status", expect=1) == {"running": False, "system": None}

        # and is no obstacle to the next, which ends cleanly from elsewhere
        again = operator.ats("up", "--detach")
        assert again["ready"]
        family = [psutil.Process(pid) for pid in operator.pids().values()]
        began = time.monotonic()
        assert operator.ats("down") == {"ended": True, "pid": again["launcher_pid"]}
        assert time.monotonic() - began < 20
        assert not any(process.is_running() for process in family)
    finally:
        operator.ats("down")
