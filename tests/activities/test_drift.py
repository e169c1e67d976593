"""Drift that stands: said once, said again when it is another, over only when a look could tell so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from activities.drift import acting, document, say_drift, standing
from db.models import SystemEvent
from db.repositories.settings import current_settings, set_halted, setting_history
from db.session import Database
from domain.reconciling import Drift

SIZE = Drift("size", "BTCUSDT", Decimal("0.5"), "BTCUSDT: half a coin too many")
COIN = Drift("balance", "USDT", Decimal(7), "USDT: seven too many")
ROW = Drift("log", "row-1", Decimal(1), "the log changed USDT for nothing")


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def say(db: Database, known: list[dict[str, Any]], now: list[dict[str, Any]]) -> tuple[bool, bool]:
    async with acting(db, now) as session:
        return await say_drift(session, known, now)


async def told(db: Database, kind: str) -> list[tuple[str, str]]:
    async with db.session() as session:
        rows = await session.scalars(select(SystemEvent).where(SystemEvent.kind == kind).order_by(SystemEvent.id))
        return [(row.subject, row.severity) for row in rows]


async def test_new_drift_halts_with_its_reason_and_pages_and_known_drift_does_neither(db: Database) -> None:
    now = [document(SIZE)]
    assert await say(db, [], now) == (True, True)
    async with db.session() as session:
        assert (await current_settings(session))["trading_halted"] is True
        (newest,) = await setting_history(session, "trading_halted", limit=1)
    assert newest.changed_by == "reconciliation"
    assert SIZE.sentence in newest.reason
    assert await say(db, now, now) == (False, False)
    assert await told(db, "drift") == [("BTCUSDT", "page")]
    assert await told(db, "trading_halted") == [("trading_halted", "warning")]


async def test_another_amount_is_another_finding_and_halts_again(db: Database) -> None:
    first, second = document(SIZE), {**document(SIZE), "amount": "0.7"}
    await say(db, [], [first])
    async with db.session(actor="test", reason="go on") as session:
        await set_halted(session, False, who="test", reason="go on")
    assert await say(db, [first], [second]) == (True, True)
    assert len(await told(db, "drift")) == 2


async def test_what_is_explained_is_said_and_lets_nothing_go_on_by_itself(db: Database) -> None:
    await say(db, [], [document(SIZE), document(COIN)])
    assert await say(db, [document(SIZE), document(COIN)], [document(COIN)]) == (True, False)
    assert await told(db, "drift_explained") == [("BTCUSDT", "warning")]
    async with db.session() as session:
        assert (await current_settings(session))["trading_halted"] is True


def test_known_drift_stands_while_nobody_could_judge_it() -> None:
    known = [document(SIZE), document(COIN), document(ROW)]
    assert standing(known, [], set(), whole=True) == []
    assert standing(known, [], set(), whole=False) == [document(COIN), document(ROW)], "no balances were looked at"
    assert standing(known, [], {"size BTCUSDT"}, whole=True) == [document(SIZE)], "the symbol moved"
    assert standing(known, [], {"log"}, whole=True) == [document(ROW)]
    other = Drift("size", "BTCUSDT", Decimal(1), "one too many")
    assert standing(known, [other], {"size BTCUSDT"}, whole=True) == [document(other)], "told once, as it is now"
