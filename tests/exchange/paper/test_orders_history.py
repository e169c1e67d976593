"""Orders and executions as the journal tells them: what is left out, and page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import CancelAll
from exchange.paper.history import History
from exchange.paper.journal import Journal
from exchange.paper.wire import to_millis
from tests.exchange.paper.account_case import Account

D = Decimal
SPOT, LINEAR = Category.SPOT, Category.LINEAR
DAY_MS = 86_400_000


class Kept:
    """An account whose events are in a journal."""

    def __init__(self, journal: Journal) -> None:
        self.account = Account()
        self.history = History(journal.read)
        self._journal = journal

    async def store(self) -> None:
        await self._journal.append(self.account.state, self.account.now, self.account.events)

    async def limit(self, category: Category, price: str = "49000", **more: Any) -> str:
        order = self.account.limit(category, Side.BUY, "0.01", price, **more)
        await self.store()
        return order.order_id


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    journal = Journal(tmp_path, "market-1")
    yield Kept(journal)
    await journal.close()


def ids(page: Any) -> list[str]:
    return [row.order_id for row in page.rows]


async def test_orders_are_found_by_symbol_and_kind_newest_first(kept: Kept) -> None:
    first = await kept.limit(LINEAR)
    other = await kept.limit(LINEAR, symbol="ETHUSDT")
    second = await kept.limit(LINEAR)
    orders = kept.history.orders
    assert ids(orders(LINEAR)) == [second, other, first]
    assert ids(orders(LINEAR, symbols=("BTCUSDT",))) == [second, first]
    assert ids(orders(LINEAR, symbols=())) == []
    assert ids(orders(SPOT)) == []
    assert ids(orders(LINEAR, order_id=other)) == [other]
    assert ids(orders(LINEAR, order_filter="StopOrder")) == []
    page = orders(LINEAR, limit=2)
    assert ids(page) == [second, other]
    assert ids(orders(LINEAR, limit=2, before=page.before)) == [first]


async def test_a_cancelled_order_without_fills_is_told_for_a_day_and_one_with_fills_for_ever(kept: Kept) -> None:
    empty = await kept.limit(SPOT)
    part = await kept.limit(SPOT, "49100")
    kept.account.tick(SPOT, "49050", "0.004")
    await kept.store()
    kept.account.do(CancelAll(kept.account.now, SPOT))
    await kept.store()
    cancelled = to_millis(kept.account.now)

    def told(now_ms: int) -> set[str]:
        return set(ids(kept.history.orders(SPOT, is_open=False, unfilled_after_ms=now_ms - DAY_MS)))

    assert told(cancelled + DAY_MS) == {empty, part}
    assert told(cancelled + DAY_MS + 1) == {part}


async def test_of_closed_orders_only_those_named_are_told_beside_the_open_ones(kept: Kept) -> None:
    closed = await kept.limit(LINEAR, time_in_force="IOC")
    also_closed = await kept.limit(LINEAR, time_in_force="IOC")
    resting = await kept.limit(LINEAR)
    (named,) = [o.sequence for o in kept.history.every_order() if o.order_id == also_closed]
    assert ids(kept.history.orders(LINEAR, open_or_among=(named,))) == [resting, also_closed]
    assert ids(kept.history.orders(LINEAR, open_or_among=())) == [resting]
    assert ids(kept.history.orders(LINEAR, is_open=False)) == [also_closed, closed]


async def test_executions_are_found_by_type_symbol_and_time(kept: Kept) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        kept.account.now += timedelta(hours=1)
        kept.account.place(LINEAR, Side.BUY, "0.01", symbol=symbol)
        await kept.store()
    executions = kept.history.executions
    assert [x.symbol for x in executions(LINEAR).rows] == ["ETHUSDT", "BTCUSDT"]
    assert [x.symbol for x in executions(LINEAR, symbols=("BTCUSDT",), exec_type="Trade").rows] == ["BTCUSDT"]
    assert executions(LINEAR, exec_type="Funding").rows == []
    assert [x.order_price for x in executions(LINEAR, limit=1).rows] == [None]
