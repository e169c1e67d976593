"""A server as a child process of the test run: started, waited for, killed, started again on the same data."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from types import TracebackType
from typing import Self

from tests.support.waiting import wait_until
from workers.stack.process import ChildSpec, signal_group, spawn


class Server:
    """One child. ``ready`` is asked until it says yes; a child that dies first fails with the end of its log."""

    def __init__(self, spec: ChildSpec, ready: Callable[[], bool], ready_timeout: float = 60.0) -> None:
        self.spec = spec
        self._ready = ready
        self._ready_timeout = ready_timeout
        self._process: Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until ready."""
        self._process = spawn(self.spec)
        try:
            wait_until(self._ready_or_dead, f"{self.spec.command[0]} to be ready", self._ready_timeout)
        except AssertionError:
            self.stop()
            raise AssertionError(f"not ready in {self._ready_timeout} s:\n{self.log_tail()}") from None
        return self

    def kill(self, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL also wait until the process is gone."""
        signal_group(self.pid, signal_number)
        if signal_number is signal.SIGKILL and self._process is not None:
            self._process.wait(timeout=10)

    def stop(self, signal_number: signal.Signals = signal.SIGTERM, patience: float = 10.0) -> None:
        """Ask to end, kill after ``patience`` seconds. Nothing happens when it is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        signal_group(self._process.pid, signal_number)
        try:
            self._process.wait(timeout=patience)
        except TimeoutExpired:
            self.kill()

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(_read(self.spec.log).splitlines()[-lines:])

    def _ready_or_dead(self) -> bool:
        if not self.running:
            code = self._process.returncode if self._process else None
            raise RuntimeError(f"{self.spec.command[0]} ended with {code}:\n{self.log_tail()}")
        return self._ready()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else "(no output)"
