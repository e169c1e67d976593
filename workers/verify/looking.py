"""Looking once, and looking again: a running system is always in the middle of something.

A finding counts only if it is there at every look. Each look reads the database in one snapshot first, so that what
the exchange tells after it can only be more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from db.session import Database
from exchange.protocol import Exchange
from workers.verify.account import judge_drift, measure_foreign
from workers.verify.books import PaperBooks
from workers.verify.decisions import judge_cursor, judge_scans, judge_snapshots, measure_decisions
from workers.verify.invariants import judge_invariants
from workers.verify.ledger import judge_ledger
from workers.verify.orders import judge_orders
from workers.verify.processes import judge_processes, running_workflows
from workers.verify.protection import judge_protection, measure_positions
from workers.verify.queries import judge_by_queries
from workers.verify.replays import ReplayJudge
from workers.verify.stops import StopJudge
from workers.verify.verdict import Figures, Finding, Kind

LOOKS = 3
PAUSE_SECONDS = 1.5

Look = Callable[[], Awaitable[tuple[Figures, list[Finding]]]]


async def look_again(look: Look) -> tuple[Figures, list[Finding]]:
    """The last look's figures, and the findings that were there at every look. A clean look is the last."""
    standing: set[tuple[Kind, str]] | None = None
    for number in range(LOOKS):
        if number:
            await asyncio.sleep(PAUSE_SECONDS)
        figures, found = await look()
        names = {(finding.kind, finding.subject) for finding in found}
        standing = names if standing is None else standing & names
        if not standing:
            return figures, []
    assert standing is not None
    return figures, [finding for finding in found if (finding.kind, finding.subject) in standing]


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.session() as session:
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        yield session


def paper_look(
    database: Database, client: Client, books: PaperBooks, max_unprotected: float, every_decision: bool = False
) -> Look:
    """Looks at everything: the paper exchange shows its books."""
    stops, replays = StopJudge(books), ReplayJudge(every_decision)

    async def look() -> tuple[Figures, list[Finding]]:
        figures = Figures()
        async with _snapshot(database) as session:
            await measure_positions(session, figures)  # the first query fixes the snapshot: before the books
            told = await books.read()
            clock = await books.clock()
            figures.orders, figures.executions = len(told["orders"]), len(told["executions"])
            await measure_foreign(session, figures)
            await measure_decisions(session, clock.epoch, figures)
            return figures, [
                *await judge_orders(session, told),
                *await judge_ledger(session, told),
                *await judge_drift(session),
                *await judge_protection(session, max_unprotected),
                *await judge_scans(session, clock.epoch),
                *await judge_snapshots(session, clock.epoch),
                *await judge_invariants(session, clock.epoch, figures),
                *await judge_cursor(session, clock),
                *await judge_processes(session, await running_workflows(client)),
                *await stops.judge(session, clock, figures),
                *await replays.judge(session, clock.epoch, figures),
            ]

    return look


def query_look(
    database: Database, client: Client, exchange: Exchange, max_unprotected: float, every_decision: bool = False
) -> Look:
    """Looks at what an exchange without books answers to questions."""
    replays = ReplayJudge(every_decision)

    async def look() -> tuple[Figures, list[Finding]]:
        figures = Figures()
        async with _snapshot(database) as session:
            await measure_positions(session, figures)
            clock = await exchange.market_clock()
            await measure_foreign(session, figures)
            await measure_decisions(session, clock.epoch, figures)
            return figures, [
                *await judge_by_queries(session, exchange),
                *await judge_drift(session),
                *await judge_protection(session, max_unprotected),
                *await judge_scans(session, clock.epoch),
                *await judge_snapshots(session, clock.epoch),
                *await judge_invariants(session, clock.epoch, figures),
                *await judge_cursor(session, clock),
                *await judge_processes(session, await running_workflows(client)),
                *await replays.judge(session, clock.epoch, figures),
            ]

    return look
