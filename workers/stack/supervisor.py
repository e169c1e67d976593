"""Keeps one service running: start, readiness, restart with backoff, a limit, an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from workers.stack.process import (
    ChildSpec,
    child_arguments,
    child_environment,
    kill_group,
    open_log,
    signal_group,
)
from workers.stack.service import Service
from workers.stack.status import PartStatus, State, birth

_PROBE_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
# A service that was never ready will hardly become so by itself: tell early.
_STILLBORN_LIMIT = 3


class StackFailed(RuntimeError):
    """The stack can't go on. The message says which part, why, and where to read more."""


class Supervisor:
    """One service and its present child. ``run`` is its life as a task; everything else is called meanwhile.

    A death that was ordered through ``kill`` or ``restart`` doesn't count towards the limit.
    """

    def __init__(
        self,
        service: Service,
        on_change: Callable[[], None],
        *,
        death_limit: int = 10,
        window_seconds: float = 60.0,
    ) -> None:
        self.service = service
        self.state = State.WAITING
        self.restarts = 0
        self.started_at: datetime | None = None
        self.detail = ""
        self.ready = asyncio.Event()
        self._on_change = on_change
        self._death_limit = death_limit
        self._window_seconds = window_seconds
        self._deaths: deque[float] = deque()
        self._process: Process | None = None
        self._born: float | None = None
        self._ordered = False
        self._was_ready = False
        self._stopping = False
        self._may_start = asyncio.Event()
        self._may_start.set()

    @property
    def pid(self) -> int | None:
        """Pid of the living child."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def status(self) -> PartStatus:
        pid = self.pid
        return PartStatus(
            name=self.service.name,
            state=self.state,
            pid=pid,
            born=self._born if pid else None,
            port=self.service.ports[0].number if self.service.ports else None,
            started_at=self.started_at if pid else None,
            restarts=self.restarts,
            detail=self.detail,
            log=self.service.log,
            stop_signal=self.service.stop_signal,
        )

    async def run(self) -> None:
        """Start the child and start it again until ``stop``. Raises StackFailed when that makes no sense any more."""
        while not self._stopping:
            await self._wait_for_permission()
            if self._stopping:
                break
            try:
                reason = await self._one_life()
            except Exception as error:
                self.detail = str(error)
                self._change(State.FAILED)
                raise
            self.ready.clear()
            if self._stopping:
                break
            await self._after_death(reason)
        self._change(State.STOPPED)

    def set_auto_restart(self, on: bool) -> None:
        """Off: once the child is dead it stays dead until this is on again."""
        if on:
            self._may_start.set()
        else:
            self._may_start.clear()

    def kill(self, signal_number: signal.Signals) -> None:
        """Send a signal to the child and its group. Raises ProcessLookupError when it isn't running."""
        if self.pid is None:
            raise ProcessLookupError(f"{self.service.name} is not running")
        self._ordered = signal_number not in (signal.SIGSTOP, signal.SIGCONT)
        signal_group(self.pid, signal_number)

    async def stop(self) -> None:
        """End the child: its stop signal, then after its patience SIGKILL."""
        self._stopping = True
        self._may_start.set()
        if self.pid is not None:
            self._change(State.STOPPING)
        await self._end_child()

    async def end_child(self) -> None:
        """An ordered end of the present child; the supervisor starts the next."""
        self._ordered = True
        self.ready.clear()
        await self._end_child()

    async def _wait_for_permission(self) -> None:
        if not self._may_start.is_set():
            self._change(State.HELD)
            await self._may_start.wait()

    async def _end_child(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        signal_group(process.pid, signal.SIGCONT)  # a frozen child would never see the next one
        signal_group(process.pid, self.service.stop_signal)
        try:
            async with asyncio.timeout(self.service.stop_seconds):
                await process.wait()
        except TimeoutError:
            kill_group(process.pid)
            await process.wait()

    async def _one_life(self) -> str:
        """From start to death; the reason of death in words."""
        self._change(State.STARTING)
        spec = await asyncio.to_thread(self.service.child)
        if self._stopping:
            return "stopped"
        process = await _spawn(spec)
        self._process, self._born, self.started_at = process, birth(process.pid), datetime.now(UTC)
        if self._stopping:  # asked for while the child was being made
            signal_group(process.pid, signal.SIGKILL)
        self._change(State.STARTING)
        readiness = asyncio.create_task(self._become_ready(process.pid))
        death = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((readiness, death), return_when=asyncio.FIRST_COMPLETED)
            if not death.done() and not readiness.result():
                signal_group(process.pid, signal.SIGKILL)
                await death
                return f"not ready within {self.service.ready_seconds:g} s"
            return _death_in_words(await death)
        finally:
            if process.returncode is None:
                signal_group(process.pid, signal.SIGKILL)
            await death
            kill_group(process.pid)  # whatever the child itself had started
            readiness.cancel()
            await asyncio.gather(readiness, return_exceptions=True)

    async def _become_ready(self, pid: int) -> bool:
        deadline = time.monotonic() + self.service.ready_seconds
        while not await self.service.ready(pid):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_PROBE_SECONDS)
        if self.service.after_ready is not None:
            await self.service.after_ready()
        if not self._stopping:
            self.detail = ""
            self._was_ready = True
            self._change(State.READY)
            self.ready.set()
        return True

    async def _after_death(self, reason: str) -> None:
        """Count it, give up or wait as long as the number of recent deaths asks."""
        self.restarts += 1
        self.detail = reason
        if self._ordered:
            self._ordered = False
            self._change(State.RESTARTING)
            return
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - self._window_seconds:
            self._deaths.popleft()
        limit = self._death_limit if self._was_ready else min(self._death_limit, _STILLBORN_LIMIT)
        if len(self._deaths) >= limit:
            self._change(State.FAILED)
            what = f"died {len(self._deaths)} times within {self._window_seconds:g} s"
            log = self.service.log
            raise StackFailed(f"{self.service.name} {what}, last: {reason}. Its output is in {log}{last_line(log)}")
        self._change(State.RESTARTING)
        await self._pause(min(0.1 * 2 ** (len(self._deaths) - 1), _LONGEST_BACKOFF_SECONDS))

    async def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            await asyncio.sleep(min(0.1, seconds))

    def _change(self, state: State) -> None:
        self.state = state
        self._on_change()


async def run_to_end(name: str, spec: ChildSpec) -> None:
    """Run a child that does one thing and ends. Raises StackFailed when it fails."""
    process = await _spawn(spec)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            signal_group(process.pid, signal.SIGKILL)
    if code != 0:
        reason = _death_in_words(code)
        raise StackFailed(f"{name} failed: {reason}. Its output is in {spec.log}{last_line(spec.log)}")


async def _spawn(spec: ChildSpec) -> Process:
    log = open_log(spec.log)
    try:
        return await asyncio.create_subprocess_exec(
            *child_arguments(spec),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.cwd,
            env=child_environment(spec),
        )
    finally:
        os.close(log)


def _death_in_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def last_line(log: Path) -> str:
    """``, which ends: ...`` with the last line of a log, or nothing."""
    try:
        lines = log.read_text(errors="replace")[-4000:].strip().splitlines()
    except OSError:
        return ""
    return f", which ends: {lines[-1][:300]}" if lines else ""
