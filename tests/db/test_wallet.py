"""The wallet as last told: messages are merged by when they were true, and nothing known is cleared by less."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from db.models import WalletAccount, WalletBalance
from db.repositories.wallet import replace_wallet
from db.session import Database

AT = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def tell(db: Database, seconds: int, coins: dict[str, int], *, whole: bool) -> None:
    zero = Decimal(0)
    rows: list[dict[str, Any]] = [
        {"coin": coin, "wallet_balance": Decimal(qty), "equity": Decimal(qty), "locked": zero, "usd_value": zero}
        | {"unrealised_pnl": zero}
        for coin, qty in coins.items()
    ]
    async with db.session() as session:
        at = AT + timedelta(seconds=seconds)
        await replace_wallet(session, "unified", Decimal(seconds), rows, at, whole=whole)


async def known(db: Database) -> dict[str, int]:
    async with db.session() as session:
        return {row.coin: int(row.wallet_balance) for row in await session.scalars(select(WalletBalance))}


async def test_a_message_about_one_coin_leaves_the_others(db: Database) -> None:
    await tell(db, 1, {"USDT": 100, "BTC": 1}, whole=True)
    await tell(db, 2, {"BTC": 2}, whole=False)
    assert await known(db) == {"USDT": 100, "BTC": 2}


async def test_a_whole_answer_removes_what_it_lacks_but_an_empty_one_nothing(db: Database) -> None:
    await tell(db, 1, {"USDT": 100, "BTC": 1}, whole=True)
    await tell(db, 2, {}, whole=True)
    assert await known(db) == {"USDT": 100, "BTC": 1}
    await tell(db, 3, {"USDT": 90}, whole=True)
    assert await known(db) == {"USDT": 90}


async def test_an_answer_that_was_asked_for_before_a_message_does_not_undo_it(db: Database) -> None:
    await tell(db, 1, {"USDT": 100}, whole=True)
    await tell(db, 3, {"USDT": 50, "BTC": 1}, whole=False)
    await tell(db, 2, {"USDT": 100, "ETH": 4}, whole=True)
    assert await known(db) == {"USDT": 50, "BTC": 1, "ETH": 4}
    async with db.session() as session:
        account = await session.get(WalletAccount, "unified")
    assert account is not None
    assert account.total_equity == 3
