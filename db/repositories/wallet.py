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
    """Merge a wallet message that was true at ``at`` (wall); what is known from later stays.

    ``whole`` says that it lists every coin (a REST answer): older coins it lacks are removed, but for an answer without
    any coin, which takes nothing away.
    """
    statement = insert(WalletAccount).values(account=account, total_equity=total_equity, updated_at=at)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["account"],
            set_={"total_equity": statement.excluded.total_equity, "updated_at": statement.excluded.updated_at},
            where=WalletAccount.updated_at <= at,
        )
    )
    rows = [
        {"account": account, "coin": coin["coin"], "updated_at": at, **{name: coin[name] for name in _BALANCE}}
        for coin in coins
    ]
    if whole and rows:
        kept = [row["coin"] for row in rows]
        await session.execute(
            delete(WalletBalance).where(
                WalletBalance.account == account, WalletBalance.coin.not_in(kept), WalletBalance.updated_at <= at
            )
        )
    if rows:
        balances = insert(WalletBalance).values(rows)
        await session.execute(
            balances.on_conflict_do_update(
                index_elements=["account", "coin"],
                set_={name: balances.excluded[name] for name in (*_BALANCE, "updated_at")},
                where=WalletBalance.updated_at <= at,
            )
        )
