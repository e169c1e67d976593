"""The market and the account as they are at the moment of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from activities.link_health import clock_offset_ms, price_stream_ages
from db.models import LivePrice
from db.repositories.book import paid_positions
from db.session import Database
from domain.market import Category
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger

log = get_logger(__name__)

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Priced:
    """A price and how old it is (wall), or the stream that guards would hear, whichever is older; the funding rate of
    a perpetual that its next settlement would take, None where the exchange told none."""

    price: Decimal
    age_seconds: float
    funding_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MarketReadings:
    """Market and its time, prices, spendable balances by coin, how far our clock is off; unknown ones are left out.

    ``paid`` are positions whose price had left the wallet for sure when ``balances`` were read: what was bought since
    may or may not have.
    """

    epoch: str
    now: datetime
    prices: Mapping[tuple[Category, str], Priced]
    balances: Mapping[str, Decimal]
    paid: frozenset[str]
    clock_offset_ms: float | None


async def read_market(
    database: Database, exchange: Exchange, wanted: Collection[tuple[Category, str]]
) -> MarketReadings:
    """Read what the gates ask for, for these symbols. Raises ExchangeError when not even the market's time is known."""
    room = asyncio.Semaphore(_AT_ONCE)
    found = await asyncio.gather(*(_price(room, database, exchange, *each) for each in sorted(wanted)))
    ages = await price_stream_ages(database, exchange, wanted)
    clock = await exchange.market_clock()
    async with database.session() as session:
        paid = await paid_positions(session)  # before the wallet: what these cost is gone from it
    return MarketReadings(
        epoch=clock.epoch,
        now=clock.now,
        prices={
            each: replace(price, age_seconds=max(price.age_seconds, ages.get(each, 0.0)))
            for each, price in zip(sorted(wanted), found, strict=True)
            if price is not None
        },
        balances=await _balances(exchange) if wanted else {},
        paid=paid,
        clock_offset_ms=await clock_offset_ms(exchange) if wanted else None,
    )


async def _price(
    room: asyncio.Semaphore, database: Database, exchange: Exchange, category: Category, symbol: str
) -> Priced | None:
    """The exchange's word, or if it can't be asked the last one of its stream with its age."""
    async with room:
        try:
            told = await exchange.ticker(category, symbol)
            return Priced(told.last_price, 0.0, told.funding_rate)
        except ExchangeError as error:
            log.warning("price of the stream instead", symbol=symbol, error=str(error))
    async with database.session() as session:
        row = await session.get(LivePrice, (category, symbol))
    if row is None:
        return None
    return Priced(row.price, (datetime.now(UTC) - row.received_at).total_seconds())


async def _balances(exchange: Exchange) -> dict[str, Decimal]:
    try:
        wallet = await exchange.wallet()
    except ExchangeError as error:
        log.warning("wallet not known", error=str(error))
        return {}
    return {coin.coin: coin.wallet_balance - coin.locked for coin in wallet.coins}
