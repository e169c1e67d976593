"""The market stream on a real exchange: prompt candles, taker volume that adds up, no hole after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from temporalio.testing import ActivityEnvironment

from activities.history import PacedHistory
from activities.market_stream import MarketStreamActivities, MarketStreamRequest
from db.models import CandleRow, SystemSetting, TakerVolume
from db.repositories.candles import holes
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from exchange.bybit import BybitExchange
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually

START = datetime(2024, 3, 4, 9, 40, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@dataclass
class Streaming:
    database: Database
    paper: PaperExchange
    gateway: BybitExchange

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """One attempt of the stream for the length of the block, ended as a worker's death ends it."""
        activities = MarketStreamActivities(self.database, self.gateway, PacedHistory(self.gateway))
        environment = ActivityEnvironment()
        running = asyncio.ensure_future(environment.run(activities.stream_market, MarketStreamRequest(run_seconds=90)))
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def candles(self) -> dict[datetime, CandleRow]:
        mine = (CandleRow.category == "spot") & (CandleRow.symbol == "BTCUSDT") & (CandleRow.timeframe == "15m")
        async with self.database.session() as session:
            rows = await session.scalars(select(CandleRow).where(mine))
        return {row.open_time: row for row in rows}

    async def taken(self) -> dict[datetime, TakerVolume]:
        mine = (TakerVolume.category == "spot") & (TakerVolume.symbol == "BTCUSDT")
        async with self.database.session() as session:
            return {row.open_time: row for row in await session.scalars(select(TakerVolume).where(mine))}

    async def closed(self, number: int) -> list[datetime]:
        """Open times of the stored candles once there are so many."""

        async def enough() -> list[datetime]:
            stored = sorted(await self.candles())
            return stored if len(stored) >= number else []

        return await eventually(enough, f"{number} candles stored", timeout=30)


@pytest.fixture
async def open_market(
    database: str, paper_exchange: Callable[..., PaperExchange]
) -> AsyncIterator[Callable[[str], Streaming]]:
    data, gateways = Database(database), list[BybitExchange]()
    async with data.session() as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "universe").values(value=["BTCUSDT"]))

    async def start(speed: str) -> Streaming:
        options = ("--speed", speed, "--start", START.isoformat(), "--symbols", "BTCUSDT")
        paper = await asyncio.to_thread(paper_exchange, *options)
        gateways.append(BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0))
        await gateways[-1].start()
        return Streaming(data, paper, gateways[-1])

    yield start  # type: ignore[misc]
    for gateway in gateways:
        await gateway.close()
    await data.close()


def share_seen(taken: TakerVolume, candle: CandleRow) -> float:
    return (taken.bought + taken.sold) / candle.volume


@pytest.mark.slow
async def test_taker_volume_of_a_quarter_seen_whole_is_its_candle_s_and_of_one_half_seen_less(open_market) -> None:
    market: Streaming = await open_market("600")
    async with market.stream():
        first = await market.closed(4)
    async with market.stream():
        await market.closed(len(first) + 4)
        candles, taken = await market.candles(), await market.taken()
    seen = {at: share_seen(taken[at], candles[at]) for at in taken if at in candles}
    whole = [at for at, share in seen.items() if share == pytest.approx(1, rel=1e-9)]
    assert all(share <= 1 + 1e-9 for share in seen.values()), "more was counted than happened"
    broken = sorted(at for at in seen if at not in whole)
    assert len(whole) >= 5
    assert min(taken) in broken, "the stream began in the middle of it"
    assert any(first[-1] < at for at in broken), "the stream was away in the middle of it"
    assert len(broken) <= 4


@pytest.mark.slow
async def test_a_stream_that_was_away_leaves_no_hole_in_the_candles(open_market) -> None:
    market: Streaming = await open_market("1800")
    async with market.stream():
        before = await market.closed(3)

    async def away() -> bool:
        clock = await market.gateway.market_clock()
        return clock.now > before[-1] + 12 * QUARTER

    await eventually(away, "hours to pass while nobody listens")
    async with market.stream():
        await market.closed(len(before) + 12)
        newest = max(await market.candles())
        for category in Category:
            async with market.database.session() as session:
                assert await holes(session, category, "BTCUSDT", Timeframe.M15, before[0], newest) == []


@pytest.mark.slow
async def test_a_confirmed_candle_is_stored_at_once_in_a_market_that_is_stepped(open_market) -> None:
    market: Streaming = await open_market("step")
    loop, waits = asyncio.get_running_loop(), list[float]()
    async with market.stream():
        await eventually(lambda: joined(market), "the stream to be live")
        for _ in range(8):
            stored = len(await market.candles())
            await asyncio.to_thread(market.paper.control, "POST", "clock/advance")
            begun = loop.time()
            await market.closed(stored + 1)
            waits.append(loop.time() - begun)
    assert sorted(waits)[len(waits) // 2] < 0.5, f"the flush of every second would be as fast: {waits}"


async def joined(market: Streaming) -> bool:
    streams = market.gateway.freshness()
    return len(streams) >= 14 and all(each.connected for each in streams)
