"""Looking at and ending a stack that another process launched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from config.settings import Settings
from workers.stack.environment import settings_environment
from workers.stack.lock import lock_holder, lock_is_held, lock_path
from workers.stack.status import StackStatus, read_status, status_path
from workers.stack.supervisor import StackFailed, last_line


class DownFailed(RuntimeError):
    """The running stack couldn't be ended. The message says what to do."""


def running_stack(settings: Settings) -> StackStatus | None:
    """The status of the stack that runs on this data folder now, None when none does."""
    if not lock_is_held(lock_path(settings.data_dir)):
        return None
    return read_status(status_path(settings.data_dir))


def end_running_stack(settings: Settings, patience_seconds: float = 25.0) -> int | None:
    """Ask the launcher to end and wait until it has. Its pid, None when none runs. Raises DownFailed."""
    path = lock_path(settings.data_dir)
    holder = lock_holder(path)
    if holder is None:
        return None
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise DownFailed(
            f"the launcher (pid {holder.pid}) belongs to another user: run `ats down` as that user"
        ) from error
    deadline = time.monotonic() + patience_seconds
    while lock_is_held(path):
        if time.monotonic() > deadline:
            raise DownFailed(
                f"the launcher (pid {holder.pid}) didn't end within {patience_seconds:g} s: "
                f"`kill -9 {holder.pid}` ends it and all its processes"
            )
        time.sleep(0.05)
    return holder.pid


def launch_detached(settings: Settings, patience_seconds: float = 180.0) -> StackStatus:
    """Start a launcher that outlives this process and wait until its stack is ready. Raises StackFailed."""
    log = settings.log_dir / "up.out"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **settings_environment(settings), "PYTHONPATH": _project_first()},
        )
    deadline = time.monotonic() + patience_seconds
    while True:
        status = running_stack(settings)
        if status is not None and status.launcher_pid == launcher.pid and status.seconds_to_ready is not None:
            return status
        if launcher.poll() is not None:
            raise StackFailed(f"the stack didn't start{last_line(log)}. More is in {log}")
        if time.monotonic() > deadline:
            launcher.terminate()
            raise StackFailed(f"the stack wasn't ready within {patience_seconds:g} s: see {log}")
        time.sleep(0.05)


def _project_first() -> str:
    project = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (project, os.environ.get("PYTHONPATH"))))
