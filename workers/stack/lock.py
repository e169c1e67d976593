"""One stack per data folder: ``.ats/stack.lock``, held by flock, so that a killed launcher leaves nothing to clear."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ValidationError


class AlreadyRunning(RuntimeError):
    """Another launcher has the stack of this data folder. The message says which and how to end it."""


class LockHolder(BaseModel):
    """What the launcher that holds the lock wrote into it."""

    pid: int
    since: AwareDatetime
    ports: dict[str, int]


class StackLock:
    """The lock of a data folder. The system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, ports: dict[str, int]) -> Self:
        """Take the lock or raise AlreadyRunning."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            holder = _read(self._path)
            who = f"by pid {holder.pid} since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder else "by another process"
            raise AlreadyRunning(
                f"the stack of {self._path.parent} is already run {who}: look with `ats status`, end it with `ats down`"
            ) from None
        written = LockHolder(pid=os.getpid(), since=datetime.now(UTC), ports=ports)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(written.model_dump(mode="json")).encode(), 0)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Let go. The file stays: removing it would let two launchers hold locks on two files of one name."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def lock_path(data_dir: Path) -> Path:
    return data_dir / "stack.lock"


def lock_is_held(path: Path) -> bool:
    """Whether a live launcher has the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def lock_holder(path: Path) -> LockHolder | None:
    """Who has the lock; None when nobody has, or the holder is just writing its name."""
    return _read(path) if lock_is_held(path) else None


def _read(path: Path) -> LockHolder | None:
    try:
        return LockHolder.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None
