"""How children are started and ended: own session, own log file, no life without the launcher."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen

_SHIM = Path(__file__).with_name("child.py")
_LOG_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class OsUser:
    """A user of this machine that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A command and its surroundings. ``death_signal`` is what it gets when the launcher dies."""

    command: tuple[str, ...]
    log: Path
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    user: OsUser | None = None
    death_signal: signal.Signals = signal.SIGKILL


def child_arguments(spec: ChildSpec) -> list[str]:
    """The command line that runs ``spec.command`` through the shim. Start it from a thread that lives as long as the
    launcher: Linux sends the death signal when the *thread* that forked ends."""
    user = f"{spec.user.uid}:{spec.user.gid}" if spec.user else "-"
    shim = [sys.executable, "-I", "-S", str(_SHIM), str(int(spec.death_signal)), user, str(os.getpid()), "--"]
    return [*shim, *spec.command]


def open_log(path: Path) -> int:
    """Descriptor of ``path`` for appending; a file over 10 MB is put aside as ``.1`` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def child_environment(spec: ChildSpec) -> dict[str, str]:
    """What the child sees: the launcher's environment with the spec's over it; another user sees the spec's alone."""
    return {**os.environ, **spec.environment} if spec.user is None else dict(spec.environment)


def spawn(spec: ChildSpec) -> Popen[bytes]:
    """Start ``spec`` and return it at once."""
    descriptor = open_log(spec.log)
    try:
        return Popen(
            child_arguments(spec),
            stdin=DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=spec.cwd,
            env=child_environment(spec),
        )
    finally:
        os.close(descriptor)


def signal_group(pid: int, signal_number: signal.Signals) -> None:
    """Signal the process group a child leads. Nothing happens when it is gone."""
    try:
        os.killpg(pid, signal_number)
    except ProcessLookupError:
        # between fork and setsid the child leads no group yet
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return


def kill_group(pid: int) -> None:
    """SIGKILL to whoever is left in the group that ``pid`` led. Safe after its end: a group's number isn't given to
    another process while it has members."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
