"""Backfills on a real database and exchange: pages, interruptions, repeats, holes, refusals, warm-up."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.backfill import BackfillActivities
from activities.backfill_range import BackfillName, BackfillProgress, BackfillRange, BackfillResult, backfill_input_of
from activities.history import PacedHistory
from db.models import Backfill, CandleRow, SystemEvent, SystemSetting
from db.repositories.backfills import open_backfills
from db.repositories.candles import Hole, holes
from db.repositories.market import upsert_candles
from db.repositories.strategies import seed_strategies
from db.session import Database
from domain.candle import Timeframe
from domain.history import STORED_TIMEFRAMES, bars_of_market, bars_to_decide, last_bars
from domain.market import Category
from exchange.bybit import BybitExchange
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually

START = datetime(2024, 3, 4, 10, 7, tzinfo=UTC)
END = datetime(2024, 3, 4, 10, tzinfo=UTC)
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@dataclass
class Archive:
    """One worker's backfills, run activity by activity."""

    database: Database
    paper: PaperExchange
    gateway: BybitExchange
    activities: BackfillActivities

    async def run(self, activity: Callable[..., Any], *given: Any, beats: list[Any] | None = None, **info: Any) -> Any:
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, **info)
        if beats is not None:
            environment.on_heartbeat = lambda *details: beats.append(details[0])
        return await environment.run(activity, *given)

    async def open(self, **changes: Any) -> BackfillProgress:
        return await self.run(self.activities.open_backfill, wanted(**changes))

    async def fetch(self, timeframe: Timeframe = Timeframe.M15) -> BackfillResult:
        name = BackfillName(symbol="BTCUSDT", timeframe=timeframe)
        while (fetched := await self.run(self.activities.fetch_history, name)).result is None:
            pass
        return fetched.result

    async def backfill(self, **changes: Any) -> BackfillResult:
        await self.open(**changes)
        return await self.fetch(wanted(**changes).timeframe)

    async def count_requests(self) -> None:
        await asyncio.to_thread(self.paper.add_fault, kind="delay", endpoint="market/kline", delay_ms=1, count=None)

    async def requests(self) -> int:
        rows = await asyncio.to_thread(self.paper.control, "GET", "faults")
        return sum(row["hits"] for row in rows["faults"] if row["kind"] == "delay")

    async def row(self, timeframe: str = "15m") -> Backfill:
        async with self.database.session() as session:
            found = await session.get(Backfill, ("BTCUSDT", timeframe))
        assert found is not None
        return found

    async def stored(self, category: Category = Category.SPOT, timeframe: str = "15m") -> int:
        mine = (CandleRow.category == category) & (CandleRow.timeframe == timeframe) & (CandleRow.symbol == "BTCUSDT")
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(CandleRow).where(mine)) or 0

    async def sql(self, statement: str) -> None:
        async with self.database.session() as session:
            await session.execute(text(statement))


def wanted(**changes: Any) -> BackfillRange:
    fields = {"symbol": "BTCUSDT", "timeframe": "15m", "start": END - timedelta(days=30), "end": END, **changes}
    return BackfillRange.model_validate(fields)


@asynccontextmanager
async def opened(dsn: str, paper: PaperExchange) -> AsyncIterator[Archive]:
    data = Database(dsn)
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
    await gateway.start()
    history = PacedHistory(gateway, per_second=500)
    try:
        yield Archive(data, paper, gateway, BackfillActivities(data, gateway, history))
    finally:
        await gateway.close()
        await data.close()


@pytest.fixture
async def archive(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Archive]:
    options = ("--manual", "--start", START.isoformat(), "--symbols", *SYMBOLS)
    async with opened(database, await asyncio.to_thread(paper_exchange, *options)) as running:
        yield running


@pytest.fixture
async def young_market(
    database: str, paper_exchange: Callable[..., PaperExchange], tmp_path: Path
) -> AsyncIterator[Archive]:
    """A market replayed from a file that begins two days before ``END``."""
    file, begins = tmp_path / "BTCUSDT_15m.csv", END - timedelta(days=2)
    bars = (f"{begins + number * timedelta(minutes=15)},100,101,99,100,5" for number in range(3 * 96))
    file.write_text("\n".join(["open_time,open,high,low,close,volume", *bars]))
    options = ("--replay", str(file), "--start", START.isoformat())
    async with opened(database, await asyncio.to_thread(paper_exchange, *options)) as running:
        yield running


async def test_a_range_is_fetched_in_pages_of_a_thousand_for_both_categories(archive: Archive) -> None:
    await archive.count_requests()
    opened = await archive.open()
    assert (opened.cursor, opened.share, opened.categories) == (opened.start, 0.0, tuple(Category))
    result = await archive.fetch()
    bars = 30 * 96
    assert await archive.requests() == result.pages == 2 * 3
    assert (result.candles, result.bars_missing, result.share) == (2 * bars, 0, 1.0)
    assert await archive.stored(Category.SPOT) == await archive.stored(Category.LINEAR) == bars
    row = await archive.row()
    assert (row.state, row.cursor, row.pages, row.candles) == ("done", END, 6, 2 * bars)


async def test_what_is_stored_is_the_exchange_s_own_candles(archive: Archive) -> None:
    await archive.backfill(timeframe="4h", start=END - timedelta(days=5))
    told = await archive.gateway.candles(Category.LINEAR, "BTCUSDT", "4h", END - timedelta(days=5), END)
    async with archive.database.session() as session:
        rows = (await session.scalars(select(CandleRow).where(CandleRow.category == "linear"))).all()
    fields = ("open_time", "open", "high", "low", "close", "volume", "turnover")
    of_rows = {tuple(getattr(row, name) for name in fields) for row in rows}
    assert of_rows == {tuple(getattr(each, name) for name in fields) for each in told if each.confirmed}


async def test_a_second_backfill_of_what_is_there_asks_the_exchange_for_nothing(archive: Archive) -> None:
    first = await archive.backfill()
    await archive.count_requests()
    second = await archive.backfill()
    assert await archive.requests() == second.pages == second.candles == 0
    assert second.bars_missing == first.bars_missing == 0
    await archive.sql("DELETE FROM candles WHERE category = 'spot' AND open_time = '2024-03-01T00:00Z'")
    third = await archive.backfill()
    assert (await archive.requests(), third.pages, third.bars_missing) == (1, 1, 0)


async def test_an_attempt_that_is_killed_costs_at_most_one_page(archive: Archive) -> None:
    """After each page in turn: between its commit and the row's, the heartbeat, or the answer."""
    await archive.count_requests()
    await archive.open()
    name, pages = BackfillName(symbol="BTCUSDT", timeframe=Timeframe.M15), 6
    for killed_after in range(1, pages):
        attempt = asyncio.create_task(archive.run(archive.activities.fetch_history, name))

        async def at_page(number: int = killed_after) -> bool:
            return (await archive.row()).pages >= number

        await eventually(at_page, f"page {killed_after}", every=0.001)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    killed = pages - 1
    result = await archive.fetch()
    assert (result.bars_missing, result.share) == (0, 1.0)
    assert await archive.requests() <= pages + killed


async def test_the_next_attempt_goes_on_from_the_heartbeat_where_it_is_ahead_of_the_row(archive: Archive) -> None:
    """The first category's page is stored, holes and all, when the attempt dies: it is not asked for again."""
    opened = await archive.open()
    first_page = opened.start + 1000 * timedelta(minutes=15)
    await archive.count_requests()
    beat = {"category": "spot", "cursor": first_page.isoformat()}
    name, beats = BackfillName(symbol="BTCUSDT", timeframe=Timeframe.M15), []
    fetched = await archive.run(archive.activities.fetch_history, name, beats=beats, heartbeat_details=[beat])
    assert (await archive.requests(), fetched.result.pages) == (5, 5)
    told = [(each.category, each.cursor) for each in beats if each is not None]
    assert told[0] == (Category.SPOT, first_page)
    assert told[-1] == (Category.LINEAR, END)


async def test_an_outage_of_the_exchange_is_worth_another_try_and_loses_nothing(archive: Archive) -> None:
    await archive.open()
    fault = {"kind": "http_5xx", "endpoint": "market/kline", "match": {"category": "linear"}}
    await asyncio.to_thread(archive.paper.add_fault, **fault)
    with pytest.raises(ApplicationError) as caught:
        await archive.fetch()
    assert not caught.value.non_retryable
    assert (await archive.row()).state == "running"
    assert (await archive.fetch()).bars_missing == 0


async def test_candles_the_exchange_does_not_have_are_told_and_not_asked_for_ever(young_market: Archive) -> None:
    """The market's data begins a day after the range does."""
    result = await young_market.backfill(start=END - timedelta(days=3), categories=["linear"])
    (hole,) = result.holes
    assert (hole.category, hole.start, hole.bars, result.bars_missing) == (
        Category.LINEAR,
        END - timedelta(days=3),
        96,
        96,
    )
    assert (result.pages, result.candles, (await young_market.row()).state) == (1, 2 * 96, "done")


async def test_the_stream_and_a_backfill_may_write_the_same_candles_at_once(archive: Archive) -> None:
    start = END - timedelta(days=30)
    told = await archive.gateway.candles(Category.SPOT, "BTCUSDT", "15m", start, END - timedelta(minutes=15))
    linear = await archive.gateway.candles(Category.LINEAR, "BTCUSDT", "15m", start, END - timedelta(minutes=15))
    both = [*reversed(linear), *reversed(told)]
    ended = asyncio.Event()

    async def stream() -> int:
        written = 0
        while not ended.is_set():
            async with archive.database.session() as session:
                await upsert_candles(session, both)
            written += 1
        return written

    streaming = asyncio.create_task(stream())
    result = await archive.backfill()
    ended.set()
    assert await streaming > 0
    assert result.bars_missing == 0
    assert await archive.stored(Category.SPOT) == await archive.stored(Category.LINEAR) == 30 * 96


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"symbol": "NOSUCHUSDT"}, "symbol", "not listed on spot or linear"),
        ({"start": END + timedelta(days=1), "end": None}, "start", "in the future"),
        ({"end": END + timedelta(days=1)}, "end", "in the future"),
        ({"start": END + timedelta(minutes=1), "end": None}, "start", "no 15m candle"),
    ],
)
async def test_a_range_that_can_not_be_fetched_is_refused_with_an_audit_event(
    archive: Archive, changes: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ApplicationError) as caught:
        await archive.open(**changes)
    assert caught.value.non_retryable
    assert caught.value.details[0]["field"] == field
    assert words in str(caught.value)
    async with archive.database.session() as session:
        (event,) = (await session.scalars(select(SystemEvent).where(SystemEvent.kind == "backfill_failed"))).all()
        rows = (await session.scalars(select(Backfill))).all()
    assert (event.subject, event.detail["field"]) == (f"backfill/{wanted(**changes).symbol}/15m", field)
    assert [row.state for row in rows] == (["failed"] if field == "symbol" else [])


async def test_a_symbol_that_goes_while_it_is_fetched_fails_the_row(archive: Archive) -> None:
    await archive.open()
    await archive.sql("UPDATE backfills SET symbol = 'GONEUSDT'")
    name = BackfillName(symbol="GONEUSDT", timeframe=Timeframe.M15)
    with pytest.raises(ApplicationError) as caught:
        await archive.run(archive.activities.fetch_history, name)
    assert (caught.value.type, caught.value.non_retryable) == ("exchange_refused", True)
    async with archive.database.session() as session:
        row = await session.get(Backfill, ("GONEUSDT", "15m"))
    assert row is not None
    assert (row.state, "GONEUSDT" in (row.error or "")) == ("failed", True)


async def test_a_running_backfill_goes_on_from_its_row_and_another_range_begins_anew(archive: Archive) -> None:
    opened = await archive.open()
    await archive.sql(f"UPDATE backfills SET cursor = '{END - timedelta(days=3)}', pages = 2")
    async with archive.database.session() as session:
        (row,) = await open_backfills(session)
    again = await archive.run(archive.activities.open_backfill, backfill_input_of(row))
    assert (again.cursor, again.pages, again.start) == (END - timedelta(days=3), 2, opened.start)
    other = await archive.open(start=END - timedelta(days=10))
    assert (other.cursor, other.pages) == (other.start, 0) == (END - timedelta(days=10), 0)


async def test_a_given_up_backfill_is_not_open_any_more(archive: Archive) -> None:
    await archive.open()
    await archive.run(archive.activities.give_up_backfill, BackfillName(symbol="BTCUSDT", timeframe=Timeframe.M15))
    async with archive.database.session() as session:
        assert await open_backfills(session) == []
    assert (await archive.row()).error == "cancelled"


async def test_a_warm_up_asks_for_what_decisions_need_and_is_not_stored(archive: Archive) -> None:
    async with archive.database.session() as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "universe").values(value=["ETHUSDT"]))
    planned: list[BackfillRange] = await archive.run(archive.activities.plan_warm_up)
    asked = {(each.symbol, each.timeframe): each for each in planned}
    of_universe = {("ETHUSDT", timeframe) for timeframe in STORED_TIMEFRAMES}
    assert asked.keys() == of_universe | {("BTCUSDT", Timeframe.D1), ("BTCUSDT", Timeframe.H4)}
    needed = bars_to_decide()
    for (symbol, timeframe), each in asked.items():
        bars = bars_of_market(needed, Category.LINEAR, symbol, timeframe)
        assert (each.start, each.end) == last_bars(timeframe, bars, START)
        assert each.categories is not None
        assert set(each.categories) == set(Category)

    await archive.backfill(**asked["BTCUSDT", Timeframe.D1].model_dump())
    await archive.backfill(**{**asked["BTCUSDT", Timeframe.H4].model_dump(), "categories": ["linear"]})
    planned = await archive.run(archive.activities.plan_warm_up)
    rest = {(each.symbol, each.timeframe): each.categories for each in planned}
    assert rest.keys() == of_universe | {("BTCUSDT", Timeframe.H4), ("BTCUSDT", Timeframe.D1)}
    assert rest["BTCUSDT", Timeframe.H4] == (Category.SPOT,)
    assert rest["BTCUSDT", Timeframe.D1] == (Category.LINEAR,), "the regime wants more than this market has"
    assert bars_of_market(needed, Category.LINEAR, "BTCUSDT", Timeframe.D1) == 1030


async def test_a_warm_up_asks_for_the_markets_that_strategies_need_beside_the_universe(archive: Archive) -> None:
    async with archive.database.session(actor="test", reason="test") as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "universe").values(value=["ETHUSDT"]))
        await seed_strategies(session, "paper")
    planned: list[BackfillRange] = await archive.run(archive.activities.plan_warm_up)
    asked = {(each.symbol, each.timeframe) for each in planned}
    assert asked == {(symbol, timeframe) for symbol in ("BTCUSDT", "ETHUSDT") for timeframe in STORED_TIMEFRAMES}


async def test_holes_are_named_at_both_ends_and_in_the_middle(archive: Archive) -> None:
    hour, start = timedelta(hours=1), END - timedelta(hours=10)
    await archive.backfill(timeframe="1h", start=start, categories=["spot"])
    doomed = ", ".join(f"'{start + number * hour}'" for number in (0, 4, 5, 9))
    await archive.sql(f"DELETE FROM candles WHERE open_time IN ({doomed})")
    async with archive.database.session() as session:
        found = await holes(session, Category.SPOT, "BTCUSDT", Timeframe.H1, start, END)
    assert found == [Hole(start, 1), Hole(start + 4 * hour, 2), Hole(start + 9 * hour, 1)]


async def test_history_is_asked_for_at_one_pace_by_everybody(archive: Archive) -> None:
    paced = PacedHistory(archive.gateway, per_second=40, at_once=3)
    start, begun = END - timedelta(hours=4), time.monotonic()
    asked = (paced.candles(Category.SPOT, symbol, Timeframe.H1, start, END) for symbol in SYMBOLS * 10)
    answers = await asyncio.gather(*asked)
    assert all(len(candles) == 4 for candles in answers)
    assert time.monotonic() - begun >= 19 / 40
