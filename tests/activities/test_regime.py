"""The regime on a real database and exchange: before anything decides, once a close, and filled in afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.candle_completion import OUTAGE_ATTEMPTS
from activities.due_strategies import ScanRequest
from activities.failures import EXCHANGE_UNAVAILABLE
from activities.regime import RegimeActivities, state_of
from activities.regime_rebuild import RebuildRange, Rebuilt, RegimeRebuildActivities, Stretch
from db.models import BtcMarketState, BtcMarketStateHistory, CandleRow, SystemEvent
from db.repositories.regimes import NewRegime, append_regimes
from db.session import Database
from domain.candle import Timeframe
from domain.history import REGIME_PAST
from domain.regime import Regime
from domain.regime_state import walk
from exchange.bybit import BybitExchange
from tests.support.paper import PaperExchange

STEP = Timeframe.H4.duration
A_MONTH = REGIME_PAST // STEP


@dataclass
class Desk:
    """The activities on a flat market that goes in steps, and its last 4h close."""

    database: Database
    gateway: BybitExchange
    paper: PaperExchange
    epoch: str
    close: datetime

    async def advance(self, close_at: datetime | None = None, attempt: int = 1) -> int:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        activities = RegimeActivities(self.database, self.gateway)
        request = ScanRequest(epoch=self.epoch, close_at=close_at or self.close, timeframes=[Timeframe.H4])
        return await environment.run(activities.advance_regime, request)

    async def rebuild(self, start: datetime, end: datetime) -> Rebuilt:
        stretch = Stretch(epoch=self.epoch, first=start, last=end)
        activities = RegimeRebuildActivities(self.database, self.gateway)
        return await ActivityEnvironment().run(activities.rebuild_stretch, stretch)

    async def open_rebuild(self, **wanted: Any) -> Stretch:
        activities = RegimeRebuildActivities(self.database, self.gateway)
        return await ActivityEnvironment().run(activities.open_rebuild, RebuildRange(**wanted))

    async def rows(self) -> Sequence[BtcMarketStateHistory]:
        async with self.database.session() as session:
            query = select(BtcMarketStateHistory).order_by(BtcMarketStateHistory.valid_from)
            return (await session.scalars(query)).all()

    async def events(self, kind: str) -> Sequence[SystemEvent]:
        async with self.database.session() as session:
            query = select(SystemEvent).where(SystemEvent.kind == kind).order_by(SystemEvent.id)
            return (await session.scalars(query)).all()

    async def candles(self) -> int:
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(CandleRow)) or 0

    async def lose(self, timeframe: Timeframe, *open_times: datetime) -> None:
        async with self.database.session() as session:
            doomed = (CandleRow.timeframe == timeframe) & CandleRow.open_time.in_(open_times)
            await session.execute(delete(CandleRow).where(doomed))

    async def grow(self, percent_a_day: float) -> None:
        """Make the stored candles those of a market that goes one way."""
        price = 60_000 * func.power(
            1 + percent_a_day / 100, func.extract("epoch", CandleRow.open_time - self.close) / 86_400
        )
        async with self.database.session() as session:
            await session.execute(update(CandleRow).values(open=price, high=price, low=price, close=price))


@pytest.fixture
async def desk(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Desk]:
    async for made in _desk(database, paper_exchange("--manual", "--speed", "step", "--symbols", "BTCUSDT=60000")):
        yield made


@pytest.fixture
async def desk_without_btc(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Desk]:
    async for made in _desk(database, paper_exchange("--manual", "--speed", "step", "--symbols", "ETHUSDT=3000")):
        yield made


async def _desk(dsn: str, paper: PaperExchange) -> AsyncIterator[Desk]:
    database = Database(dsn)
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
    await gateway.start()
    try:
        clock = await gateway.advance_clock()
        yield Desk(database, gateway, paper, clock.epoch, Timeframe.H4.floor(clock.now))
    finally:
        await gateway.close()
        await database.close()


async def test_a_fresh_system_computes_the_month_before_its_first_close_and_starts_confirmed(desk: Desk) -> None:
    assert await desk.advance() == A_MONTH + 1
    rows = await desk.rows()
    assert [each.valid_from for each in rows] == [desk.close - place * STEP for place in range(A_MONTH, -1, -1)]
    assert Counter(each.source for each in rows) == {"rebuild": A_MONTH, "scan": 1}
    assert [each.effective for each in rows[:3]] == [None, None, "neutral"]
    last = rows[-1]
    assert (last.state, last.effective, last.confirmed, last.streak) == ("neutral", "neutral", True, A_MONTH + 1)
    assert last.score == 0
    assert last.components["drawdown_90d"] == {"value": 0.0, "term": 1.0, "weight": 10.0}
    assert last.inputs["4h"]["bars"] == 250
    assert last.inputs["1d"]["bars"] == 450
    (told,) = await desk.events("regime_changed")
    assert (told.detail["from"], told.detail["to"], told.who) == (None, "neutral", "scan")
    async with desk.database.session() as session:
        current = await session.get(BtcMarketState, desk.epoch)
    assert current is not None
    assert (current.history_id, current.effective) == (last.id, "neutral")


async def test_a_close_advanced_again_writes_and_tells_nothing(desk: Desk) -> None:
    await desk.advance()
    before, candles = [each.id for each in await desk.rows()], await desk.candles()
    assert await desk.advance() == 0
    assert [each.id for each in await desk.rows()] == before
    assert await desk.candles() == candles
    assert len(await desk.events("regime_changed")) == 1


async def test_a_scan_between_two_closes_makes_up_for_the_last_one(desk: Desk) -> None:
    between = desk.close + timedelta(minutes=15)
    assert await desk.advance(between) == A_MONTH + 1
    assert {each.source for each in await desk.rows()} == {"rebuild"}
    assert await desk.advance(between + timedelta(minutes=15)) == 0


async def test_each_row_follows_from_the_one_before_it(desk: Desk) -> None:
    first = desk.close - 5 * STEP
    await desk.advance(first)
    assert await desk.advance() == 5
    rows = await desk.rows()
    assert [each.source for each in rows[-6:]] == ["scan", *["rebuild"] * 4, "scan"]
    walked = walk(None, [each.score for each in rows])
    assert [state_of(each) for each in rows] == walked


async def test_another_regime_in_force_is_an_event(desk: Desk) -> None:
    await desk.advance(desk.close - 4 * STEP)
    await desk.grow(2.0)
    for place in (3, 2, 1, 0):
        await desk.advance(desk.close - place * STEP)
    rows = await desk.rows()
    assert [each.state for each in rows[-5:]] == ["neutral", "neutral", *["strong_bull"] * 3]
    assert [each.effective for each in rows[-5:]] == [*["neutral"] * 4, "strong_bull"]
    assert rows[-4].pending == "strong_bull"
    told = [(each.detail["from"], each.detail["to"]) for each in await desk.events("regime_changed")]
    assert told == [(None, "neutral"), ("neutral", "strong_bull")]


async def test_a_regime_that_cannot_be_computed_is_told_once_and_the_scan_goes_on(desk_without_btc: Desk) -> None:
    desk = desk_without_btc
    assert await desk.advance(desk.close - STEP) == 0
    assert await desk.advance() == 0
    assert await desk.rows() == []
    (told,) = await desk.events("regime_unknown")
    assert told.severity == "warning"
    assert await desk.events("regime_changed") == []


async def test_an_exchange_that_is_down_is_asked_again_and_then_gone_without(desk: Desk) -> None:
    await desk.advance(desk.close - STEP)
    await desk.lose(Timeframe.H4, desk.close - STEP)
    desk.paper.stop()
    with pytest.raises(ApplicationError) as unavailable:
        await desk.advance()
    assert unavailable.value.type == EXCHANGE_UNAVAILABLE
    assert await desk.advance(attempt=OUTAGE_ATTEMPTS) == 0
    (told,) = await desk.events("regime_unknown")
    assert (await desk.rows())[-1].valid_from == desk.close - STEP
    desk.paper.start()
    assert await desk.advance() == 1
    assert [each.id for each in await desk.events("regime_unknown")] == [told.id]


async def test_a_rebuild_fills_what_is_missing_and_replaces_nothing(desk: Desk) -> None:
    recorded = desk.close - 10 * STEP
    odd = NewRegime(
        valid_from=recorded,
        state=Regime.BEAR,
        effective=Regime.BEAR,
        confirmed=True,
        streak=9,
        pending=None,
        score=-33.0,
        components={},
        inputs={},
        source="scan",
    )
    async with desk.database.session() as session:
        await append_regimes(session, desk.epoch, [odd])
    start = desk.close - 20 * STEP
    assert await desk.rebuild(start, desk.close) == Rebuilt(written=20, unknown=0)
    rows = await desk.rows()
    assert [each.valid_from for each in rows] == [start + place * STEP for place in range(21)]
    assert Counter(each.source for each in rows) == {"rebuild": 20, "scan": 1}
    assert (rows[10].state, rows[10].score) == ("bear", -33.0)
    assert [each.state for each in rows[9:13]] == ["neutral", "bear", "bear", "neutral"], "what follows follows from it"
    assert await desk.rebuild(start, desk.close) == Rebuilt(written=0, unknown=0)
    assert await desk.events("regime_changed") == [], "a past is no news"


async def test_a_rebuild_leaves_out_what_nobody_has_candles_of(desk: Desk) -> None:
    begun = Timeframe.D1.floor(desk.close) - timedelta(days=450 - 250)
    found = await desk.rebuild(begun - 12 * STEP, begun + 6 * STEP)
    assert found.written + found.unknown == 19
    assert 0 < found.written <= 13
    assert (await desk.rows())[0].effective is None


async def test_a_rebuild_is_of_whole_closes_that_have_passed(desk: Desk) -> None:
    opened = await desk.open_rebuild(
        start=desk.close - 2 * STEP - timedelta(hours=1), requested_by="operator", reason="gap"
    )
    assert (opened.epoch, opened.first, opened.last) == (desk.epoch, desk.close - 2 * STEP, desk.close)
    (told,) = await desk.events("regime_rebuild_requested")
    assert (told.who, told.detail["reason"]) == ("operator", "gap")
    with pytest.raises(ApplicationError, match="no 4h close"):
        await desk.open_rebuild(start=desk.close + timedelta(minutes=1))


def test_a_range_that_goes_back_or_begins_before_all_markets_is_refused() -> None:
    now = datetime.fromisoformat("2026-01-01T00:00:00Z")
    with pytest.raises(ValueError, match="must not be after end"):
        RebuildRange(start=now, end=now - STEP)
    with pytest.raises(ValueError, match="older"):
        RebuildRange(start=datetime.fromisoformat("0001-01-01T00:00:00Z"))
