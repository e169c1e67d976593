"""What the launcher tells about its processes, in ``.ats/stack.json`` for everybody else to read."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, ValidationError

from workers.stack.process import signal_group


class State(StrEnum):
    """Where a part of the stack stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    HELD = "held"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


def cpu_seconds(pid: int) -> float:
    """CPU time (user and system) of a process and all it started, those that have ended included; 0 if it is gone."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for member in members:
        try:
            total += sum(member.cpu_times()[:4])  # user and system, its own and of the children it waited for
        except psutil.NoSuchProcess:
            continue
    return total


class PartStatus(BaseModel):
    """One process or start-up task. ``started_at`` is wall time, ``restarts`` counts since the stack's start,
    ``born`` is the process's creation time as the system tells it (a pid alone may be somebody else's later)."""

    name: str
    state: State
    pid: int | None = None
    born: float | None = None
    port: int | None = None
    started_at: AwareDatetime | None = None
    restarts: int = 0
    detail: str = ""
    log: Path | None = None
    stop_signal: int = signal.SIGTERM


class StackStatus(BaseModel):
    """The whole stack. ``seconds_to_ready`` is None until every part was ready once."""

    launcher_pid: int
    started_at: AwareDatetime
    seconds_to_ready: float | None
    urls: dict[str, str]
    parts: list[PartStatus]

    @property
    def ready(self) -> bool:
        return all(part.state is State.READY for part in self.parts)

    def part(self, name: str) -> PartStatus:
        """The part called ``name``. Raises KeyError."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)


def status_path(data_dir: Path) -> Path:
    return data_dir / "stack.json"


def write_status(path: Path, status: StackStatus) -> None:
    """Replace the file in one step: a reader sees the old or the new one, never half."""
    making = path.with_suffix(f".{os.getpid()}")
    making.write_text(status.model_dump_json(indent=1))
    making.replace(path)


def read_status(path: Path) -> StackStatus | None:
    """What a launcher wrote last, which may be long gone (ask the lock); None when nothing readable is there."""
    try:
        return StackStatus.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None


def birth(pid: int) -> float | None:
    """Creation time of a process, None when there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def end_leftovers(status: StackStatus, patience_seconds: float = 8.0) -> list[str]:
    """End processes that a dead launcher's status file names and that still live. Returns their names."""
    living = [
        (part, psutil.Process(part.pid))
        for part in status.parts
        if part.pid is not None and part.born is not None and birth(part.pid) == part.born
    ]
    for part, process in living:
        signal_group(process.pid, signal.SIGCONT)  # a frozen one would never see the next
        signal_group(process.pid, signal.Signals(part.stop_signal))
    _, stubborn = psutil.wait_procs([process for _, process in living], timeout=patience_seconds)
    for process in stubborn:
        signal_group(process.pid, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=patience_seconds)
    return [part.name for part, _ in living]
