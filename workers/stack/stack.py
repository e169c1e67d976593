"""The local stack as a library: start everything in order, keep it running, end it in reverse order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Self

from config.settings import Settings
from workers.stack.lock import StackLock, lock_path
from workers.stack.ports import PortTaken, holder_of, is_free
from workers.stack.service import Part, Port, Service, Task, in_levels
from workers.stack.services import stack_parts
from workers.stack.status import (
    PartStatus,
    StackStatus,
    State,
    cpu_seconds,
    end_leftovers,
    read_status,
    status_path,
    write_status,
)
from workers.stack.supervisor import StackFailed, Supervisor


class Stack:
    """All parts that ``settings`` ask for, or those of them named in ``services``.

    Use it from the main thread's event loop: children are bound to the life of the thread that starts them.
    ``on_change`` is called with the new status whenever a part changes.
    """

    def __init__(
        self,
        settings: Settings,
        services: Iterable[str] | None = None,
        *,
        on_change: Callable[[StackStatus], None] | None = None,
    ) -> None:
        self.settings = settings
        self.seconds_to_ready: float | None = None
        self._parts = _chosen(stack_parts(settings), services)
        self._supervisors = {
            part.name: Supervisor(part, self._changed) for part in self._parts if isinstance(part, Service)
        }
        self._tasks = {part.name: PartStatus(name=part.name, state=State.WAITING) for part in self._parts}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._lock = StackLock(lock_path(settings.data_dir))
        self._on_change = on_change
        self._started_at = datetime.now(UTC)
        self._failure: asyncio.Future[None] | None = None
        self._owns_status = False

    @property
    def ports(self) -> list[Port]:
        return [port for part in self._parts if isinstance(part, Service) for port in part.ports]

    def status(self) -> StackStatus:
        return StackStatus(
            launcher_pid=os.getpid(),
            started_at=self._started_at,
            seconds_to_ready=self.seconds_to_ready,
            urls={part.name: part.url for part in self._parts if isinstance(part, Service) and part.url},
            parts=[
                self._supervisors[part.name].status() if part.name in self._supervisors else self._tasks[part.name]
                for part in self._parts
            ],
        )

    def pids(self) -> dict[str, int]:
        """Pid of every living child by name."""
        return {name: one.pid for name, one in self._supervisors.items() if one.pid is not None}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time (user and system) of every living child by name, with that of its own children."""
        return {name: cpu_seconds(pid) for name, pid in self.pids().items()}

    async def start(self) -> Self:
        """Start all parts in the order of what they require; return when the last is ready.

        Raises AlreadyRunning, PortTaken, StackFailed (after ending what was started), each saying what to do.
        """
        began = time.monotonic()
        self._lock.acquire({port.use: port.number for port in self.ports})
        try:
            await asyncio.to_thread(self._clear_leftovers)
            check_ports(self.ports)
            self._owns_status = True
            self._failure = asyncio.get_running_loop().create_future()
            for level in in_levels(self._parts):
                await self._or_failure(asyncio.gather(*(self._begin(part) for part in level)))
        except BaseException:
            await self.stop()
            raise
        self.seconds_to_ready = round(time.monotonic() - began, 2)
        self._changed()
        return self

    async def wait(self) -> None:
        """Until the stack fails. Raises StackFailed then."""
        assert self._failure is not None, "the stack was not started"
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """End everything, what requires others first. Safe to repeat, and to call while starting."""
        if self._failure is None:  # nothing was started
            self._lock.release()
            return
        for level in reversed(in_levels(self._parts)):
            names = [part.name for part in level if part.name in self._lives]
            await asyncio.gather(*(self._supervisors[name].stop() for name in names))
            lives = [self._lives.pop(name) for name in names]
            await asyncio.gather(*lives, return_exceptions=True)
        if not self._failure.done():
            self._failure.cancel()
        self._tasks = {name: PartStatus(name=name, state=State.STOPPED) for name in self._tasks}
        self._changed()
        self._owns_status = False
        self._lock.release()

    async def restart(self, name: str) -> None:
        """End the child of this service in an orderly way and wait until the next one is ready."""
        await self._supervisors[name].end_child()
        await self.wait_ready(name)

    def kill(self, name: str, signal_number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a service's child and return its pid. It is started again unless ``set_auto_restart`` says
        no. Raises ProcessLookupError when it isn't running."""
        supervisor = self._supervisors[name]
        pid = supervisor.pid
        supervisor.kill(signal_number)
        assert pid is not None
        return pid

    def set_auto_restart(self, name: str, on: bool) -> None:
        """Off: after its next death the service stays dead until this is on again."""
        self._supervisors[name].set_auto_restart(on)

    async def wait_ready(self, name: str, timeout: float = 60.0) -> int:
        """Until the service is ready; its pid. Raises TimeoutError, or StackFailed when the stack ends meanwhile."""
        supervisor = self._supervisors[name]
        async with asyncio.timeout(timeout):
            await self._or_failure(asyncio.ensure_future(supervisor.ready.wait()))
        return supervisor.pid or 0

    async def wait_dead(self, name: str, pid: int, timeout: float = 15.0) -> None:
        """Until the child with this pid is no more. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self._supervisors[name].pid == pid:
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _begin(self, part: Part) -> None:
        """Bring one part to ready."""
        if isinstance(part, Task):
            self._set_task(part, State.STARTING)
            await part.run()
            self._set_task(part, State.READY)
            return
        supervisor = self._supervisors[part.name]
        life = asyncio.create_task(supervisor.run(), name=part.name)
        life.add_done_callback(self._ended)
        self._lives[part.name] = life
        await supervisor.ready.wait()

    def _ended(self, life: asyncio.Task[None]) -> None:
        """A supervisor gave up: the first one to do so is the stack's failure."""
        error = None if life.cancelled() else life.exception()
        if error is None or self._failure is None or self._failure.done():
            return
        failed = error if isinstance(error, StackFailed) else StackFailed(f"{life.get_name()}: {error}")
        failed.__cause__ = error
        self._failure.set_exception(failed)

    async def _or_failure(self, wanted: asyncio.Future[Any]) -> None:
        assert self._failure is not None, "the stack was not started"
        await asyncio.wait((wanted, self._failure), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            wanted.cancel()
            await asyncio.gather(wanted, return_exceptions=True)
            await self._failure
        await wanted

    def _clear_leftovers(self) -> None:
        """Children of a killed launcher that are still on their way out."""
        before = read_status(status_path(self.settings.data_dir))
        if before is not None:
            end_leftovers(before)

    def _set_task(self, task: Task, state: State) -> None:
        self._tasks[task.name] = PartStatus(name=task.name, state=state)
        self._changed()

    def _changed(self) -> None:
        status = self.status()
        if self._owns_status:
            write_status(status_path(self.settings.data_dir), status)
        if self._on_change is not None:
            self._on_change(status)


def check_ports(ports: Iterable[Port]) -> None:
    """Raise PortTaken unless every port is free."""
    taken = [
        f"port {port.number} ({port.use}) is taken by {holder_of(port.number)}: set {port.setting} to a free one"
        for port in ports
        if not is_free(port.number, port.host)
    ]
    if taken:
        raise PortTaken("\n".join(taken))


def _chosen(parts: list[Part], names: Iterable[str] | None) -> list[Part]:
    if names is None:
        return parts
    wanted = list(names)
    known = {part.name for part in parts}
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(
            f"no such part with these settings: {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
    return [part for part in parts if part.name in wanted]
