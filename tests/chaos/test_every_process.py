"""Each process of a system is killed while positions trail: all of them are watched again soon, and nothing is lost.

The seconds until then are printed; they are wall time from the kill until every open position is watched and protected
by a guard, has its workflow, and the API answers.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import select

from db.models import SystemEvent
from tests.chaos.whole_system import WholeSystem
from tests.support.folders import scratch_folder
from workers.verify import verify

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

SPEED = 20.0
WITHIN_SECONDS = 30.0
ANEW_WITHIN_SECONDS = 60.0
"""The whole system starts from nothing: every process loads its code at once."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system() -> AsyncIterator[WholeSystem]:
    with scratch_folder() as folder:
        running = WholeSystem(folder, SPEED)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


async def recover_and_verify(
    system: WholeSystem, what: str, began: float, part: str | None, pid: int | None, within: float = WITHIN_SECONDS
) -> None:
    seconds = await system.recovered(began, part, pid)
    sys.stderr.write(f"\nkilled {what}: everything watched and protected again after {seconds:.1f} s\n")
    assert seconds < within
    verdict = await verify(system.settings)
    assert verdict.ok, verdict.findings
    assert verdict.orders_doubled == 0


@pytest.mark.parametrize("part", ["worker-trading", "temporal", "postgres", "exchange", "api"])
async def test_a_killed_process_is_replaced_and_nothing_is_lost(system: WholeSystem, part: str) -> None:
    await system.hold()
    began = time.monotonic()
    pid = system.kill(part)
    await recover_and_verify(system, part, began, part, pid)


async def test_a_killed_launcher_takes_all_with_it_and_the_next_one_finds_everything(system: WholeSystem) -> None:
    await system.hold()
    began = time.monotonic()
    system.launcher.kill(signal.SIGKILL)
    await asyncio.to_thread(system.launcher.start)
    await recover_and_verify(system, "launcher", began, None, None, ANEW_WITHIN_SECONDS)


async def test_workflows_that_temporal_forgot_come_back_from_their_rows(system: WholeSystem) -> None:
    await system.hold()
    async with system.database.session() as session:
        before = (await session.scalars(select(SystemEvent.id).order_by(SystemEvent.id.desc()).limit(1))).first() or 0
    began = time.monotonic()
    pid = system.pids()["temporal"]
    system.forget_workflows()
    await recover_and_verify(system, "temporal and its database file", began, "temporal", pid)
    async with system.database.session() as session:
        events = select(SystemEvent.subject).where(SystemEvent.id > before, SystemEvent.kind == "workflow_brought_back")
        brought_back = (await session.scalars(events)).all()
    assert len(set(brought_back)) >= 4, "every position's workflow was gone"
