"""Funding as it was settled: stored idempotently, and how far what is stored reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import FundingRateRow

_UPSERT = text("""
    INSERT INTO funding_rates AS known (symbol, at, rate)
    SELECT * FROM unnest(CAST(:symbols AS text[]), CAST(:ats AS timestamptz[]), CAST(:rates AS float8[]))
    ON CONFLICT (symbol, at) DO UPDATE SET rate = excluded.rate WHERE known.rate <> excluded.rate
""")


class Settlement(Protocol):
    """What is stored of a settlement: ``rate`` is a fraction, above 0 longs paid shorts."""

    @property
    def symbol(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def rate(self) -> float: ...


async def upsert_funding_rates(session: AsyncSession, settlements: Sequence[Settlement]) -> None:
    if settlements:
        columns = {
            "symbols": [each.symbol for each in settlements],
            "ats": [each.at for each in settlements],
            "rates": [each.rate for each in settlements],
        }
        await session.execute(_UPSERT, columns)


async def settled_reach(
    session: AsyncSession, symbols: Sequence[str], after: datetime, until: datetime
) -> Mapping[str, tuple[datetime, datetime]]:
    """The oldest and the newest settlement in (after, until] of each symbol that has any stored."""
    rows = await session.execute(
        select(FundingRateRow.symbol, func.min(FundingRateRow.at), func.max(FundingRateRow.at))
        .where(FundingRateRow.symbol.in_(symbols), FundingRateRow.at > after, FundingRateRow.at <= until)
        .group_by(FundingRateRow.symbol)
    )
    return {symbol: (oldest, newest) for symbol, oldest, newest in rows}
