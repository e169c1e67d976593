"""Balances as last reconciled, by which the next comparison is judged; and what was there before anything we know of.

The second kind are rows named ``linear <symbol>``: signed contracts in an account that was traded before, so that no
execution recorded here explains them. They are written at the first comparison of a market, never after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import BalanceCheck

_LINEAR = "linear "


async def balance_checks(session: AsyncSession, epoch: str) -> dict[str, BalanceCheck]:
    """By coin."""
    rows = await session.scalars(select(BalanceCheck).where(BalanceCheck.epoch == epoch))
    return {row.coin: row for row in rows if not row.coin.startswith(_LINEAR)}


async def write_check(session: AsyncSession, epoch: str, coin: str, balance: Decimal, as_of: datetime) -> None:
    statement = insert(BalanceCheck).values(epoch=epoch, coin=coin, balance=balance, as_of=as_of)
    changed = {"balance": balance, "as_of": as_of, "checked_at": func.clock_timestamp()}
    await session.execute(statement.on_conflict_do_update(index_elements=["epoch", "coin"], set_=changed))


async def sizes_before(session: AsyncSession, epoch: str) -> dict[str, Decimal] | None:
    """What each linear symbol held before anything we know of, signed; None: this market was never compared."""
    rows = await session.scalars(
        select(BalanceCheck).where(BalanceCheck.epoch == epoch, BalanceCheck.coin.startswith(_LINEAR))
    )
    found = {row.coin.removeprefix(_LINEAR): row.balance for row in rows}
    return {symbol: size for symbol, size in found.items() if symbol} if found else None


async def size_before(session: AsyncSession, epoch: str, symbol: str) -> Decimal:
    row = await session.get(BalanceCheck, (epoch, _LINEAR + symbol))
    return row.balance if row is not None else Decimal(0)


async def write_sizes_before(
    session: AsyncSession, epoch: str, sizes: Mapping[str, Decimal], as_of: datetime
) -> Sequence[str]:
    """Once a market: the row without a symbol says that it was done. The symbols that hold something."""
    for symbol, size in {"": Decimal(0), **sizes}.items():
        statement = insert(BalanceCheck).values(epoch=epoch, coin=_LINEAR + symbol, balance=size, as_of=as_of)
        await session.execute(statement.on_conflict_do_nothing(index_elements=["epoch", "coin"]))
    return sorted(sizes)
