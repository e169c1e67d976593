"""The judge of a run: reads only the exchange's books and the database, believes nothing a process counted.

It answers what an operator must know of a finished run: what was opened and closed and why, whether any order went out
twice, whether the ledger agrees with the exchange to the last digit, and how long a position was without its guard or
without any protection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from config.credentials import postgres_dsn
from config.settings import Settings
from db.models import Dust, ExecutionApplication, InstrumentRow, LotMatchRow, LotRow, OrderExecution, Position
from db.session import Database
from domain.market import Category

_QUOTE = "USDT"


class Verdict(BaseModel):
    """``ledger_drift`` is "0" when books and database agree; seconds are wall time, the worst of all positions."""

    positions_opened: int
    positions_closed: int
    exits: dict[str, int]
    orders: int
    executions: int
    duplicate_orders: int
    ledger_drift: str
    unprotected_seconds_max: float
    unwatched_seconds_max: float


async def judge_run(settings: Settings) -> Verdict:
    """The verdict on the running stack of ``settings`` with its paper exchange. Raises httpx.HTTPError, OSError."""
    async with httpx.AsyncClient(base_url=settings.paper_url, timeout=30, trust_env=False) as http:
        books = (await http.get("/paper/books")).raise_for_status().json()
    database = Database(postgres_dsn(settings))
    try:
        return await judge(database, books, settings.exchange.paper.deposit)
    finally:
        await database.close()


async def judge(database: Database, books: Mapping[str, Any], deposits: Mapping[str, str]) -> Verdict:
    """The verdict on a run; ``books`` are the exchange's (``GET /paper/books``), ``deposits`` what it began with."""
    async with database.session() as session:
        opened = await session.scalar(select(func.count()).where(Position.opened_at.is_not(None)))
        closed = await session.execute(
            select(Position.exit_reason, func.count()).where(Position.state == "closed").group_by(Position.exit_reason)
        )
        exits = {str(reason): count for reason, count in closed}
        unprotected = await session.scalar(select(func.max(Position.unprotected_seconds)))
        unwatched = await session.scalar(select(func.max(Position.unwatched_seconds)))
        drift = await _drift(session, books, deposits)
    return Verdict(
        positions_opened=opened or 0,
        positions_closed=sum(exits.values()),
        exits=dict(sorted(exits.items())),
        orders=len(books["orders"]),
        executions=len(books["executions"]),
        duplicate_orders=duplicate_orders(books),
        ledger_drift=format(drift.normalize(), "f") if drift else "0",
        unprotected_seconds_max=round(unprotected or 0.0, 3),
        unwatched_seconds_max=round(unwatched or 0.0, 3),
    )


def duplicate_orders(books: Mapping[str, Any]) -> int:
    """Orders the exchange has more than once under one orderLinkId (each beyond the first)."""
    named = Counter(order["orderLinkId"] for order in books["orders"] if order["orderLinkId"])
    return sum(count - 1 for count in named.values())


async def _drift(session: AsyncSession, books: Mapping[str, Any], deposits: Mapping[str, str]) -> Decimal:
    """Sum of all absolute differences between the exchange's books and ours (quote coin and base coins alike).

    Executions missing on either side, wallet balances against what lots, matches and dust explain, and any problem of
    the exchange's own audit count; 0 means that every digit agrees.
    """
    theirs = {row["execId"] for row in books["executions"]}
    ours = set((await session.scalars(select(OrderExecution.exec_id))).all())
    booked = set((await session.scalars(select(ExecutionApplication.exec_id))).all())
    missing = len(theirs ^ ours) + len(ours - booked)
    explained = await _explained(session, deposits)
    wallet = {row["coin"]: Decimal(row["walletBalance"]) for row in books["wallet"]["coin"]}
    coins = wallet.keys() | explained.keys()
    off = sum((abs(wallet.get(c, Decimal(0)) - explained.get(c, Decimal(0))) for c in coins), Decimal(0))
    return off + missing + len(books["check"]["problems"])


async def _explained(session: AsyncSession, deposits: Mapping[str, str]) -> dict[str, Decimal]:
    """Balances as our ledger explains them, by coin."""
    explained = {coin: Decimal(amount) for coin, amount in deposits.items()}

    def add(coin: str, amount: Decimal) -> None:
        explained[coin] = explained.get(coin, Decimal(0)) + amount

    add(_QUOTE, Decimal(await session.scalar(select(func.coalesce(func.sum(LotMatchRow.net), 0))) or 0))
    lots = await session.execute(
        select(LotRow, InstrumentRow.base_coin)
        .join(InstrumentRow, (InstrumentRow.category == LotRow.category) & (InstrumentRow.symbol == LotRow.symbol))
        .where(LotRow.qty_left > 0)
    )
    for lot, base_coin in lots:
        if lot.category == Category.SPOT:
            add(base_coin, lot.qty_left)
            add(_QUOTE, -(lot.qty_left * lot.price + lot.fee_left))
        else:
            add(_QUOTE, -lot.fee_left)
    for dust in await session.scalars(select(Dust)):
        add(dust.coin, dust.qty)
        add(_QUOTE, -dust.cost)
    return explained
