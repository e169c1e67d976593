"""The universe chosen: all that is listed, held against the rules with what the market says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from activities.listing_age import with_ages
from db.repositories.audit import record_event
from db.repositories.market import list_instruments, upsert_instruments
from db.repositories.settings import current_settings
from db.repositories.universe import (
    UniverseChange,
    chosen_at,
    chosen_markets,
    lock_universe,
    reasons,
    store_choice,
)
from db.session import Database
from domain.candle import Timeframe
from domain.market import Instrument
from domain.universe import Market, Quote, UniverseReason, UniverseRules, choose
from exchange.protocol import Exchange
from observability.logs import get_logger

log = get_logger(__name__)

CHANGED_EVENT = "universe_changed"
CHOICE = Timeframe.H4
"""At every close of this timeframe the members are chosen anew."""


async def choice_is_due(session: AsyncSession, now: datetime) -> bool:
    """Whether nothing was chosen since the last 4h close of the market, whose time is ``now``, or one of the lists of
    symbols was changed since."""
    last = await chosen_at(session)
    if last is None or not CHOICE.floor(now) <= last <= now:
        return True
    rules = UniverseRules.of(await current_settings(session))
    return not all(rules.agree(symbol, reason) for (_, symbol), reason in (await reasons(session)).items())


async def choose_universe(database: Database, exchange: Exchange, listed: Sequence[Instrument], now: datetime) -> None:
    """Choose from ``listed`` by the settings, if a choice is due or something is listed that nobody judged yet.

    A change of the members is told. Raises the exchange's errors.
    """
    async with database.session() as session:
        if not await _is_wanted(session, listed, now):
            return
        rules = UniverseRules.of(await current_settings(session))
        members = await chosen_markets(session)
        launched = {(one.category, one.symbol): one.launched_at for one in await list_instruments(session)}
    dated = [_dated(one, launched) for one in listed]
    quotes = {} if rules.named else await _quotes(exchange, listed)  # nothing is asked of those that are named
    if rules.min_age_days and not rules.named:
        dated, learned = await with_ages(exchange, dated, quotes, members, now)
        async with database.session() as session:
            await upsert_instruments(session, learned)
    async with database.session() as session:
        await lock_universe(session)
        if not await _is_wanted(session, listed, now):  # another one was quicker
            return
        members = await chosen_markets(session)
        change = await store_choice(session, choose(dated, quotes, rules, members, now), now)
        _tell(session, change, now)


async def _is_wanted(session: AsyncSession, listed: Sequence[Instrument], now: datetime) -> bool:
    if not listed:
        return False
    if await choice_is_due(session, now):
        return True
    return not {(one.category, one.symbol) for one in listed} <= (await reasons(session)).keys()


def _dated(instrument: Instrument, launched: Mapping[Market, datetime | None]) -> Instrument:
    """With the day of its listing, if that was found out before and the exchange itself doesn't tell it."""
    if instrument.launched_at is not None:
        return instrument
    return instrument.model_copy(update={"launched_at": launched.get((instrument.category, instrument.symbol))})


async def _quotes(exchange: Exchange, listed: Sequence[Instrument]) -> dict[Market, Quote]:
    categories = sorted({one.category for one in listed})
    tickers = [ticker for category in categories for ticker in await exchange.tickers(category)]
    return {(each.category, each.symbol): Quote(each.turnover, each.bid, each.ask) for each in tickers}


def _tell(session: AsyncSession, change: UniverseChange, now: datetime) -> None:
    if not change.joined and not change.left:
        return
    detail = {"joined": _named(change.joined), "left": _named(change.left)}
    record_event(session, CHANGED_EVENT, "universe", who="universe", market_at=now, detail=detail)
    log.info("universe changed", joined=len(change.joined), left=len(change.left))


def _named(markets: Mapping[Market, UniverseReason]) -> list[dict[str, str]]:
    return [
        {"category": category, "symbol": symbol, "reason": reason} for (category, symbol), reason in markets.items()
    ]
