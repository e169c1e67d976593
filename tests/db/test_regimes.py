"""The regime as it was known: appended once, read as of an instant and of what was known by then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from db.models import BtcMarketState, BtcMarketStateHistory
from db.repositories.regimes import (
    REBUILD,
    SCAN,
    NewRegime,
    append_regimes,
    levels_at,
    list_regimes,
    newest_regime,
    regime_at,
    regime_before,
)
from db.session import Database
from domain.candle import to_ms
from domain.regime import NO_REGIME, Regime

CLOSE = datetime(2026, 1, 1, 8, tzinfo=UTC)
STEP = timedelta(hours=4)
MARKET = "paper/1"


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


def row(at: datetime, effective: Regime | None = Regime.BULL, **fields: Any) -> NewRegime:
    given = {
        "state": effective or Regime.NEUTRAL,
        "confirmed": effective is not None,
        "streak": 3,
        "pending": None,
        "score": 42.5,
        "components": {"close_over_ema_200": {"value": 12.0, "term": 0.6, "weight": 25.0}},
        "inputs": {"1d": {"bars": 1000}},
        "source": SCAN,
    }
    return NewRegime(valid_from=at, effective=effective, **{**given, **fields})


async def append(db: Database, *rows: NewRegime, epoch: str = MARKET) -> int:
    async with db.session() as session:
        return await append_regimes(session, epoch, rows)


async def wall(db: Database) -> datetime:
    async with db.session() as session:
        return await session.scalar(select(func.clock_timestamp())) or datetime.now(UTC)


async def levels(db: Database, *closes: datetime, known_by: datetime | None = None) -> list[int]:
    async with db.session() as session:
        times = np.array([to_ms(close) for close in closes], dtype=np.int64)
        found = await levels_at(session, MARKET, times, known_by)
    assert found.dtype == np.int8
    return found.tolist()


async def test_a_row_is_stored_once_and_never_replaced(db: Database) -> None:
    assert await append(db, row(CLOSE), row(CLOSE + STEP)) == 2
    assert await append(db, row(CLOSE, Regime.BEAR), row(CLOSE + 2 * STEP)) == 1
    assert await append(db) == 0
    async with db.session() as session:
        rows = await list_regimes(session, epoch=MARKET, since=None, before=None, limit=10)
    assert [each.valid_from for each in rows] == [CLOSE + 2 * STEP, CLOSE + STEP, CLOSE]
    assert {each.state for each in rows} == {"bull"}


async def test_the_history_can_neither_be_changed_nor_deleted(db: Database) -> None:
    await append(db, row(CLOSE))
    for attempt in ("UPDATE btc_market_state_history SET score = 0", "DELETE FROM btc_market_state_history"):
        async with db.engine.connect() as connection:
            with pytest.raises(DBAPIError, match="append-only"):
                await connection.exec_driver_sql(attempt)


async def test_the_newest_row_is_that_of_the_latest_close_whatever_is_filled_in_later(db: Database) -> None:
    async with db.session() as session:
        assert await newest_regime(session) is None
    await append(db, row(CLOSE, Regime.BULL))
    await append(db, row(CLOSE - 5 * STEP, Regime.BEAR, source=REBUILD))
    async with db.session() as session:
        newest = await newest_regime(session, MARKET)
        current = await session.get(BtcMarketState, MARKET)
        assert await newest_regime(session, "paper/2") is None
    assert newest is not None
    assert current is not None
    assert (newest.valid_from, newest.state) == (CLOSE, "bull")
    assert (current.history_id, current.valid_from, current.effective) == (newest.id, CLOSE, "bull")
    await append(db, row(CLOSE + STEP, Regime.STRONG_BULL))
    async with db.session() as session:
        moved = await session.get(BtcMarketState, MARKET)
    assert moved is not None
    assert (moved.valid_from, moved.state) == (CLOSE + STEP, "strong_bull")


async def test_without_a_market_named_the_newest_row_is_that_of_the_one_computed_last(db: Database) -> None:
    await append(db, row(CLOSE + 100 * STEP), epoch="paper/1")
    await append(db, row(CLOSE), epoch="paper/2")
    async with db.session() as session:
        newest = await newest_regime(session)
    assert newest is not None
    assert newest.epoch == "paper/2"


async def test_between_two_closes_the_regime_of_the_earlier_one_rules(db: Database) -> None:
    await append(db, row(CLOSE, Regime.BULL), row(CLOSE + STEP, Regime.STRONG_BULL))
    assert await levels(
        db, CLOSE - timedelta(seconds=1), CLOSE, CLOSE + timedelta(hours=3, minutes=59), CLOSE + STEP
    ) == [NO_REGIME, 1, 1, 2]
    assert await levels(db) == []


async def test_a_close_without_a_row_has_no_regime_however_fresh_the_one_before(db: Database) -> None:
    await append(db, row(CLOSE, Regime.BEAR), row(CLOSE + 2 * STEP, Regime.STRONG_BEAR))
    assert await levels(db, CLOSE, CLOSE + STEP, CLOSE + 2 * STEP) == [-1, NO_REGIME, -2]
    async with db.session() as session:
        assert await regime_at(session, MARKET, CLOSE + STEP) is None
        found = await regime_at(session, MARKET, CLOSE + 2 * STEP + timedelta(hours=1))
    assert found is not None
    assert found.state == "strong_bear"


async def test_a_regime_that_was_never_confirmed_is_none(db: Database) -> None:
    await append(db, row(CLOSE, None))
    assert await levels(db, CLOSE) == [NO_REGIME]


async def test_another_market_has_its_own(db: Database) -> None:
    await append(db, row(CLOSE), epoch="paper/2")
    assert await levels(db, CLOSE) == [NO_REGIME]


async def test_what_was_recorded_later_was_not_known(db: Database) -> None:
    await append(db, row(CLOSE, Regime.BULL))
    before = await wall(db)
    await append(db, row(CLOSE + STEP, Regime.BEAR, source=REBUILD))
    after = await wall(db)
    assert await levels(db, CLOSE, CLOSE + STEP, known_by=before) == [1, NO_REGIME]
    assert await levels(db, CLOSE, CLOSE + STEP, known_by=after) == [1, -1]
    async with db.session() as session:
        assert await regime_at(session, MARKET, CLOSE + STEP, before) is None
        assert await regime_at(session, MARKET, CLOSE + STEP, after) is not None


async def test_the_row_before_a_close_is_the_newest_of_a_stretch(db: Database) -> None:
    await append(db, row(CLOSE - 3 * STEP), row(CLOSE - 2 * STEP), row(CLOSE))
    async with db.session() as session:
        found = await regime_before(session, MARKET, CLOSE, CLOSE - 10 * STEP)
        assert found is not None
        assert found.valid_from == CLOSE - 2 * STEP
        assert await regime_before(session, MARKET, CLOSE, CLOSE - STEP) is None


async def test_a_page_of_the_history_ends_where_the_next_one_begins(db: Database) -> None:
    await append(db, *(row(CLOSE + place * STEP) for place in range(5)))
    async with db.session() as session:
        first = await list_regimes(session, epoch=MARKET, since=CLOSE + STEP, before=None, limit=2)
        rest = await list_regimes(session, epoch=MARKET, since=CLOSE + STEP, before=first[-1].valid_from, limit=9)
        stored = await session.scalar(select(func.count()).select_from(BtcMarketStateHistory))
    assert [each.valid_from for each in [*first, *rest]] == [CLOSE + place * STEP for place in (4, 3, 2, 1)]
    assert stored == 5
