"""An event that a repeated attempt would tell again is told once, also while the first attempt is still under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from db.models import SystemEvent
from db.repositories.audit import record_event, told_before
from db.session import Database

KIND = "position_denied"


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def tell(
    db: Database, subject: str, asked: asyncio.Event | None = None, go_on: asyncio.Event | None = None
) -> None:
    """One attempt: it asks, is held up if told to wait, and tells."""
    async with db.session() as session:
        before = await told_before(session, KIND, subject)
        if asked is not None and go_on is not None:
            asked.set()
            await go_on.wait()
        if not before:
            record_event(session, KIND, subject, who="position")


async def told(db: Database, subject: str) -> int:
    async with db.session() as session:
        count = await session.scalar(select(func.count(SystemEvent.id)).where(SystemEvent.subject == subject))
    return count or 0


async def test_an_attempt_beside_one_that_was_given_up_tells_nothing_again(db: Database) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(tell(db, "p1", asked, go_on))
    await asked.wait()
    second = asyncio.create_task(tell(db, "p1"))
    other = asyncio.create_task(tell(db, "p2"))
    await other
    assert not second.done()
    go_on.set()
    await asyncio.gather(first, second)
    assert (await told(db, "p1"), await told(db, "p2")) == (1, 1)


async def test_a_repeat_after_the_first_attempt_tells_nothing_again(db: Database) -> None:
    await tell(db, "p1")
    await tell(db, "p1")
    assert await told(db, "p1") == 1
