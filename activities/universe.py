"""The universe: the instruments whose market data is kept, and what the exchange says of those it lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.strategies_in_use import held_by_strategy, needed_markets
from activities.universe_choice import choose_universe
from db.models import Position
from db.repositories.audit import record_event
from db.repositories.market import list_instruments, upsert_instruments
from db.repositories.settings import current_settings
from db.repositories.universe import chosen_at, members
from db.session import Database
from domain.market import Category, Instrument
from domain.position import ACTIVE_STATES
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

STOPPED_EVENT = "instrument_stopped_trading"


async def listed_universe(
    database: Database, exchange: Exchange, strategies: Mapping[str, Strategy] = STRATEGIES
) -> list[Instrument]:
    """Instruments whose market data is kept (see ``followed``), after what the exchange lists has been stored and the
    universe has been chosen from it, where that is due.

    What is stored and not listed any more can't be traded. Raises the exchange's errors.
    """
    now = (await exchange.market_clock()).now
    listed = {category: await exchange.instruments(category) for category in Category}
    every = [one for category in Category for one in listed[category]]
    async with database.session() as session:
        wanted = set((await current_settings(session))["universe"])
        needed = await needed_markets(session, strategies)
        chosen = [one for one in every if not wanted or one.symbol in wanted or (one.category, one.symbol) in needed]
        known = {(one.category, one.symbol): one for one in await list_instruments(session)}
        told = {(one.category, one.symbol): one for one in every}
        kept = {key: told[key] for key in known if key in told}
        gone = [
            one.model_copy(update={"tradable": False})
            for key, one in known.items()
            if key not in told and one.tradable and listed[one.category]  # an empty list is no list of the market
        ]
        chosen_keys = {(one.category, one.symbol): one for one in chosen}
        await _store(session, [*(chosen_keys | kept).values(), *gone], list(known.values()))
    if not chosen:
        log.error("no symbol of the setting universe is listed", universe=sorted(wanted))
    await _choose(database, exchange, every, now)
    async with database.session() as session:
        return await followed(session, strategies)


async def _choose(database: Database, exchange: Exchange, listed: Sequence[Instrument], now: datetime) -> None:
    """Choose where that is due; where the market can't be asked, the universe chosen before will do."""
    try:
        await choose_universe(database, exchange, listed, now)
    except ExchangeError as error:
        async with database.session() as session:
            if await chosen_at(session) is None:
                raise
        log.warning("universe not chosen anew yet", error=str(error))


async def followed(session: AsyncSession, strategies: Mapping[str, Strategy] = STRATEGIES) -> list[Instrument]:
    """Tradable members of the universe and what strategies need beside them; and all that is held, for as long as it is
    held, whatever became of it."""
    held = {
        (category, symbol) for (_, category), symbols in (await held_by_strategy(session)).items() for symbol in symbols
    }
    wanted = {(one.category, one.symbol) for one in await members(session)} | await needed_markets(session, strategies)
    return [
        one
        for one in await list_instruments(session)
        if (one.category, one.symbol) in held or (one.tradable and (one.category, one.symbol) in wanted)
    ]


async def refresh_instrument(database: Database, exchange: Exchange, category: Category, symbol: str) -> None:
    """Ask anew for one symbol's filters: an order was refused for them, or because it isn't traded. Never raises the
    exchange's errors: what is known stays then."""
    try:
        told = [one for one in await exchange.instruments(category, symbol) if one.symbol == symbol]
    except Refused:
        told = []
    except ExchangeError as error:
        log.warning("instrument not refreshed", symbol=symbol, error=str(error))
        return
    async with database.session() as session:
        known = [one for one in await list_instruments(session) if (one.category, one.symbol) == (category, symbol)]
        gone = [] if told else [one.model_copy(update={"tradable": False}) for one in known]
        await _store(session, [*told, *gone], known)


async def _store(session: AsyncSession, told: Sequence[Instrument], known: Sequence[Instrument]) -> None:
    """Store what is told, and say once of a symbol that we hold that it isn't traded any more."""
    await upsert_instruments(session, told)
    traded = {(one.category, one.symbol) for one in known if one.tradable}
    stopped = [one for one in told if not one.tradable and (one.category, one.symbol) in traded]
    for one in stopped:
        held = await session.scalars(
            select(Position.position_id).where(
                Position.category == one.category, Position.symbol == one.symbol, Position.state.in_(ACTIVE_STATES)
            )
        )
        if positions := list(held):
            detail = {"category": one.category, "symbol": one.symbol, "positions": positions}
            record_event(session, STOPPED_EVENT, one.symbol, who="exchange", severity="page", detail=detail)
        log.warning("not traded any more", category=one.category, symbol=one.symbol, held=len(positions))
