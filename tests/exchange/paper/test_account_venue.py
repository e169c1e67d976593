"""The pump: every tick of the market reaches the account once, in order, and what breaks it stops the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.market import Category, Side
from exchange.paper.auth import Keyring
from exchange.paper.core.commands import PlaceOrder
from exchange.paper.core.model import OrderStatus
from exchange.paper.feed import Liquidity
from exchange.paper.options import PaperOptions
from exchange.paper.server import open_venue
from exchange.paper.venue import Venue
from tests.exchange.paper.account_market import START, ListedFeed

D = Decimal
SECOND = timedelta(seconds=1)


def falling(seconds: int) -> ListedFeed:
    """A market that loses 100 a second from 50,000 on."""
    return ListedFeed([(number * SECOND, D(50_000 - 100 * number)) for number in range(1, seconds + 1)])


@asynccontextmanager
async def venue_at(directory: Path, feed: ListedFeed, until: datetime) -> AsyncIterator[Venue]:
    """A venue whose market runs very fast and halts at ``until``; not pumped yet."""
    feed.end = until
    options = PaperOptions(data_dir=directory, speed=100_000)
    async with open_venue(options, feed, Keyring([])) as venue:
        while venue.clock.now() < until:
            await asyncio.sleep(0.001)
        yield venue


def sell_when_fallen(link: str, trigger: str) -> PlaceOrder:
    return PlaceOrder(
        START,
        Category.LINEAR,
        "BTCUSDT",
        Side.SELL,
        "Market",
        D("0.01"),
        link_id=link,
        trigger_price=D(trigger),
        trigger_direction=2,
    )


async def test_ticks_go_on_where_the_journal_stands_and_each_triggers_once(tmp_path: Path) -> None:
    feed = falling(20)
    async with venue_at(tmp_path, feed, START + SECOND / 2) as venue:
        for link, trigger in (("a", "49500"), ("b", "49000"), ("c", "48500"), ("d", "40000")):
            await venue.submit(lambda at, link=link, trigger=trigger: sell_when_fallen(link, trigger))
    for stop in (7, 12, 20):
        async with venue_at(tmp_path, feed, START + stop * SECOND) as venue:
            assert venue.position < START + stop * SECOND
            venue.pump()
            venue.pump()
            await venue.journal.settled()
            fills = list(venue.history.every_execution())
            statuses = {o.link_id: o.status for o in venue.history.every_order()}
    assert [(f.link_id, f.at) for f in fills] == [
        ("a", START + 5 * SECOND),
        ("b", START + 10 * SECOND),
        ("c", START + 15 * SECOND),
    ]
    assert statuses == dict.fromkeys("abc", OrderStatus.FILLED) | {"d": OrderStatus.UNTRIGGERED}


async def test_a_command_comes_after_the_ticks_before_it(tmp_path: Path) -> None:
    async with venue_at(tmp_path, falling(10), START + 10 * SECOND) as venue:
        applied = await venue.submit(
            lambda at: PlaceOrder(at, Category.LINEAR, "BTCUSDT", Side.SELL, "Market", D("0.01"))
        )
        assert applied.orders[0].last_price_on_created == D(49_000)
        assert applied.orders[0].created_at == START + 10 * SECOND


async def test_what_breaks_a_command_stops_the_exchange(tmp_path: Path) -> None:
    class Bookless(ListedFeed):
        def liquidity(self, category: Category, symbol: str, now: datetime) -> Liquidity:
            raise RuntimeError("no book")

    async with venue_at(tmp_path, Bookless(), START + SECOND) as venue:
        pump = asyncio.create_task(venue.run())
        with pytest.raises(RuntimeError, match="no book"):
            await venue.submit(lambda at: PlaceOrder(at, Category.SPOT, "BTCUSDT", Side.BUY, "Market", D(100)))
        with pytest.raises(RuntimeError, match="no book"):
            await asyncio.wait_for(pump, 5)
