"""Whether entries may trust what we hear of the exchange: its clock against ours, and the stream of a symbol."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from db.repositories.links import stream_ages
from db.session import Database
from domain.gate_facts import GateCode, GateVerdict
from domain.market import Category
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)

_OFFSET_FRESH = timedelta(seconds=90)
"""The gateway measures once a minute."""
_LIVE_WITHIN_SECONDS = 3.0
_POLL_SECONDS = 0.05

Symbol = tuple[Category, str]


async def clock_offset_ms(exchange: Exchange) -> float | None:
    """By how many ms the exchange's protocol clock is ahead of ours, as the gateway measured it or measured now."""
    measured = exchange.clock_offset()
    if measured is not None and datetime.now(UTC) - measured.measured_at < _OFFSET_FRESH:
        return measured.offset_ms
    began, began_at = datetime.now(UTC), time.monotonic()
    try:
        told = await exchange.server_time()
    except ExchangeError as error:
        log.warning("clock offset not known", error=str(error))
        return None
    half = (time.monotonic() - began_at) / 2
    return ((told - began).total_seconds() - half) * 1000


async def price_stream_ages(
    database: Database, exchange: Exchange, wanted: Collection[Symbol]
) -> Mapping[Symbol, float]:
    """Seconds since a symbol's stream of trades and prices was last known to be whole; missing: nobody reads it.

    Guards live on that stream: that a price can be queried is no reason to enter while it is dead. This process's own
    reading counts; a stream it only just asked for is given a moment to begin. Else that of the processes that read it.
    """
    names = {name: symbol for symbol in wanted for name in _names(symbol)}
    ages = await _own_ages(exchange, names)
    others = [name for name in names if name not in ages]
    if others:
        async with database.session() as session:
            ages |= await stream_ages(session, datetime.now(UTC), others)
    found: dict[Symbol, float] = {}
    for name, age in ages.items():
        found[names[name]] = max(age, found.get(names[name], 0.0))
    return found


async def distrusted(
    database: Database, exchange: Exchange, symbol: Symbol, max_offset_ms: float, stale_seconds: float
) -> GateVerdict | None:
    """The gate that blocks an entry because of how we stand with the exchange now; None when nothing does."""
    offset = await clock_offset_ms(exchange)
    if offset is None or abs(offset) > max_offset_ms:
        told = "unknown" if offset is None else f"{offset:.0f} ms"
        return GateVerdict(gate=GateCode.CLOCK_DRIFT, passed=False, value=told, threshold=f"{max_offset_ms:g} ms")
    age = (await price_stream_ages(database, exchange, {symbol})).get(symbol, 0.0)
    if age > stale_seconds:
        told = "no stream" if math.isinf(age) else f"{age:.1f} s"
        return GateVerdict(gate=GateCode.STALE_PRICE, passed=False, value=told, threshold=f"{stale_seconds:g} s")
    return None


async def _own_ages(exchange: Exchange, names: Collection[str]) -> dict[str, float]:
    give_up = time.monotonic() + _LIVE_WITHIN_SECONDS
    while True:
        ages = {one.stream: one.age_seconds for one in exchange.freshness() if one.stream in names}
        if time.monotonic() >= give_up or all(age is not None for age in ages.values()):
            return {name: math.inf if age is None else age for name, age in ages.items()}
        await asyncio.sleep(_POLL_SECONDS)


def _names(symbol: Symbol) -> tuple[str, str]:
    category, name = symbol
    return f"{category.value}:publicTrade.{name}", f"{category.value}:tickers.{name}"
