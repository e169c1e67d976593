"""Series that the exchange stamps for the beginning of an interval: which stamps are still missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import LongShortRatioRow, OpenInterestRow
from domain.candle import Timeframe

StampedRow = OpenInterestRow | LongShortRatioRow


async def missing_stamps(
    session: AsyncSession,
    series: type[StampedRow],
    timeframe: Timeframe,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
) -> dict[str, list[datetime]]:
    """Open times from ``first`` to ``last`` for which a symbol has no row, oldest first; {} if none."""
    rows = await session.execute(
        select(series.symbol, series.at).where(
            series.interval == timeframe.value, series.symbol.in_(symbols), series.at.between(first, last)
        )
    )
    known: dict[str, set[datetime]] = {}
    for symbol, at in rows:
        known.setdefault(symbol, set()).add(at)
    wanted = [first + n * timeframe.duration for n in range((last - first) // timeframe.duration + 1)]
    missing = {symbol: [at for at in wanted if at not in known.get(symbol, ())] for symbol in symbols}
    return {symbol: stamps for symbol, stamps in missing.items() if stamps}
