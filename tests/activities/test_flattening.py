"""What a flatten finds to close: everybody's, on both markets, whatever their strategies may do themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.flattening import FlattenActivities, FlattenRequest
from db.repositories.settings import current_settings
from db.session import Database
from tests.api import rows
from tests.workflows.scanning import configure

STATES = ("reserved", "entering", "open", "exiting", "closed", "not_entered", "not_entered")
LATE = 7
"""The last of them was given up, and filled all the same."""


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database, pool_size=2)
    yield opened
    await opened.close()


async def _hold(db: Database, number: int, **changes: Any) -> None:
    first = rows.ENTERED + timedelta(seconds=number)
    async with db.session() as session:
        session.add(rows.position(number, created_wall=first, **changes))


async def _everybody(db: Database) -> None:
    """A position of each state, each of another strategy, two of them on linear."""
    for number, state in enumerate(STATES, start=1):
        qty = Decimal("0.5") if state in ("open", "exiting") or number == LATE else Decimal(0)
        changes = {"category": "linear", "symbol": f"S{number}USDT", "side": "short"} if number in (2, 4) else {}
        await _hold(db, number, state=state, qty=qty, **changes)


async def _begin(db: Database, symbol: str | None) -> list[str]:
    request = FlattenRequest(flatten_id="one", symbol=symbol, requested_by="operator", reason="enough")
    return await ActivityEnvironment().run(FlattenActivities(db).begin_flatten, request)


async def test_everything_that_holds_its_place_is_to_go_and_entries_are_halted(db: Database) -> None:
    await _everybody(db)
    await configure(db, {}, strategy="manual3", sell_gate=False)
    wanted = [rows.position_id(number) for number in (1, 2, 3, 4, LATE)]
    assert await _begin(db, None) == wanted
    async with db.session() as session:
        assert (await current_settings(session))["trading_halted"] is True
    left = await ActivityEnvironment().run(
        FlattenActivities(db).positions_left, [*wanted, rows.position_id(5), rows.position_id(6)]
    )
    assert left == wanted


async def test_of_one_symbol_every_market_and_strategy_goes_and_nothing_is_halted(db: Database) -> None:
    await _everybody(db)
    await _hold(db, 8, category="linear", side="short", strategy="manual2")
    assert await _begin(db, "BTCUSDT") == [rows.position_id(number) for number in (1, 3, LATE, 8)]
    async with db.session() as session:
        assert (await current_settings(session))["trading_halted"] is False
