"""Taking a portfolio snapshot: the books and the exchange read as of a full hour, and one row written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import AwareDatetime, BaseModel
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, NOT_YET, OTHER_MARKET, failure
from activities.hour_prices import HourPrices
from db.models import PortfolioHourlySnapshot
from db.repositories import snapshots as rows
from db.repositories.audit import record_event
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category
from domain.portfolio import (
    CENT,
    DOLLARS,
    HOUR,
    Holding,
    LogBehind,
    Movement,
    Prices,
    balances_at,
    booked_apart,
    coins_not_ours,
    day_of,
    difference,
    flows,
    funding_by_symbol,
    holdings_at,
    revalued,
    sold_apart,
    start_of,
    total,
    unexplained,
    value,
)
from exchange.protocol import Exchange, ExchangeError
from observability.logs import bind
from observability.tracing import current_trace_id

_LONGEST_WAIT = timedelta(seconds=10)
_SETTLING = timedelta(milliseconds=300)
"""Wall time after the hour in which the exchange may still be booking what happened before it."""
_PROOFS = 8
"""Attempts at having wallet and log agree; one that still doesn't is written, and says so."""


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
class _Before:
    """What the snapshot before this one said. Without one the stretch is the hour itself and nothing is compared."""

    hour: datetime
    row: PortfolioHourlySnapshot | None

    def told(self, name: str) -> dict[str, Decimal]:
        """Decimals by name out of the row's detail."""
        return {} if self.row is None else {key: Decimal(text) for key, text in self.row.detail[name].items()}


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
                proved = activity.info().attempt < _PROOFS
                row = await self._store(await self.measure(request.epoch, request.hour, proved=proved))
            return SnapshotTaken.model_validate(row, from_attributes=True)

    async def measure(self, epoch: str, hour: datetime, *, proved: bool = True) -> dict[str, Any]:
        """The values of the hour's row, the same however long after the hour they are asked for. Writes nothing.

        ``proved``: wallet and log must agree on every balance; otherwise a disagreement is noted in ``detail``.
        """
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

    async def _measured(self, clock: MarketClock, hour: datetime, proved: bool) -> dict[str, Any]:
        async with self._database.session() as session:
            row = await rows.snapshot_before(session, clock.epoch, hour)
        before = _Before(hour - HOUR if row is None else row.hour, row)
        since = min(before.hour, start_of(day_of(hour)), hour - HOUR)
        await self._check_complete(min(before.hour, hour - HOUR), hour)
        async with self._database.session() as session:
            ledger = await rows.ledger_at(session, clock.epoch, since, hour)
        holdings = holdings_at(ledger.lots, ledger.closings, hour)

        # The wallet first: what changes it before the log is read is in the log.
        wallet = {coin.coin: coin.wallet_balance for coin in (await self._exchange.wallet()).coins}
        earliest = min([before.hour, hour - HOUR, *_partly_closed(holdings, ledger)])
        log = await self._log(earliest)
        known = before.told("balances") if row is not None else None
        balances, notes = _balances(wallet, log, hour, known, proved)
        prices, missing = await self._prices(holdings, balances, log, hour)

        standing = value(holdings, balances, prices, booked_apart(holdings, ledger.closings, log, hour))
        last_hour = flows(ledger.closings, ledger.fills, log, prices, hour - HOUR, hour)
        stretch = flows(ledger.closings, ledger.fills, log, prices, before.hour, hour)
        midnight = start_of(day_of(hour))
        today = flows(ledger.closings, ledger.fills, (), prices, midnight, hour)
        same_day = row is not None and row.day == day_of(hour)
        funding = funding_by_symbol(
            log, prices, max(before.hour, midnight), hour, before.told("funding_today") if same_day else {}
        )
        foreign = total(
            [
                revalued(before.told("not_ours"), before.told("coin_prices"), prices),
                sold_apart(ledger.sold_beyond, prices, before.hour, hour),
            ]
        )
        gap = Decimal(0)
        if row is not None:
            change = difference(standing.equity, row.equity)
            gap = unexplained(change, difference(standing.unrealised, row.unrealised_pnl), stretch)
        return {
            "epoch": clock.epoch,
            "hour": hour,
            "day": day_of(hour),
            "equity": standing.equity,
            "unified_balance": standing.equity,
            "funding_balance": None,
            "invested": standing.invested,
            "unrealised_pnl": standing.unrealised,
            "realised_pnl": last_hour.realised,
            "fees": last_hour.fees,
            "funding": last_hour.funding,
            # What a market's account began with was there before its first snapshot.
            "transfers": Decimal(0) if row is None else last_hour.transfers,
            "bought": last_hour.bought,
            "sold": last_hour.sold,
            "net_pnl_daily": total([today.net, *funding.values()]),
            "unexplained": gap,
            "open_positions": standing.open_positions,
            "detail": {
                "since": before.hour.isoformat(),
                "balances": _texts(balances),
                "coin_prices": _texts(prices.coins),
                "linear_prices": _texts(prices.linear),
                "not_ours": _texts(coins_not_ours(holdings, balances)),
                "revalued": str(foreign),
                "funding_today": _texts(funding),
                "notes": notes + missing,
            },
            "taken_at": clock.now,
            "trace_id": current_trace_id(),
        }

    async def _check_complete(self, since: datetime, hour: datetime) -> None:
        """Everything that was executed up to the hour must be in the database before the ledger is read."""
        executed = {
            execution.exec_id
            for category in Category
            for execution in await self._exchange.executions(category, since=since)
            if execution.exec_type != "Funding" and execution.executed_at <= hour
        }
        async with self._database.session() as session:
            missing = await rows.unknown_executions(session, executed)
        if missing:
            raise failure(NOT_YET, f"{len(missing)} executions up to {hour:%H:%M} are not recorded yet")

    async def _log(self, since: datetime) -> list[Movement]:
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
            )
            for row in await self._exchange.transaction_log(since=since)
        ]

    async def _prices(
        self, holdings: Sequence[Holding], balances: Mapping[str, Decimal], log: Sequence[Movement], hour: datetime
    ) -> tuple[Prices, list[str]]:
        reader = HourPrices(self._database, self._exchange, hour)
        coins = {coin for coin, balance in balances.items() if balance} | {row.coin for row in log}
        coins |= {holding.coin for holding in holdings if holding.category is Category.SPOT}
        linear = {holding.symbol for holding in holdings if holding.category is Category.LINEAR}
        return await reader.read(sorted(coins - DOLLARS), sorted(linear))

    async def _store(self, values: dict[str, Any]) -> PortfolioHourlySnapshot:
        """Write the row, the cursor and, for a gap in the books, its event, in one transaction."""
        epoch, hour = values["epoch"], values["hour"]
        async with self._database.session() as session:
            if await rows.write_snapshot(session, values):
                _report_gap(session, values)
            await rows.raise_snapshot_cursor(session, epoch, hour)
            row = await rows.find_snapshot(session, epoch, hour)
        assert row is not None
        return row


def _report_gap(session: Any, values: dict[str, Any]) -> None:
    """An event when equity moved by more than the books and the price moves of coins that aren't ours explain."""
    gap = difference(values["unexplained"], Decimal(values["detail"]["revalued"]))
    if abs(gap) > CENT:
        record_event(
            session,
            "snapshot_unexplained",
            f"snapshot/{values['hour']:%Y-%m-%dT%H:%M:%SZ}",
            who="snapshot",
            severity="warning",
            market_at=values["hour"],
            detail={"unexplained": str(gap), "equity": str(values["equity"]), "since": values["detail"]["since"]},
        )


def _partly_closed(holdings: Sequence[Holding], ledger: rows.LedgerAt) -> list[datetime]:
    """Since when linear positions still open have been closed in part: the log must reach back to there."""
    open_now = {holding.position_id for holding in holdings if holding.category is Category.LINEAR}
    return [closing.at for closing in ledger.closings if closing.position_id in open_now]


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


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}
