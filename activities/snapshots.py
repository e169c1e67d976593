"""Taking a portfolio snapshot: the books and the exchange read as of a full hour, and one row written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import AwareDatetime, BaseModel
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, NOT_YET, OTHER_MARKET, failure
from activities.funding_intake import take_in_funding
from activities.hour_before import HourBefore, closings_of_open
from activities.hour_invariants import ForeignSizes, HourFacts, Judged, judge, page_broken
from activities.hour_prices import HourPrices
from activities.hour_row import row_values
from db.models import PortfolioHourlySnapshot
from db.repositories import snapshots as rows
from db.repositories.balances import sizes_before
from db.repositories.foreign import executed_by_others
from db.repositories.reconciliations import unknown_executions
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category, Side
from domain.portfolio import (
    DOLLARS,
    HOUR,
    Holding,
    LogBehind,
    Movement,
    Prices,
    balances_at,
    booked_apart,
    day_of,
    flows,
    holdings_at,
    start_of,
    total,
    value,
)
from domain.reconciling import TRADES
from exchange.protocol import Exchange, ExchangeError, TransactionLogRow
from observability.logs import bind

_LONGEST_WAIT = timedelta(seconds=10)
_SETTLING = timedelta(milliseconds=300)
"""Wall time after the hour in which the exchange may still be booking what happened before it."""
_PROOFS = 8
"""Attempts at having wallet and log agree; one that still doesn't is written, and says so."""
_SECOND_LOOK = timedelta(seconds=3)
"""Wall time after which an hour whose books don't hold is measured again, before anybody is paged."""


class SnapshotRequest(BaseModel):
    epoch: str
    hour: AwareDatetime


class SnapshotTaken(BaseModel):
    """The row that stands for the hour."""

    epoch: str
    hour: AwareDatetime
    equity: Decimal
    net_pnl_daily: Decimal
    unexplained: Decimal


@dataclass(frozen=True, slots=True)
class _Measured:
    """The values of an hour's row, what its invariants say, and the log that it was made from."""

    values: dict[str, Any]
    judged: Judged
    log: Sequence[TransactionLogRow]


class SnapshotActivities:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange

    @activity.defn
    async def take_snapshot(self, request: SnapshotRequest) -> SnapshotTaken:
        """The snapshot of the hour: the row that is there, or a new one once the hour has passed in the market.

        Raises ``not_yet`` (worth another try) while the hour lies ahead or the books are not complete up to it, and
        ``other_market`` when the exchange runs another market than the one asked for.
        """
        with bind(epoch=request.epoch, hour=request.hour.isoformat()):
            async with self._database.session() as session:
                row = await rows.find_snapshot(session, request.epoch, request.hour)
            if row is None:
                row = await self._store(await self._agreed(request, proved=activity.info().attempt < _PROOFS))
            return SnapshotTaken.model_validate(row, from_attributes=True)

    async def measure(self, epoch: str, hour: datetime, *, proved: bool = True) -> dict[str, Any]:
        """The values of the hour's row, the same however long after the hour they are asked for. Writes nothing.

        ``proved``: wallet and log must agree on every balance; otherwise a disagreement is noted in ``detail``.
        """
        return (await self._look(epoch, hour, proved)).values

    async def _agreed(self, request: SnapshotRequest, *, proved: bool) -> _Measured:
        """The hour measured; twice if its books don't hold, for what a moment explains is nobody's trouble."""
        measured = await self._look(request.epoch, request.hour, proved)
        if measured.judged.broken:
            await asyncio.sleep(_SECOND_LOOK.total_seconds())
            measured = await self._look(request.epoch, request.hour, proved)
        return measured

    async def _look(self, epoch: str, hour: datetime, proved: bool) -> _Measured:
        try:
            clock = await self._passed(epoch, hour)
            return await self._measured(clock, hour, proved)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"exchange: {error}") from error
        except LogBehind as error:
            raise failure(NOT_YET, str(error)) from error

    async def _passed(self, epoch: str, hour: datetime) -> MarketClock:
        """The clock, a moment after ``hour``: what the exchange does up to the hour is then done."""
        clock = await self._exchange.market_clock()
        if clock.epoch != epoch:
            raise failure(OTHER_MARKET, f"the exchange runs market {clock.epoch}, not {epoch}")
        if clock.now < hour:
            await asyncio.sleep(min(clock.wall_until(hour), _LONGEST_WAIT).total_seconds())
            clock = await self._exchange.market_clock()
        if clock.now < hour:
            raise failure(NOT_YET, f"the market is at {clock.now:%Y-%m-%d %H:%M:%S}, before {hour:%H:%M}")
        if clock.speed <= 0 or clock.now - hour < _SETTLING * clock.speed:
            await asyncio.sleep(_SETTLING.total_seconds())
        return clock

    async def _measured(self, clock: MarketClock, hour: datetime, proved: bool) -> _Measured:
        before = await self._before(clock.epoch, hour)
        since = min(before.hour, start_of(day_of(hour)), hour - HOUR)
        await self._check_complete(min(before.hour, hour - HOUR), hour)
        async with self._database.session() as session:
            ledger = await rows.ledger_at(session, clock.epoch, since, hour)
        holdings = holdings_at(ledger.lots, ledger.closings, hour)

        # Wallet and sizes first: what changes them before the log is read is in the log.
        wallet = {coin.coin: coin.wallet_balance for coin in (await self._exchange.wallet()).coins}
        sizes = await self._sizes()
        partly_closed = [*closings_of_open(holdings, ledger), *before.partly_closed]
        told = await self._exchange.transaction_log(since=min([before.hour, hour - HOUR, *partly_closed]))
        log = _movements(told)
        known = before.told("balances") if before.row is not None else None
        balances, notes = _balances(wallet, log, hour, known, proved)
        prices, missing = await self._prices(holdings, balances, log, hour)

        standing = value(holdings, balances, prices, booked_apart(holdings, ledger.closings, log, hour))
        facts = HourFacts(
            hour=hour,
            before=before,
            ledger=ledger,
            holdings=holdings,
            balances=balances,
            prices=prices,
            log=log,
            sizes=sizes,
            foreign=await self._foreign(clock.epoch, before.hour, hour),
            standing=standing,
            stretch=flows(ledger.closings, ledger.fills, log, prices, before.hour, hour),
        )
        judged = judge(facts, proved=proved)
        return _Measured(row_values(clock, facts, judged, notes + missing), judged, told)

    async def _before(self, epoch: str, hour: datetime) -> HourBefore:
        async with self._database.session() as session:
            row = await rows.snapshot_before(session, epoch, hour)
            then = hour - HOUR if row is None else row.hour
            late = row is not None and await rows.booked_late(session, epoch, then, _read_wall(row))
            return HourBefore(then, row, await rows.ledger_at(session, epoch, then, then), late)

    async def _sizes(self) -> dict[str, Decimal]:
        """What the exchange says of linear symbols now, signed."""
        positions = await self._exchange.positions(Category.LINEAR)
        return {each.symbol: each.side.sign * each.size for each in positions if each.side is not None}

    async def _foreign(self, epoch: str, then: datetime, hour: datetime) -> ForeignSizes:
        async with self._database.session() as session:
            first = await sizes_before(session, epoch)
            now = await executed_by_others(session, hour)
            before = await executed_by_others(session, then)
        return ForeignSizes(first is not None, _sums(now, first or {}), _sums(before, first or {}))

    async def _check_complete(self, since: datetime, hour: datetime) -> None:
        """Everything that was executed up to the hour must be in the database before the ledger is read."""
        executed = {
            execution.exec_id
            for category in Category
            for execution in await self._exchange.executions(category, since=since)
            if execution.exec_type != "Funding" and execution.executed_at <= hour
        }
        async with self._database.session() as session:
            missing = await unknown_executions(session, executed)
        if missing:
            raise failure(NOT_YET, f"{len(missing)} executions up to {hour:%H:%M} are not recorded yet")

    async def _prices(
        self, holdings: Sequence[Holding], balances: Mapping[str, Decimal], log: Sequence[Movement], hour: datetime
    ) -> tuple[Prices, list[str]]:
        reader = HourPrices(self._database, self._exchange, hour)
        coins = {coin for coin, balance in balances.items() if balance} | {row.coin for row in log}
        coins |= {holding.coin for holding in holdings if holding.category is Category.SPOT}
        linear = {holding.symbol for holding in holdings if holding.category is Category.LINEAR}
        return await reader.read(sorted(coins - DOLLARS), sorted(linear))

    async def _store(self, measured: _Measured) -> PortfolioHourlySnapshot:
        """Write the row, the funding that its log tells, the cursor and what is to be said, in one transaction."""
        epoch, hour = measured.values["epoch"], measured.values["hour"]
        async with self._database.session() as session:
            await take_in_funding(session, epoch, measured.log)
            before = await rows.snapshot_before(session, epoch, hour)
            if await rows.write_snapshot(session, measured.values):
                await page_broken(session, hour, measured.judged.broken, before)
            await rows.raise_snapshot_cursor(session, epoch, hour)
            row = await rows.find_snapshot(session, epoch, hour)
        assert row is not None
        return row


def _read_wall(row: PortfolioHourlySnapshot) -> datetime:
    """When the books of a row were read; rows of an older version tell when they were written."""
    told = row.detail.get("read_wall")
    return row.taken_wall if told is None else datetime.fromisoformat(told)


def _movements(log: Iterable[TransactionLogRow]) -> list[Movement]:
    return [
        Movement(
            kind=row.type,
            symbol=row.symbol,
            coin=row.coin,
            change=row.change,
            fee=row.fee,
            funding=row.funding,
            balance=row.cash_balance,
            exec_id=row.trade_id,
            at=row.at,
            category=Category(row.category) if row.category in set(Category) else None,
            traded=_traded(row),
            size=row.size,
        )
        for row in log
    ]


def _traded(row: TransactionLogRow) -> Decimal:
    """What a trade of a linear symbol added to its position, signed."""
    if row.category != Category.LINEAR or row.type not in TRADES:
        return Decimal(0)
    return row.qty if row.side == Side.BUY else -row.qty


def _sums(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: total([first.get(name, Decimal(0)), second.get(name, Decimal(0))]) for name in {*first, *second}}


def _balances(
    wallet: Mapping[str, Decimal],
    log: Sequence[Movement],
    hour: datetime,
    known: Mapping[str, Decimal] | None,
    proved: bool,
) -> tuple[dict[str, Decimal], list[str]]:
    """Balances at the hour, and what is to be said of them."""
    try:
        return balances_at(wallet, log, hour, known), []
    except LogBehind as error:
        if proved:
            raise
        return balances_at(wallet, log, hour, known, proved=False), [str(error)]
