"""The ledger against the exchange's books, to the last digit.

Both sides move while they are read. The database is read first, in one snapshot; what the exchange's transaction log
has from executions that this snapshot has not booked yet is taken out of its wallet again, so that both sides tell of
the same executions. An execution that stays unbooked is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Dust, ExecutionApplication, InstrumentRow, LotMatchRow, LotRow, OrderExecution
from domain.market import Category
from workers.verify.verdict import Finding, Kind

_QUOTE = "USDT"

Balances = dict[str, Decimal]


async def judge_ledger(session: AsyncSession, books: Mapping[str, Any]) -> list[Finding]:
    """Executions missing on either side, coins whose wallet our lots, matches and dust don't explain, and whatever the
    exchange's own audit says."""
    ours = set((await session.scalars(select(OrderExecution.exec_id))).all())
    booked = set((await session.scalars(select(ExecutionApplication.exec_id))).all())
    explained = await _explained(session)
    return [
        *_executions(books, ours, booked),
        *_wallet(books, booked, explained),
        *(
            Finding(Kind.LEDGER_DRIFT, problem, f"the exchange's own audit: {problem}")
            for problem in books["check"]["problems"]
        ),
    ]


def _executions(books: Mapping[str, Any], ours: set[str], booked: set[str]) -> Iterator[Finding]:
    theirs = {row["execId"] for row in books["executions"]}
    for exec_id in theirs - ours:
        yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is at the exchange and not in the database")
    for exec_id in ours - theirs:
        yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is in the database and not at the exchange")
    for exec_id in (ours & theirs) - booked:
        yield Finding(Kind.LEDGER_DRIFT, exec_id, f"execution {exec_id} is recorded, and booked to no position")


def _wallet(books: Mapping[str, Any], booked: set[str], explained: Balances) -> Iterator[Finding]:
    wallet: Balances = {row["coin"]: Decimal(row["walletBalance"]) for row in books["wallet"]["coin"]}
    expected = dict(explained)
    for row in books["transaction_log"]:  # deposits and funding, and what nobody has booked yet
        if row["tradeId"] not in booked:
            expected[row["currency"]] = expected.get(row["currency"], Decimal(0)) + Decimal(row["change"])
    for coin in sorted(wallet.keys() | expected.keys()):
        has, should = wallet.get(coin, Decimal(0)), expected.get(coin, Decimal(0))
        if has != should:
            sentence = f"the exchange's wallet holds {has} {coin}, our ledger explains {should}"
            yield Finding(Kind.LEDGER_DRIFT, coin, sentence, abs(has - should))


async def _explained(session: AsyncSession) -> Balances:
    """What our own ledger says came of trading, by coin."""
    explained: Balances = {}

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
