"""Open interest as the exchange stamped it: stored idempotently."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.candle import Timeframe

_UPSERT = text("""
    INSERT INTO open_interest AS known (symbol, interval, at, value)
    SELECT symbol, :interval, at, value
    FROM unnest(CAST(:symbols AS text[]), CAST(:ats AS timestamptz[]), CAST(:values AS float8[]))
        AS told (symbol, at, value)
    ON CONFLICT (symbol, interval, at) DO UPDATE SET value = excluded.value WHERE known.value <> excluded.value
""")


class Stamp(Protocol):
    """What is stored of open interest: base coin of a symbol at an instant."""

    @property
    def symbol(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def value(self) -> float: ...


async def upsert_open_interest(session: AsyncSession, timeframe: Timeframe, stamps: Sequence[Stamp]) -> None:
    if stamps:
        columns = {
            "symbols": [each.symbol for each in stamps],
            "ats": [each.at for each in stamps],
            "values": [each.value for each in stamps],
        }
        await session.execute(_UPSERT, {**columns, "interval": timeframe.value})
