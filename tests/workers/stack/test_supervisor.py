"""A service is kept running: restarted when it dies, given up when that is pointless, ended when asked."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import eventually
from workers.stack.process import ChildSpec
from workers.stack.service import Service, Task, in_levels
from workers.stack.status import State
from workers.stack.supervisor import StackFailed, Supervisor, run_to_end

_SERVE = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
_DEAF = "import signal, pathlib, sys, time; signal.signal(15, signal.SIG_IGN); " + _SERVE.split("; ", 1)[1]


def _service(folder: Path, code: str, **options) -> Service:
    flag = folder / "up"

    async def ready(_: int) -> bool:
        return flag.exists()

    def child() -> ChildSpec:
        flag.unlink(missing_ok=True)
        return ChildSpec((sys.executable, "-I", "-c", code, str(flag)), folder / "log", folder)

    return Service(name="thing", child=child, ready=options.pop("ready", ready), log=folder / "log", **options)


@asynccontextmanager
async def _supervised(
    service: Service, on_change: Callable[[], None] = lambda: None, **options
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[None]]]:
    supervisor = Supervisor(service, on_change, **options)
    life = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, life
    finally:
        await supervisor.stop()
        await asyncio.gather(life, return_exceptions=True)


async def _new_pid(supervisor: Supervisor, old: int | None) -> int:
    async def different() -> int | None:
        return supervisor.pid if supervisor.ready.is_set() and supervisor.pid != old else None

    return await eventually(different, "another child to be ready") or 0


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    async with _supervised(_service(tmp_path, _SERVE)) as (supervisor, _):
        first = await _new_pid(supervisor, None)
        psutil.Process(first).kill()
        second = await _new_pid(supervisor, first)
        assert second != first
        assert (supervisor.restarts, supervisor.state) == (1, State.READY)


async def test_what_dies_too_often_ends_with_a_message_that_names_its_log(tmp_path: Path) -> None:
    dies = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(0.3); sys.exit('no disk left')"
    async with _supervised(_service(tmp_path, dies), death_limit=4) as (supervisor, life):
        with pytest.raises(StackFailed) as told:
            await asyncio.wait_for(life, 30)
        assert f"thing died 4 times within 60 s, last: exit code 1. Its output is in {tmp_path}/log" in str(told.value)
        assert str(told.value).endswith("which ends: no disk left")
        assert supervisor.state is State.FAILED


async def test_what_was_never_ready_is_given_up_sooner(tmp_path: Path) -> None:
    async with _supervised(_service(tmp_path, "raise SystemExit(3)")) as (_, life):
        with pytest.raises(StackFailed, match=r"thing died 3 times .* last: exit code 3"):
            await asyncio.wait_for(life, 30)


async def test_a_child_that_does_not_become_ready_counts_as_dead(tmp_path: Path) -> None:
    async def never(_: int) -> bool:
        return False

    async with _supervised(_service(tmp_path, _SERVE, ready=never, ready_seconds=0.2)) as (_, life):
        with pytest.raises(StackFailed, match=r"last: not ready within 0.2 s"):
            await asyncio.wait_for(life, 30)


async def test_a_probe_that_needs_a_person_ends_everything_at_once(tmp_path: Path) -> None:
    async def refused(_: int) -> bool:
        raise PermissionError("wrong password: restore the credentials file")

    async with _supervised(_service(tmp_path, _SERVE, ready=refused)) as (supervisor, life):
        with pytest.raises(PermissionError, match="restore the credentials"):
            await asyncio.wait_for(life, 10)
        assert supervisor.pid is None


async def test_deaths_by_order_do_not_count_towards_the_limit(tmp_path: Path) -> None:
    async with _supervised(_service(tmp_path, _SERVE), death_limit=2) as (supervisor, life):
        pid = await _new_pid(supervisor, None)
        for _ in range(4):
            supervisor.kill(signal.SIGKILL)
            pid = await _new_pid(supervisor, pid)
        assert not life.done()
        assert supervisor.restarts == 4


async def test_with_auto_restart_off_a_dead_child_stays_dead_until_it_is_on(tmp_path: Path) -> None:
    async with _supervised(_service(tmp_path, _SERVE)) as (supervisor, _):
        first = await _new_pid(supervisor, None)
        supervisor.set_auto_restart(False)
        supervisor.kill(signal.SIGKILL)

        async def held() -> bool:
            return supervisor.state is State.HELD

        await eventually(held, "the service to be held")
        assert supervisor.pid is None
        with pytest.raises(ProcessLookupError, match="thing is not running"):
            supervisor.kill(signal.SIGKILL)
        supervisor.set_auto_restart(True)
        assert await _new_pid(supervisor, first) != first


async def test_a_deaf_or_frozen_child_is_killed_after_its_patience(tmp_path: Path) -> None:
    async with _supervised(_service(tmp_path, _DEAF, stop_seconds=0.3)) as (supervisor, life):
        pid = await _new_pid(supervisor, None)
        supervisor.kill(signal.SIGSTOP)
        await supervisor.stop()
        await asyncio.wait_for(life, 5)
        assert not psutil.pid_exists(pid)
        assert supervisor.state is State.STOPPED


async def test_stopping_while_starting_leaves_no_child(tmp_path: Path) -> None:
    seen: list[int] = []
    supervisor = Supervisor(_service(tmp_path, _SERVE), lambda: seen.extend([supervisor.pid] if supervisor.pid else []))
    life = asyncio.create_task(supervisor.run())

    async def spawned() -> bool:
        return bool(seen)

    await eventually(spawned, "the child to exist")
    await supervisor.stop()
    await asyncio.wait_for(life, 5)
    assert not any(psutil.pid_exists(pid) for pid in seen)


async def test_a_task_that_fails_says_where_to_read_why(tmp_path: Path) -> None:
    spec = ChildSpec((sys.executable, "-I", "-c", "raise SystemExit('no such table')"), tmp_path / "log", tmp_path)
    with pytest.raises(StackFailed, match=r"migrations failed: exit code 1. .*log, which ends: no such table"):
        await run_to_end("migrations", spec)


def test_parts_start_after_what_they_require_and_external_ones_count_as_there() -> None:
    async def nothing() -> None:
        return None

    parts = [Task("api", nothing, ("db", "temporal")), Task("db", nothing), Task("ui", nothing, ("api",))]
    assert [[part.name for part in level] for level in in_levels(list(parts))] == [["db"], ["api"], ["ui"]]
    with pytest.raises(ValueError, match="require each other: a, b"):
        in_levels([Task("a", nothing, ("b",)), Task("b", nothing, ("a",))])
