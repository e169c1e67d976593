"""Instruments, candles and the live price cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import CandleRow, InstrumentRow, LivePrice
from domain.market import Category, Instrument

_INSTRUMENT_FIELDS = tuple(Instrument.model_fields)
_PRICE_COLUMNS = ("category", "symbol", "price", "bid", "ask", "market_at", "received_at")
_CANDLE_COLUMNS = tuple(column.key for column in CandleRow.__table__.columns)

# Arrays instead of rows of values: one prepared statement for any number of rows, and nothing to compile each time.
_UPSERT_PRICES = text("""
    INSERT INTO live_prices AS known (category, symbol, price, bid, ask, market_at, received_at)
    SELECT * FROM unnest(
        CAST(:category AS text[]), CAST(:symbol AS text[]), CAST(:price AS numeric[]), CAST(:bid AS numeric[]),
        CAST(:ask AS numeric[]), CAST(:market_at AS timestamptz[]), CAST(:received_at AS timestamptz[])
    )
    ON CONFLICT (category, symbol) DO UPDATE SET
        price = excluded.price, bid = excluded.bid, ask = excluded.ask,
        market_at = excluded.market_at, received_at = excluded.received_at
    WHERE known.received_at <= excluded.received_at
""")

# A candle told again as it is stored already writes nothing.
_UPSERT_CANDLES = text("""
    INSERT INTO candles AS known (category, symbol, timeframe, open_time, open, high, low, close, volume, turnover)
    SELECT * FROM unnest(
        CAST(:category AS text[]), CAST(:symbol AS text[]), CAST(:timeframe AS text[]),
        CAST(:open_time AS timestamptz[]), CAST(:open AS float8[]), CAST(:high AS float8[]), CAST(:low AS float8[]),
        CAST(:close AS float8[]), CAST(:volume AS float8[]), CAST(:turnover AS float8[])
    )
    ON CONFLICT (category, symbol, timeframe, open_time) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume, turnover = excluded.turnover
    WHERE (known.open, known.high, known.low, known.close, known.volume, known.turnover)
        IS DISTINCT FROM
        (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.turnover)
""")


class ClosedCandle(Protocol):
    """What is stored of a candle, wherever it comes from."""

    @property
    def category(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def timeframe(self) -> str: ...
    @property
    def open_time(self) -> datetime: ...
    @property
    def open(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def close(self) -> float: ...
    @property
    def volume(self) -> float: ...
    @property
    def turnover(self) -> float: ...


async def upsert_instruments(session: AsyncSession, instruments: Sequence[Instrument]) -> None:
    """Store what the exchange tells of ``instruments``; those it no longer lists are left as they are."""
    for chunk in in_chunks(instruments):
        statement = insert(InstrumentRow).values([instrument.model_dump() for instrument in chunk])
        told = {name: statement.excluded[name] for name in _INSTRUMENT_FIELDS if name not in ("category", "symbol")}
        launched = func.coalesce(statement.excluded.launched_at, InstrumentRow.launched_at)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["category", "symbol"],
                set_={**told, "launched_at": launched, "updated_at": func.now()},
            )
        )


async def find_instrument(session: AsyncSession, category: Category, symbol: str) -> Instrument | None:
    row = await session.get(InstrumentRow, (category, symbol))
    if row is None:
        return None
    return Instrument.model_validate({name: getattr(row, name) for name in _INSTRUMENT_FIELDS})


async def list_instruments(session: AsyncSession) -> list[Instrument]:
    rows = await session.scalars(select(InstrumentRow).order_by(InstrumentRow.category, InstrumentRow.symbol))
    return [Instrument.model_validate({name: getattr(row, name) for name in _INSTRUMENT_FIELDS}) for row in rows]


async def newest_market_time(session: AsyncSession) -> datetime | None:
    """The market's time as the newest live price tells it; None while there is none."""
    return await session.scalar(select(func.max(LivePrice.market_at)))


async def upsert_live_prices(
    session: AsyncSession,
    prices: Sequence[tuple[Category, str, Decimal, Decimal | None, Decimal | None, datetime, datetime]],
) -> None:
    """Store (category, symbol, price, bid, ask, market_at, received_at) rows; an older row never replaces a newer."""
    if prices:
        ordered = sorted(prices, key=lambda row: row[:2])  # one lock order for all writers
        await session.execute(_UPSERT_PRICES, dict(zip(_PRICE_COLUMNS, zip(*ordered, strict=True), strict=True)))


async def upsert_candles(session: AsyncSession, candles: Sequence[ClosedCandle]) -> None:
    """Store closed candles in one statement; the same candle again (the last of ``candles``) replaces its row."""
    if not candles:
        return
    one_each = {(each.category, each.symbol, each.timeframe, each.open_time): each for each in candles}
    ordered = [one_each[key] for key in sorted(one_each)]  # one lock order for all writers
    columns = {name: [getattr(candle, name) for candle in ordered] for name in _CANDLE_COLUMNS}
    await session.execute(_UPSERT_CANDLES, columns)
