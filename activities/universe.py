"""The universe: the instruments whose market data is kept."""

from __future__ import annotations

from db.repositories.market import upsert_instruments
from db.repositories.settings import current_settings
from db.session import Database
from domain.market import Category, Instrument
from exchange.protocol import Exchange
from observability.logs import get_logger

log = get_logger(__name__)


async def listed_universe(database: Database, exchange: Exchange) -> list[Instrument]:
    """Tradable instruments of the setting ``universe`` (empty: all the exchange lists); stores what is told of them.

    Raises the exchange's errors.
    """
    listed = [one for category in Category for one in await exchange.instruments(category)]
    async with database.session() as session:
        wanted = set((await current_settings(session))["universe"])
        chosen = [one for one in listed if not wanted or one.symbol in wanted]
        await upsert_instruments(session, chosen)
    if not chosen:
        log.error("no symbol of the setting universe is listed", universe=sorted(wanted))
    return [one for one in chosen if one.tradable]
