"""Rows, workflows and the exchange compared: what should be under way is, no execution was missed, and we hold what we
say we hold.

Workflows come first (``lost_workflows``). Then the account: orders, positions, coins and stops as the exchange tells
them are held against our rows (``account_comparison``). What others do is adopted as foreign and left alone; what
nothing explains halts entries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.account_comparison import AccountComparison, Look, agreed
from activities.account_stream import CURSOR
from activities.balance_check import EXECUTION_GRACE, BalanceChecks
from activities.drift import acting, say_drift, standing
from activities.execution_intake import take_in
from activities.foreign import ForeignSales, adopt_foreign, news_of_foreign
from activities.lost_workflows import Lost, LostWorkflows
from activities.order_placing import learn_report
from activities.workflow_news import PositionFact, WorkflowNews
from db.repositories.audit import record_event
from db.repositories.balances import write_sizes_before
from db.repositories.reconciliations import (
    Counts,
    newest_event,
    newest_reconciliation,
    positions_taken,
    record_reconciliation,
    unknown_executions,
)
from db.repositories.streams import read_cursor
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category
from domain.order import IllegalTransition, is_final
from domain.reconciling import Drift, OurOrder, SizeDifference, StopFault
from exchange.protocol import Exchange, ExchangeError, Execution, Refused
from observability.logs import get_logger

log = get_logger(__name__)

_AT_ONCE = 16
_ORDER_GRACE = timedelta(seconds=30)
_OVERLAP = timedelta(minutes=2)
_STEP_OVERLAP = timedelta(hours=6)
_FIRST_LOOK_BACK = timedelta(days=7)
_RECORD_EVERY = timedelta(hours=1)
_APART_SECONDS = 3.0
"""Between the two looks (wall) of which both must find a thing for it to count."""
STOP_FAULT = "stop_fault"
STOP_NOT_REPAIRED = "stop_not_repaired"
_WHO = "reconciliation"


class ReconcileRequest(BaseModel):
    """``whole``: balances against the exchange's log too. ``recorded``: a row in any case, somebody asked for it."""

    whole: bool = True
    recorded: bool = False


class Reconciled(BaseModel):
    """What one comparison did: workflows brought back (their ids), executions nobody had recorded (how many), what is
    unexplained after it (how many). ``reconciliation_id``: its row, if it left one."""

    workflows_started: list[str] = []
    executions_fetched: int = 0
    drift: int = 0
    halted: bool = False
    reconciliation_id: int | None = None


@dataclass
class _Round:
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    brought_back: list[Lost] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    stops: list[StopFault] = field(default_factory=list)
    sold: list[str] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    look: Look | None = None
    failed: str = ""
    """Why the account was not compared."""

    @property
    def did_something(self) -> bool:
        return bool(self.brought_back or self.executions or self.learned or self.foreign or self.stops or self.sold)


class ReconcileActivities:
    """The activity of ``reconcile/account``; safe to repeat, and harmless beside everything else."""

    def __init__(self, database: Database, exchange: Exchange, client: Client) -> None:
        self._database = database
        self._exchange = exchange
        self._lost = LostWorkflows(database, client)
        self._tell = WorkflowNews(database, client)
        self._compare = AccountComparison(database, exchange, BalanceChecks(database, exchange))
        self._sales = ForeignSales(database, self._tell)

    @activity.defn
    async def reconcile(self, request: ReconcileRequest | None = None) -> Reconciled:
        """One round. An exchange that doesn't answer is asked again in the next: the workflows come first."""
        wanted = request or ReconcileRequest()
        done = _Round()
        done.brought_back += await self._lost.bring_back()
        try:
            await self._fetch_executions(done)
            await self._compare_account(done, wanted.whole)
        except ExchangeError as error:
            done.failed = str(error) or type(error).__name__
            log.warning("account not compared", error=done.failed)
        except (ValueError, LookupError, AssertionError, RPCError) as error:  # a row that makes no sense stops no round
            done.failed = f"{type(error).__name__}: {error}"
            log.exception("account not compared")
            await self._page_failure(done.failed)
        return await self._record(done, wanted)

    async def _page_failure(self, why: str) -> None:
        """Once for each reason: the account is not being compared, and only a person can mend that."""
        async with self._database.session() as session:
            if not await newest_event(session, "account_not_compared", why):
                record_event(session, "account_not_compared", why, who=_WHO, severity="page", detail={"error": why})

    # executions

    async def _fetch_executions(self, done: _Round) -> None:
        """Executions that happened a while ago and that nobody recorded."""
        clock = await self._exchange.market_clock()
        since = await self._since(clock)
        for category in Category:
            told = [e for e in await self._exchange.executions(category, since=since) if e.exec_type != "Funding"]
            await self._take_missed(done, told, clock)

    async def _since(self, clock: MarketClock) -> datetime:
        async with self._database.session() as session:
            cursor = await read_cursor(session, CURSOR)
        if cursor is None:
            return clock.now - _FIRST_LOOK_BACK
        return min(cursor, clock.now) - (_STEP_OVERLAP if clock.step else _OVERLAP * max(clock.speed, 1.0))

    async def _take_missed(self, done: _Round, executions: Sequence[Execution], clock: MarketClock) -> None:
        """Take in those nobody recorded, but for those of a moment ago, which are on their way."""
        settled = clock.now - EXECUTION_GRACE * max(clock.speed, 1.0)
        told = [execution for execution in executions if execution.executed_at <= settled]
        async with self._database.session() as session:
            unknown = await unknown_executions(session, [execution.exec_id for execution in told])
            missed = [execution for execution in told if execution.exec_id in unknown]
            bookings = await take_in(session, missed)
            for execution in missed:
                detail = {"symbol": execution.symbol, "qty": str(execution.qty), "order": execution.order_link_id}
                record_event(
                    session,
                    "execution_missed",
                    execution.exec_id,
                    who=_WHO,
                    severity="warning",
                    market_at=execution.executed_at,
                    detail=detail,
                )
        done.executions += [execution.exec_id for execution in missed]
        await self._tell.booked(missed, bookings)

    # the account

    async def _compare_account(self, done: _Round, whole: bool) -> None:
        """Two looks, unless the first finds nothing that isn't known; then what both found is acted upon."""
        clock = await self._exchange.market_clock()
        first = look = await self._compare.look(clock, whole=whole)
        await self._take_missed(done, first.missed, clock)
        if await self._is_news(first):
            await asyncio.sleep(_APART_SECONDS)
            look = agreed(first, await self._compare.look(clock, whole=whole))
        done.drift += look.drift
        done.look = look
        await self._ask_about(done, look.missing.values())
        sold, unexplained = await self._sales.book(look)
        done.sold += sold
        done.drift += unexplained
        for fault in look.stops.values():
            await self._mend(done, fault)
        await self._tell_emptied()
        async with self._database.session() as session:
            if look.unknown_before:
                await _adopt_sizes_before(session, clock, look)
            done.foreign += await adopt_foreign(session, first, look)

    async def _is_news(self, look: Look) -> bool:
        if look.missing or look.stops or look.short or look.drift or look.missed or look.unknown_before:
            return True
        async with self._database.session() as session:
            return await news_of_foreign(session, look)

    async def _ask_about(self, done: _Round, missing: Iterable[OurOrder]) -> None:
        """What became of orders that are open here and not at the exchange: its own word decides."""
        for order in missing:
            try:
                report = await self._exchange.find_order(order.category, order.symbol, order.order_link_id)
            except Refused as error:
                told = f"order {order.order_link_id} ({order.symbol}) is open here, and the exchange says: {error}"
                done.drift.append(Drift("order_lost", order.order_link_id, Decimal(1), told))
                continue
            if report is None:
                told = f"order {order.order_link_id} ({order.symbol}) is open here, and the exchange doesn't know it"
                done.drift.append(Drift("order_lost", order.order_link_id, Decimal(1), told))
                continue
            try:
                async with self._database.session() as session:
                    view = await learn_report(session, report, "found by reconciliation")
            except IllegalTransition as error:
                told = f"order {order.order_link_id} ({order.symbol}): {error}"
                done.drift.append(Drift("order_contradiction", order.order_link_id, Decimal(1), told))
                continue
            if view is not None and is_final(view.state):
                done.learned.append(order.order_link_id)
                await self._tell.order(view)

    async def _tell_emptied(self) -> None:
        """Positions that others closed, but for a rest that nobody can sell: said again until they are settled."""
        async with self._database.session() as session:
            emptied = await positions_taken(session)
        for position_id in emptied:
            await self._tell.position(position_id, PositionFact(qty_left=Decimal(0)))

    async def _mend(self, done: _Round, fault: StopFault) -> None:
        """Have the position's own process repair its stop: a second stop from elsewhere could sell twice.

        Said when it is first seen; one that is still wrong at the next comparison is paged, once.
        """
        done.stops.append(fault)
        log.warning("stop not as it should be", **asdict(fault))
        async with self._database.session() as session:
            last = await newest_reconciliation(session)
            standing_before = last is not None and asdict(fault) in last.detail.get("stops", [])
            seen = await newest_event(session, STOP_FAULT, fault.position_id)
            if not (standing_before and seen):
                record_event(session, STOP_FAULT, fault.position_id, who=_WHO, severity="warning", detail=asdict(fault))
            elif await newest_event(session, STOP_NOT_REPAIRED, fault.position_id) < seen:
                record_event(
                    session, STOP_NOT_REPAIRED, fault.position_id, who=_WHO, severity="page", detail=asdict(fault)
                )
        await self._tell.check_stop(fault.position_id)

    # the record

    async def _record(self, done: _Round, wanted: ReconcileRequest) -> Reconciled:
        """A row when something was done or found, when it was asked for, and one an hour to show that it was looked.

        The newest row tells all that stands unexplained: by it the next comparison knows what is new.
        """
        async with self._database.session() as session:
            last = await newest_reconciliation(session)
        known = [] if last is None else last.drift
        now = known
        if done.look is not None:
            now = standing(known, done.drift, done.look.unjudged, whole=wanted.whole)
        row = None
        async with acting(self._database, now) as session:
            changed, halted = await say_drift(session, known, now)
            due = last is None or done.started_at - last.finished_at >= _RECORD_EVERY
            if due or wanted.recorded or changed or done.did_something:
                row = record_reconciliation(
                    session, done.started_at, _counts(done), drift=now, halted=halted, detail=_detail(done, wanted)
                )
                await session.flush()
        return Reconciled(
            workflows_started=[lost.workflow_id for lost in done.brought_back],
            executions_fetched=len(done.executions),
            drift=len(now),
            halted=halted,
            reconciliation_id=None if row is None else row.id,
        )


async def _adopt_sizes_before(session: AsyncSession, clock: MarketClock, look: Look) -> None:
    """A market's first comparison: what no execution explains was there before us, and belongs to others."""
    before = {name: size.unexplained for name, size in look.sizes.items() if size.unexplained}
    await write_sizes_before(session, clock.epoch, before, clock.now)
    for name, size in before.items():
        told = look.sizes[name]
        look.sizes[name] = SizeDifference(name, told.exchange, told.ours, told.foreign + size)


def _counts(done: _Round) -> Counts:
    counts = Counts(
        workflows_started=len(done.brought_back),
        executions_fetched=len(done.executions),
        stops_repaired=len(done.stops),
    )
    if done.look is not None:
        counts.orders_compared = done.look.orders_compared
        counts.positions_compared = len(done.look.sizes) + len(done.look.moving)
        counts.balances_compared = done.look.balances_compared
        counts.foreign_orders = len(done.look.foreign)
        counts.foreign_positions = sum(1 for size in done.look.sizes.values() if size.foreign)
    return counts


def _detail(done: _Round, wanted: ReconcileRequest) -> dict[str, Any]:
    return {
        "workflows": [lost.workflow_id for lost in done.brought_back],
        "executions": done.executions,
        "orders_learned": done.learned,
        "foreign": done.foreign,
        "stops": [asdict(fault) for fault in done.stops],
        "sold_by_others": done.sold,
        "whole": wanted.whole,
        "asked_for": wanted.recorded,
        "failed": done.failed,
    }
