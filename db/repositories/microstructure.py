"""Taker volume of quarter hours and open interest: stored idempotently, never taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import TakerVolume
from domain.market import Category

# greatest(): sums only rise, so a smaller one comes late, from an attempt that has been replaced.
_UPSERT_TAKER = text("""
    INSERT INTO taker_volume AS known (category, symbol, open_time, bought, sold)
    SELECT * FROM unnest(
        CAST(:category AS text[]), CAST(:symbol AS text[]), CAST(:open_time AS timestamptz[]),
        CAST(:bought AS float8[]), CAST(:sold AS float8[])
    )
    ON CONFLICT (category, symbol, open_time) DO UPDATE SET
        bought = greatest(known.bought, excluded.bought),
        sold = greatest(known.sold, excluded.sold),
        updated_at = now()
    WHERE excluded.bought > known.bought OR excluded.sold > known.sold
""")


@dataclass(frozen=True, slots=True)
class TakerSums:
    """Base coin bought and sold by takers in the quarter hour from ``open_time`` on, as far as seen."""

    category: Category
    symbol: str
    open_time: datetime
    bought: float
    sold: float


async def upsert_taker_volume(session: AsyncSession, rows: Sequence[TakerSums]) -> None:
    """Raise the sums of quarter hours to these; no sum ever goes back."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: (row.category, row.symbol, row.open_time))  # one lock order for all writers
    columns = {name: [getattr(row, name) for row in ordered] for name in TakerSums.__slots__}
    await session.execute(_UPSERT_TAKER, columns)


async def taker_volume_since(session: AsyncSession, open_time: datetime) -> list[TakerSums]:
    """The sums of every market from the quarter hour ``open_time`` on."""
    rows = await session.scalars(select(TakerVolume).where(TakerVolume.open_time >= open_time))
    return [TakerSums(Category(row.category), row.symbol, row.open_time, row.bought, row.sold) for row in rows]
