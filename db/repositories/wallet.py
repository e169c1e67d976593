"""The account as the exchange last told it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import WalletAccount, WalletBalance

_BALANCE = ("wallet_balance", "equity", "locked", "usd_value", "unrealised_pnl")


async def replace_wallet(
    session: AsyncSession,
    account: str,
    total_equity: Decimal,
    coins: Iterable[dict[str, Any]],
    at: datetime,
    *,
    whole: bool,
) -> None:
    """Store a wallet message. ``whole`` says it lists every coin (a REST answer): coins it lacks are removed."""
    statement = insert(WalletAccount).values(account=account, total_equity=total_equity, updated_at=at)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["account"],
            set_={"total_equity": statement.excluded.total_equity, "updated_at": statement.excluded.updated_at},
        )
    )
    rows = [
        {"account": account, "coin": coin["coin"], "updated_at": at, **{name: coin[name] for name in _BALANCE}}
        for coin in coins
    ]
    if whole:
        kept = [row["coin"] for row in rows]
        await session.execute(
            delete(WalletBalance).where(WalletBalance.account == account, WalletBalance.coin.not_in(kept))
        )
    if rows:
        balances = insert(WalletBalance).values(rows)
        await session.execute(
            balances.on_conflict_do_update(
                index_elements=["account", "coin"],
                set_={name: balances.excluded[name] for name in (*_BALANCE, "updated_at")},
            )
        )
