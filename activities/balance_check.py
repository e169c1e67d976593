"""Balances held against the exchange's own log: what a coin was at the last check, and every change since.

A coin that is explained is written down as checked; one that isn't stays as it was, so that a row of the log that
comes late still explains it. A coin that moves while it is looked at is left to the next check, and so is one with an
execution that isn't recorded: a young one is on its way, an old one was missed and is handed back to be taken in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from activities.funding_intake import take_in_funding
from db.models import BalanceCheck
from db.repositories.balances import balance_checks, write_check
from db.repositories.reconciliations import unknown_executions
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category
from domain.reconciling import TRADES, ZERO, Change, Drift, unexplained_balance, unexplained_changes
from exchange.protocol import Exchange, Execution, TransactionLogRow, Wallet

_QUIET = timedelta(hours=1)
"""Wall time (times the market's speed) behind which a coin that didn't move is checked from next time."""
_STILL_QUIET = timedelta(days=1)
_AROUND = timedelta(minutes=1)
EXECUTION_GRACE = timedelta(seconds=10)
"""Wall time (times the market's speed) that an execution may take from the exchange into the database."""


@dataclass
class Checked:
    """How many coins were compared and which moved meanwhile, what nothing explains, and executions that only the log
    told of."""

    compared: int = 0
    moving: set[str] = field(default_factory=set)
    drift: list[Drift] = field(default_factory=list)
    missed: list[Execution] = field(default_factory=list)


class BalanceChecks:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    async def check(self, clock: MarketClock) -> Checked:
        """Every coin of the wallet, and every one that was in it at the last check; funding that the log tells is
        written down on the way. Raises ExchangeError."""
        async with self._database.session() as session:
            checks = await balance_checks(session, clock.epoch)
        recently = clock.now - (_STILL_QUIET if clock.speed <= 0 else _QUIET * max(clock.speed, 1.0))
        since = min((row.as_of for row in checks.values()), default=recently)
        first = _amounts(await self._exchange.wallet())
        log = await self._exchange.transaction_log(since=since)
        changes = [_change(row) for row in log]
        second = _amounts(await self._exchange.wallet())
        coins = first.keys() | second.keys() | checks.keys()
        still = {coin for coin in coins if first.get(coin) == second.get(coin)}
        checked = Checked()
        unknown = await self._unknown_trades(changes) if checks else set()
        if unknown:
            checked.missed = await self._fetch(unknown, changes)
            on_their_way = {each.exec_id for each in checked.missed} | _young(changes, clock)
            still -= {row.coin for row in changes if row.trade_id in unknown & on_their_way}
        checked.compared, checked.moving = len(still), coins - still
        async with self._database.session() as session:
            await take_in_funding(session, clock.epoch, log)
            for coin in sorted(still):
                mine = [row for row in changes if row.coin == coin]
                before = checks.get(coin)
                found = _judge(coin, before, since if checks else None, second.get(coin, ZERO), mine, unknown)
                checked.drift += found
                if not found:
                    as_of = _reached(mine, before, since, recently)
                    await write_check(session, clock.epoch, coin, second.get(coin, ZERO), as_of)
        return checked

    async def _unknown_trades(self, changes: Sequence[Change]) -> set[str]:
        """Trades of the log that nobody recorded."""
        async with self._database.session() as session:
            return await unknown_executions(session, {row.trade_id for row in changes if _is_trade(row)})

    async def _fetch(self, unknown: set[str], changes: Sequence[Change]) -> list[Execution]:
        earliest = min(row.at for row in changes if row.trade_id in unknown)
        return [
            each
            for category in Category
            for each in await self._exchange.executions(category, since=earliest - _AROUND)
            if each.exec_id in unknown
        ]


def _is_trade(row: Change) -> bool:
    return row.kind in TRADES and bool(row.trade_id)


def _young(changes: Sequence[Change], clock: MarketClock) -> set[str]:
    """Trades of a moment ago: whoever listens to the account is about to record them."""
    settled = clock.now - EXECUTION_GRACE * max(clock.speed, 1.0)
    return {row.trade_id for row in changes if row.at > settled}


def _judge(
    coin: str,
    before: BalanceCheck | None,
    since: datetime | None,
    now: Decimal,
    changes: Sequence[Change],
    unknown: set[str],
) -> list[Drift]:
    """What nothing explains of a coin. At a market's first check (``since`` None) there is nothing to hold it against;
    a coin that is new since the last one began with nothing."""
    if since is None:
        return []
    balance, as_of = (before.balance, before.as_of) if before is not None else (ZERO, since)
    gap = unexplained_balance(balance, as_of, now, changes)
    later = [row for row in changes if row.at > as_of]
    found = unexplained_changes(later, {row.trade_id for row in changes} - unknown)
    if gap:
        told = f"{coin}: {now:f} in the wallet, {gap:f} more than {balance:f} at {as_of.isoformat()} and the log since"
        found.append(Drift("balance", coin, gap, told))
    return found


def _reached(changes: Sequence[Change], before: BalanceCheck | None, since: datetime, recently: datetime) -> datetime:
    """The instant a balance is known at: its newest change. Without one, any instant up to now says the same."""
    as_of = before.as_of if before is not None else since
    newest = max((row.at for row in changes), default=None)
    return max(as_of, newest if newest is not None else recently)


def _amounts(wallet: Wallet) -> Mapping[str, Decimal]:
    return {coin.coin: coin.wallet_balance for coin in wallet.coins}


def _change(row: TransactionLogRow) -> Change:
    return Change(
        transaction_id=row.transaction_id,
        kind=row.type,
        coin=row.coin,
        change=row.change,
        trade_id=row.trade_id,
        at=row.at,
        category=row.category,
    )
