"""Shares of accounts that are long, as the exchange stamped them: stored idempotently."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.candle import Timeframe

_UPSERT = text("""
    INSERT INTO long_short_ratio AS known (symbol, interval, at, long_share)
    SELECT symbol, :interval, at, long_share
    FROM unnest(CAST(:symbols AS text[]), CAST(:ats AS timestamptz[]), CAST(:shares AS float8[]))
        AS told (symbol, at, long_share)
    ON CONFLICT (symbol, interval, at) DO UPDATE SET long_share = excluded.long_share
    WHERE known.long_share <> excluded.long_share
""")


class Share(Protocol):
    """What is stored: the part of the accounts with a position in a symbol that is long (0 to 1), at an instant."""

    @property
    def symbol(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def long_share(self) -> float: ...


async def upsert_long_short(session: AsyncSession, timeframe: Timeframe, shares: Sequence[Share]) -> None:
    if shares:
        columns = {
            "symbols": [each.symbol for each in shares],
            "ats": [each.at for each in shares],
            "shares": [each.long_share for each in shares],
        }
        await session.execute(_UPSERT, {**columns, "interval": timeframe.value})
