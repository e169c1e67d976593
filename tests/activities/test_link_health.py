"""Entries wait while our clock is off or the symbol's stream is dead, and what the exchange lists is kept in step."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from activities.link_health import distrusted, price_stream_ages
from activities.stream_report import PROCESS, report_streams
from activities.universe import STOPPED_EVENT, listed_universe, refresh_instrument
from db.models import ExchangeLink, Position, RateLimit, SystemEvent
from db.repositories.market import find_instrument
from db.repositories.streams import write_stream_status
from db.session import Database
from domain.gate_facts import GateCode
from domain.market import Category
from domain.position import PositionState
from exchange.bybit import BybitExchange
from tests.exchange.gateway.raw_http import Answerer, RawHttpServer, ret
from tests.exchange.gateway.scripted_socket import scripted_venue
from tests.exchange.gateway.test_streams import Heard, connected

BTC = (Category.LINEAR, "BTCUSDT")


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


class Exchange:
    """An exchange's REST side: its clock is ahead by ``offset_ms``, it lists the symbols by their ``statuses``."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self.statuses: dict[str, dict[str, str]] = {"linear": {}, "spot": {}}
        self.server = RawHttpServer(self._answer)
        self.gateway = BybitExchange("testnet", "key", "secret", self.server.url)

    def _answer(self, connection: socket.socket, request: str) -> bool:
        return self._told(request)(connection, request)

    def _told(self, request: str) -> Answerer:
        if "/market/time" in request:
            return ret(0, timeNano=str(time.time_ns() + self.offset_ms * 1_000_000))
        category = "linear" if "category=linear" in request else "spot"
        if "/market/tickers" in request:
            return ret(0, list=[quoted(symbol) for symbol in self.statuses[category]])
        told = [row(category, symbol, status) for symbol, status in self.statuses[category].items()]
        wanted = [one for one in told if "symbol=" not in request or f"symbol={one['symbol']}" in request]
        return ret(0, list=wanted, nextPageCursor="")


def row(category: str, symbol: str, status: str) -> dict[str, Any]:
    lot = {"qtyStep": "0.001", "basePrecision": "0.001", "minOrderQty": "0.001", "maxOrderQty": "100"}
    return {
        "symbol": symbol,
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "status": status,
        "priceFilter": {"tickSize": "0.1"},
        "lotSizeFilter": lot,
    }


def quoted(symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, "lastPrice": "1", "bid1Price": "0.9999", "ask1Price": "1.0001", "turnover24h": "1000"}


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    made = Exchange()
    yield made
    await made.gateway.close()
    made.server.close()


async def said(db: Database, age: float | None, ago: float = 0.0) -> None:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    last = None if age is None else at - timedelta(seconds=age)
    one = {"name": "linear:publicTrade.BTCUSDT", "connected": age is not None, "last_message_at": last, "reconnects": 0}
    async with db.session() as session:
        await write_stream_status(session, "other", [one], at)


async def block(db: Database, exchange: Exchange) -> GateCode | None:
    verdict = await distrusted(db, exchange.gateway, BTC, max_offset_ms=500, stale_seconds=15)
    return None if verdict is None else verdict.gate


async def test_a_clock_that_is_off_blocks_entries(db: Database, exchange: Exchange) -> None:
    assert await block(db, exchange) is None
    exchange.offset_ms = 2000
    assert await block(db, exchange) is GateCode.CLOCK_DRIFT
    exchange.offset_ms = -2000
    assert await block(db, exchange) is GateCode.CLOCK_DRIFT
    exchange.server.close()
    assert await block(db, exchange) is GateCode.CLOCK_DRIFT, "an offset that isn't known blocks"


@pytest.mark.parametrize(
    ("age", "ago", "blocked"), [(1.0, 0.0, False), (30.0, 0.0, True), (None, 0.0, True), (0.0, 60.0, True)]
)
async def test_a_dead_stream_blocks_entries_though_the_exchange_answers(
    db: Database, exchange: Exchange, age: float | None, ago: float, blocked: bool
) -> None:
    await said(db, age, ago)
    assert await block(db, exchange) is (GateCode.STALE_PRICE if blocked else None)


async def test_the_stream_of_this_process_counts_before_what_others_say(db: Database) -> None:
    await said(db, 300.0)
    async with scripted_venue() as venue, connected(venue) as gateway:
        venue.refused_topics = {"publicTrade.ETHUSDT"}
        heard = Heard()
        subscription = gateway.subscribe_trades(*BTC, heard.trades, heard.gap)
        gateway.subscribe_trades(Category.LINEAR, "ETHUSDT", heard.trades, heard.gap)
        assert await subscription.wait_live(5)
        ages = await price_stream_ages(db, gateway, {BTC, (Category.LINEAR, "ETHUSDT"), (Category.SPOT, "XRPUSDT")})
    assert ages[BTC] < 5
    assert math.isinf(ages[Category.LINEAR, "ETHUSDT"]), "asked for and not served"
    assert (Category.SPOT, "XRPUSDT") not in ages, "nobody reads it"


async def test_a_process_says_how_it_stands_with_the_exchange(db: Database, exchange: Exchange) -> None:
    exchange.offset_ms = 1500
    await exchange.gateway.start()
    while exchange.gateway.clock_offset() is None:
        await asyncio.sleep(0.01)
    await exchange.gateway.find_order(*BTC, "P-E1")
    await report_streams(db, exchange.gateway)
    async with db.session() as session:
        link = await session.get(ExchangeLink, PROCESS)
        rates = {one.name: one for one in await session.scalars(select(RateLimit))}
    assert link is not None
    assert (link.mode, link.order_entry) == ("testnet", "rest")
    assert link.clock_offset_ms == pytest.approx(1500, abs=200)
    assert rates["orders"].per_second == 50.0


async def hold(db: Database, symbol: str) -> None:
    now = datetime.now(UTC)
    async with db.session() as session:
        session.add(
            Position(
                position_id=f"M{symbol}",
                market_epoch="testnet",
                strategy="manual",
                category=Category.LINEAR,
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
                reserved_at=now,
            )
        )


async def stops_told(db: Database) -> list[str]:
    async with db.session() as session:
        kinds = select(SystemEvent).where(SystemEvent.kind == STOPPED_EVENT).order_by(SystemEvent.id)
        return [event.subject for event in await session.scalars(kinds)]


async def tradable(db: Database, symbol: str) -> bool:
    async with db.session() as session:
        instrument = await find_instrument(session, Category.LINEAR, symbol)
    assert instrument is not None
    return instrument.tradable


async def test_a_symbol_that_stops_trading_is_blocked_and_told_once_if_it_is_held(
    db: Database, exchange: Exchange
) -> None:
    trading = dict.fromkeys(["BTCUSDT", "ETHUSDT", "XRPUSDT"], "Trading")
    exchange.statuses = {"linear": dict(trading), "spot": {"BTCUSDT": "Trading"}}
    assert len(await listed_universe(db, exchange.gateway)) == 4
    await hold(db, "BTCUSDT")
    await hold(db, "XRPUSDT")
    exchange.statuses["linear"] = {"BTCUSDT": "Delivering", "ETHUSDT": "PreLaunch"}
    for _ in range(2):
        kept = [(one.category, one.symbol) for one in await listed_universe(db, exchange.gateway)]
        assert kept == [BTC, (Category.LINEAR, "XRPUSDT"), (Category.SPOT, "BTCUSDT")], "what is held stays"
    assert [await tradable(db, symbol) for symbol in trading] == [False, False, False]
    assert sorted(await stops_told(db)) == ["BTCUSDT", "XRPUSDT"], "one that is not listed any more as well"
    exchange.statuses["linear"] = {}
    await listed_universe(db, exchange.gateway)
    exchange.statuses["linear"] = dict(trading)
    await listed_universe(db, exchange.gateway)
    assert await tradable(db, "BTCUSDT")
    exchange.statuses["linear"] = {}
    await listed_universe(db, exchange.gateway)
    assert await tradable(db, "BTCUSDT"), "an empty list is no list of the market"


async def test_one_symbol_is_asked_about_anew(db: Database, exchange: Exchange) -> None:
    exchange.statuses["linear"] = {"BTCUSDT": "Trading", "ETHUSDT": "Trading"}
    await listed_universe(db, exchange.gateway)
    await hold(db, "BTCUSDT")
    exchange.statuses["linear"] = {"BTCUSDT": "Closed"}
    await refresh_instrument(db, exchange.gateway, *BTC)
    await refresh_instrument(db, exchange.gateway, Category.LINEAR, "ETHUSDT")
    assert not await tradable(db, "BTCUSDT")
    assert not await tradable(db, "ETHUSDT")
    assert await stops_told(db) == ["BTCUSDT"]
    exchange.server.close()
    await refresh_instrument(db, exchange.gateway, *BTC)
    assert not await tradable(db, "BTCUSDT"), "what is known stays when the exchange can't be asked"
