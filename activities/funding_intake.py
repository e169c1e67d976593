"""Funding into the database: every settlement of the exchange's log, whoever read the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.funding_payments import record_funding
from db.repositories.reconciliations import unknown_executions
from domain.funding_payments import Settlement, market_rate
from domain.market import Category
from domain.reconciling import TRADES
from exchange.protocol import TransactionLogRow

_SETTLEMENT = "SETTLEMENT"


async def take_in_funding(session: AsyncSession, epoch: str, log: Sequence[TransactionLogRow]) -> int:
    """Record the settlements of a piece of the log. Repeats change nothing. Returns how many were new.

    A symbol with a trade that isn't recorded is left to the next reading: whose the payment is, its lots decide.
    """
    settlements = settlements_of(log)
    if not settlements:
        return 0
    trades = {row.trade_id for row in log if row.type in TRADES and row.trade_id}
    unknown = await unknown_executions(session, trades)
    moving = {row.symbol for row in log if row.trade_id in unknown}
    return await record_funding(session, epoch, [each for each in settlements if each.symbol not in moving])


def settlements_of(log: Iterable[TransactionLogRow]) -> list[Settlement]:
    """Funding of linear symbols among the rows, in their order."""
    return [
        Settlement(
            log_id=row.transaction_id,
            symbol=row.symbol,
            coin=row.coin,
            amount=row.funding,
            size=row.size,
            rate=market_rate(row.fee_rate, row.funding, row.size),
            at=row.at,
        )
        for row in log
        if row.type == _SETTLEMENT and row.category == Category.LINEAR and row.symbol
    ]
