"""The universe on a real database and exchange: chosen at 4h closes, told when it changes, followed by the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update
from temporalio.testing import ActivityEnvironment

from activities import market_stream
from activities.due_strategies import ScanRequest
from activities.history import PacedHistory
from activities.market_stream import MarketStreamActivities, MarketStreamRequest
from activities.scan_candles import ScanCandleActivities
from activities.universe import followed, listed_universe
from db.models import InstrumentRow, Position, SystemEvent, UniverseMember
from db.repositories.universe import members, standings
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.position import PositionState
from exchange.bybit import BybitExchange
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually
from tests.workflows.scanning import set_setting

START = datetime(2024, 3, 4, 11, 30, tzinfo=UTC)
NOON = datetime(2024, 3, 4, 12, 0, tzinfo=UTC)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
ALL = [(category, symbol) for category in ("linear", "spot") for symbol in SYMBOLS]


@dataclass
class Listing:
    database: Database
    gateway: BybitExchange

    async def learn(self) -> list[tuple[str, str]]:
        """What the market stream would follow."""
        return [(one.category, one.symbol) for one in await listed_universe(self.database, self.gateway)]

    async def members(self) -> list[tuple[str, str]]:
        async with self.database.session() as session:
            return [(one.category, one.symbol) for one in await members(session)]

    async def left_out(self) -> dict[tuple[str, str], str]:
        async with self.database.session() as session:
            rows = await standings(session, category=None, symbol=None, member=False)
        return {(row.category, row.symbol): row.reason for row in rows}

    async def set(self, key: str, value: Any) -> None:
        await set_setting(self.database, key, value)

    async def step(self, to: datetime | None = None) -> datetime:
        """A quarter hour on, or as many as it takes."""
        while True:
            now = (await self.gateway.advance_clock()).now
            if to is None or now >= to:
                return now

    async def told(self) -> list[dict[str, Any]]:
        found = select(SystemEvent.detail).where(SystemEvent.kind == "universe_changed").order_by(SystemEvent.id)
        async with self.database.session() as session:
            return list(await session.scalars(found))

    async def hold(self, category: Category, symbol: str) -> None:
        async with self.database.session() as session:
            session.add(
                Position(
                    position_id=f"M{symbol}",
                    market_epoch="test",
                    strategy="manual",
                    category=category,
                    symbol=symbol,
                    side="long",
                    state=PositionState.OPEN,
                    policy={},
                    disaster_buffer_pct=Decimal(1),
                    settings_version=1,
                    planned_qty=Decimal(1),
                    reference_price=Decimal(1),
                    requested_by="test",
                    reason="test",
                    trace_id="",
                    reserved_at=START,
                )
            )


@pytest.fixture
async def listing(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Listing]:
    options = ("--speed", "step", "--start", START.isoformat(), "--symbols", *SYMBOLS)
    paper = await asyncio.to_thread(paper_exchange, *options)
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 20.0)
    await gateway.start()
    made = Listing(Database(database), gateway)
    yield made
    await gateway.close()
    await made.database.close()


async def test_the_default_settings_choose_the_whole_market_and_say_so_once(listing: Listing) -> None:
    assert await listing.members() == []
    assert await listing.learn() == ALL
    assert await listing.members() == ALL
    (told,) = await listing.told()
    assert told["left"] == []
    assert [(each["category"], each["symbol"], each["reason"]) for each in told["joined"]] == [
        (*market, "chosen") for market in ALL
    ]
    await asyncio.gather(listing.learn(), listing.learn())
    assert len(await listing.told()) == 1
    async with listing.database.session() as session:
        rows = await standings(session, category=Category.SPOT, symbol=None, member=True)
    assert [row.rank for row in rows] == [1, 2, 3]
    assert all(row.turnover_usd is not None and row.turnover_usd > 0 for row in rows)
    assert all(row.spread_bps is not None and 0 < row.spread_bps < 100 for row in rows)


async def test_rules_take_effect_with_the_scan_of_the_next_4h_close_and_not_before(listing: Listing) -> None:
    await listing.learn()
    await listing.set("universe_size", 1)
    await listing.learn()
    assert await listing.members() == ALL, "nothing is due between 4h closes"
    await scan(listing, await listing.step())
    assert await listing.members() == ALL
    await scan(listing, await listing.step(NOON))
    kept = await listing.members()
    assert [category for category, _ in kept] == ["linear", "spot"]
    assert await listing.left_out() == {market: "size" for market in ALL if market not in kept}
    _, change = await listing.told()
    assert change["joined"] == []
    assert {(each["category"], each["symbol"]) for each in change["left"]} == set(ALL) - set(kept)
    async with listing.database.session() as session:
        rows = {(row.category, row.symbol): row.since for row in await session.scalars(select(UniverseMember))}
    assert {market: at >= NOON for market, at in rows.items()} == {market: market not in kept for market in ALL}


async def scan(listing: Listing, close_at: datetime) -> None:
    """The first half of a scan."""
    epoch = (await listing.gateway.market_clock()).epoch
    activities = ScanCandleActivities(listing.database, listing.gateway, {})
    request = ScanRequest(epoch=epoch, close_at=close_at, timeframes=[Timeframe.M15])
    await activities.open_scan(request)
    await ActivityEnvironment().run(activities.complete_candles, request)


async def test_symbols_named_are_all_there_is_and_one_excluded_is_out_at_once(listing: Listing) -> None:
    await listing.set("universe_size", 1)
    await listing.set("universe", ["ETHUSDT", "SOLUSDT"])
    named = [market for market in ALL if market[1] != "BTCUSDT"]
    assert await listing.learn() == named
    assert (await listing.left_out()) == {market: "not_named" for market in ALL if market not in named}
    await listing.set("universe_exclude", ["SOLUSDT"])
    assert await listing.members() == [market for market in named if market[1] != "SOLUSDT"]


async def test_what_is_held_is_followed_though_it_left_the_universe(listing: Listing) -> None:
    await listing.hold(Category.SPOT, "SOLUSDT")
    await listing.set("universe", ["ETHUSDT"])
    assert await listing.learn() == [("linear", "ETHUSDT"), ("spot", "ETHUSDT")], "a symbol nobody stored isn't listed"
    await listing.set("universe", [])
    assert await listing.learn() == ALL
    await listing.set("universe_exclude", ["BTCUSDT", "SOLUSDT"])
    async with listing.database.session() as session:
        await session.execute(update(InstrumentRow).where(InstrumentRow.symbol == "SOLUSDT").values(tradable=False))
        kept = [(one.category, one.symbol) for one in await followed(session)]
    assert kept == [("linear", "ETHUSDT"), ("spot", "ETHUSDT"), ("spot", "SOLUSDT")]


async def test_the_age_of_a_spot_symbol_is_found_out_from_its_first_candle(listing: Listing) -> None:
    await listing.set("universe_min_age_days", 30)
    assert await listing.learn() == ALL
    async with listing.database.session() as session:
        rows = await session.scalars(select(InstrumentRow).where(InstrumentRow.category == "spot"))
        known = {row.symbol: row.launched_at for row in rows}
        standing = {
            row.symbol: row.age_days
            for row in await standings(session, category=Category.SPOT, symbol=None, member=True)
        }
    first = await listing.gateway.candles(Category.SPOT, "BTCUSDT", "1d", START - timedelta(days=900), START)
    assert known["BTCUSDT"] == first[0].open_time
    assert standing["BTCUSDT"] == pytest.approx((START - first[0].open_time) / timedelta(days=1), abs=0.1)
    await listing.learn()
    async with listing.database.session() as session:
        row = await session.get(InstrumentRow, ("spot", "BTCUSDT"))
        assert row is not None
        assert row.launched_at == known["BTCUSDT"], "what was found out stays"


async def test_young_symbols_are_left_out(listing: Listing) -> None:
    await listing.set("universe_min_age_days", 3_000)
    assert await listing.learn() == []
    assert set((await listing.left_out()).values()) == {"age"}


async def test_the_stream_follows_the_universe_and_keeps_what_is_held(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_stream, "_FOLLOW_SECONDS", 0.1)
    await listing.hold(Category.SPOT, "SOLUSDT")
    activities = MarketStreamActivities(listing.database, listing.gateway, PacedHistory(listing.gateway))
    environment = ActivityEnvironment()
    running = asyncio.ensure_future(environment.run(activities.stream_market, MarketStreamRequest(run_seconds=90)))
    try:
        await eventually(lambda: streams(listing, set(ALL)), "the whole market to be streamed")
        await listing.set("universe_exclude", ["SOLUSDT", "BTCUSDT"])
        rest = {market for market in ALL if market[1] == "ETHUSDT"} | {("spot", "SOLUSDT")}
        await eventually(lambda: streams(listing, rest), "what left to be left, and what is held to stay")
        await listing.set("universe_exclude", ["SOLUSDT"])
        rest |= {("linear", "BTCUSDT"), ("spot", "BTCUSDT")}
        await eventually(lambda: streams(listing, rest), "what joined to be streamed")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def streams(listing: Listing, expected: set[tuple[str, str]]) -> bool:
    live = [each.stream for each in listing.gateway.freshness() if each.connected]
    tickers = [stream.split(":") for stream in live if "tickers." in stream]
    return {(category, topic.removeprefix("tickers.")) for category, topic in tickers} == expected
