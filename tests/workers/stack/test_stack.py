"""The servers of the stack as a whole: order, second start, crashes, conflicts. The children here are the real ones."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from config.credentials import postgres_dsn
from tests.support.waiting import eventually, wait_until
from workers.stack import AlreadyRunning, PortTaken, Stack, StackFailed, State, spare_settings
from workers.stack.lock import lock_path
from workers.stack.remote import end_running_stack, running_stack
from workers.stack.status import StackStatus, read_status, status_path

_SERVERS = ("postgres", "temporal", "migrations")


@contextmanager
def _launcher(folder: Path, *parts: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A launcher process of these parts and the pids it told when ready."""
    settings = spare_settings(folder)
    given = {
        "postgres": {"port": settings.postgres.port},
        "temporal": settings.temporal.model_dump(include={"port", "ui_port", "metrics_port"}),
    }
    (folder / "settings.json").write_text(json.dumps(given))
    command = [sys.executable, "-m", "tests.support.launcher", str(folder / "settings.json"), *parts]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    try:
        yield launcher, json.loads(launcher.stdout.readline())
    finally:
        launcher.kill()
        launcher.wait()


def _family(pids: dict[str, int]) -> list[psutil.Process]:
    """These processes and everything they started."""
    roots = [psutil.Process(pid) for pid in pids.values()]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


@pytest.mark.slow
async def test_parts_become_ready_in_order_and_the_next_start_finds_the_data(scratch: Path) -> None:
    seen: list[StackStatus] = []
    settings = spare_settings(scratch)
    async with Stack(settings, _SERVERS, on_change=seen.append) as stack:
        assert set(stack.pids()) == {"postgres", "temporal"}
        told = running_stack(settings)
        assert told is not None
        assert told.ready
        assert told.part("postgres").port == settings.postgres.port
        connection = await asyncpg.connect(postgres_dsn(settings))
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS x")
        await connection.close()
    migrating = next(status for status in seen if status.part("migrations").state is State.STARTING)
    assert migrating.part("postgres").state is State.READY
    assert {part.state for part in seen[-1].parts} == {State.STOPPED}
    assert running_stack(settings) is None

    async with Stack(settings, _SERVERS):
        connection = await asyncpg.connect(postgres_dsn(settings))
        assert await connection.fetchval("SELECT x FROM kept") == 42
        await connection.close()


@pytest.mark.slow
async def test_a_killed_server_comes_back_and_the_stack_goes_on(scratch: Path) -> None:
    async with Stack(spare_settings(scratch), ("postgres", "temporal")) as stack:
        for name in ("postgres", "temporal"):
            pid = stack.kill(name)
            await stack.wait_dead(name, pid)
            assert await stack.wait_ready(name) != pid
        pid = stack.pids()["postgres"]
        await stack.restart("postgres")
        assert stack.pids()["postgres"] != pid


@pytest.mark.slow
async def test_a_service_can_be_kept_dead_for_a_while(scratch: Path) -> None:
    async with Stack(spare_settings(scratch), ("temporal",)) as stack:
        stack.set_auto_restart("temporal", False)
        pid = stack.kill("temporal")
        await stack.wait_dead("temporal", pid)

        async def held() -> bool:
            return stack.status().part("temporal").state is State.HELD

        await eventually(held, "temporal to be held")
        stack.set_auto_restart("temporal", True)
        assert await stack.wait_ready("temporal") != pid


async def test_two_launchers_on_one_folder_are_refused(scratch: Path) -> None:
    settings = spare_settings(scratch)
    async with Stack(settings, ("temporal",)) as stack:
        with pytest.raises(AlreadyRunning, match="already run by pid"):
            await Stack(settings, ("temporal",)).start()
        told = running_stack(settings)
        assert told is not None, "the refused launcher must not touch the status of the running one"
        assert told.part("temporal").pid == stack.pids()["temporal"]


async def test_a_taken_port_is_told_before_anything_starts(scratch: Path) -> None:
    settings = spare_settings(scratch)
    expected = rf"port {settings.postgres.port} \(PostgreSQL\) .* ATS_POSTGRES__PORT"
    with socket.create_server(("127.0.0.1", settings.postgres.port)), pytest.raises(PortTaken, match=expected):
        await Stack(settings, ("postgres", "temporal")).start()
    assert not (settings.data_dir / "postgres").exists()
    assert running_stack(settings) is None


@pytest.mark.slow
async def test_lost_credentials_stop_the_start_with_what_to_do(scratch: Path) -> None:
    settings = spare_settings(scratch)
    async with Stack(settings, ("postgres",)):
        pass
    (settings.data_dir / "credentials").unlink()
    with pytest.raises(StackFailed, match="postgres: the password in the credentials file isn't the one of the data"):
        await Stack(settings, ("postgres",)).start()
    assert running_stack(settings) is None


async def test_unknown_parts_are_named_with_those_there_are(scratch: Path) -> None:
    with pytest.raises(ValueError, match="no such part with these settings: postgress; there are api, exchange"):
        Stack(spare_settings(scratch), ("postgress",))


def test_external_servers_and_other_modes_are_not_started(scratch: Path) -> None:
    settings = spare_settings(
        scratch,
        postgres={"dsn": "postgresql://u:p@db.example/ats"},
        temporal={"address": "temporal.example:7233"},
        exchange={"mode": "testnet", "api_key": "k", "api_secret": "s"},
    )
    names = [part.name for part in Stack(settings).status().parts]
    assert names == ["migrations", "worker-trading", "worker-research", "api", "ui"]


@pytest.mark.slow
def test_kill_9_of_the_launcher_leaves_no_orphan_and_the_next_start_works(scratch: Path) -> None:
    with _launcher(scratch, "postgres", "temporal") as (launcher, pids):
        family = _family(pids)
        assert len(family) > len(pids), "PostgreSQL has processes of its own"
        launcher.kill()
        launcher.wait()
        _, living = psutil.wait_procs(family, timeout=8)
        assert living == []
    with _launcher(scratch, "postgres", "temporal") as (launcher, pids):
        assert set(pids) == {"postgres", "temporal"}


@pytest.mark.slow
def test_a_start_right_after_kill_9_ends_what_is_still_dying(scratch: Path) -> None:
    with _launcher(scratch, "postgres", "temporal") as (launcher, pids):
        psutil.Process(pids["postgres"]).suspend()  # can't hear that its launcher died
        launcher.kill()
        launcher.wait()
        settings = spare_settings(scratch, **json.loads((scratch / "settings.json").read_text()))

        async def start() -> dict[str, int]:
            async with Stack(settings, ("postgres", "temporal")) as stack:
                return stack.pids()

        again = asyncio.run(start())
        assert again["postgres"] != pids["postgres"]
        assert not psutil.pid_exists(pids["postgres"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_reverse_order_within_ten_seconds(scratch: Path, number: signal.Signals) -> None:
    with _launcher(scratch, *_SERVERS) as (launcher, pids):
        family = _family(pids)
        began = time.monotonic()
        launcher.send_signal(number)
        assert launcher.wait(timeout=10) == 0
        assert time.monotonic() - began < 10
        assert not any(process.is_running() for process in family)
    told = read_status(status_path(scratch / "ats"))
    assert told is not None
    assert {part.state for part in told.parts} == {State.STOPPED}


@pytest.mark.slow
def test_a_stack_can_be_ended_from_elsewhere(scratch: Path) -> None:
    with _launcher(scratch, "temporal") as (launcher, _):
        settings = spare_settings(scratch)
        assert end_running_stack(settings) == launcher.pid
        wait_until(lambda: launcher.poll() is not None, "the launcher to end")
        assert end_running_stack(settings) is None
        assert lock_path(settings.data_dir).exists()
