"""Which streams can be relied on, by what the processes that read them said, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from db.repositories.links import read_links, read_rates, stale_streams, stream_ages, write_link, write_rates
from db.repositories.streams import write_stream_status
from db.session import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BTC, ETH = "linear:publicTrade.BTCUSDT", "linear:publicTrade.ETHUSDT"


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def told(db: Database, process: str, ages: dict[str, float | None], ago: float = 0.0) -> None:
    """``process`` said, so many seconds ago, how old each stream was then."""
    at = NOW - timedelta(seconds=ago)
    rows = [
        {
            "name": name,
            "connected": age is not None,
            "last_message_at": None if age is None else at - timedelta(seconds=age),
            "reconnects": 0,
        }
        for name, age in ages.items()
    ]
    async with db.session() as session:
        await write_stream_status(session, process, rows, at)


async def stale(db: Database, older_than: float) -> set[str]:
    async with db.session() as session:
        return await stale_streams(session, NOW, older_than)


async def test_a_stream_is_stale_when_it_is_older_than_allowed_or_was_never_served(db: Database) -> None:
    await told(db, "a", {BTC: 1.0, ETH: 6.0, "private": None})
    assert await stale(db, 5.0) == {ETH, "private"}
    assert await stale(db, 10.0) == {"private"}


async def test_the_process_where_it_is_worst_counts_among_those_that_live(db: Database) -> None:
    await told(db, "a", {BTC: 0.5, ETH: 0.5})
    await told(db, "b", {BTC: 7.0})
    await told(db, "gone", {ETH: 300.0}, ago=60.0)
    assert await stale(db, 5.0) == {BTC}


async def test_a_stream_whose_readers_are_all_gone_is_as_old_as_their_last_word(db: Database) -> None:
    await told(db, "gone", {BTC: 0.1}, ago=30.0)
    await told(db, "long gone", {BTC: 0.1}, ago=90.0)
    async with db.session() as session:
        assert await stream_ages(session, NOW, [BTC, "spot:tickers.NOBODY"]) == {BTC: 30.0}
    assert await stale(db, 20.0) == {BTC}


async def test_links_and_rates_are_replaced_by_their_process_and_forgotten_with_it(db: Database) -> None:
    link = {"mode": "paper", "order_entry": "rest", "clock_offset_ms": 1.5, "measured_at": NOW}
    rate = {"name": "place linear", "per_second": 10.0, "available": 7.0, "waiting": 2, "refused": 1}
    async with db.session() as session:
        for process, ago in (("a", 0.0), ("a", 0.0), ("gone", 60.0)):
            at = NOW - timedelta(seconds=ago)
            await write_link(session, process, link, at)
            await write_rates(session, process, [rate], at)
        await write_rates(session, "a", [{**rate, "waiting": 0}], NOW)
        await write_rates(session, "a", [], NOW)
    async with db.session() as session:
        assert [(one.process, one.clock_offset_ms) for one in await read_links(session, NOW)] == [("a", 1.5)]
        assert [(one.process, one.waiting) for one in await read_rates(session, NOW)] == [("a", 0)]
