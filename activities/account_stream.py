"""The account stream: the exchange's word on our orders, fills and wallet, into the database and to the workflows.

Events are handled one after the other in the order they came. After a start or a broken stream everything missed is
fetched by REST first; whatever arrives twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client

from activities.execution_intake import take_in
from activities.order_placing import learn_report
from activities.stream_report import report_streams
from activities.workflow_news import PositionFact, WorkflowNews
from db.repositories.audit import record_event
from db.repositories.evidence import add_evidence, orders_in_doubt
from db.repositories.orders import orders_not_final
from db.repositories.positions import emptied_positions
from db.repositories.streams import advance_cursor, read_cursor
from db.repositories.wallet import replace_wallet
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category
from domain.order import IllegalTransition
from exchange.protocol import (
    Exchange,
    ExchangeError,
    Execution,
    OrderReport,
    PrivateHandlers,
    Refused,
    StreamGap,
    Wallet,
)
from observability.logs import get_logger

log = get_logger(__name__)

ACCOUNT = "unified"
CURSOR = "account"
_STREAM = "private stream"
_OVERLAP = timedelta(minutes=1)
_STILL_OVERLAP = timedelta(days=1)  # where the market moves in steps, or has ended, no speed says how far it came
_FIRST_LOOK_BACK = timedelta(days=7)
_WALLET_SECONDS = 30.0
_CATCH_UP_RETRY_SECONDS = 1.0
_LIVE_WITHIN_SECONDS = 5.0


class AccountStreamRequest(BaseModel):
    """``run_seconds`` is after how long the activity returns, so that its workflow can begin a fresh history."""

    run_seconds: int = 86_400


class AccountStreamActivities:
    def __init__(self, database: Database, exchange: Exchange, client: Client) -> None:
        self._database = database
        self._exchange = exchange
        self._client = client

    @activity.defn
    async def stream_account(self, request: AccountStreamRequest) -> None:
        """Read the private stream until ``run_seconds`` are over; heartbeats every second."""
        reader = _Reader(self._database, self._exchange, self._client)
        await reader.run(request.run_seconds)


class _Reader:
    def __init__(self, database: Database, exchange: Exchange, client: Client) -> None:
        self._database = database
        self._exchange = exchange
        self._tell = WorkflowNews(database, client)
        self._queue: asyncio.Queue[Sequence[Any] | Wallet | StreamGap] = asyncio.Queue()
        self._caught_up = False

    async def run(self, seconds: int) -> None:
        put = self._queue.put_nowait
        handlers = PrivateHandlers(
            on_orders=put, on_executions=put, on_positions=lambda _: None, on_wallet=put, on_gap=self._on_gap
        )
        subscription = self._exchange.subscribe_private(handlers)
        background = [asyncio.create_task(self._beat_forever()), asyncio.create_task(self._report_forever())]
        try:
            async with asyncio.timeout(seconds):
                if not await subscription.wait_live(_LIVE_WITHIN_SECONDS):
                    log.warning("account stream not live yet; catching up by query")
                await self._catch_up()
                while True:
                    await self._handle(await self._queue.get())
        except TimeoutError:
            return
        finally:
            for task in background:
                task.cancel()
            subscription.close()

    def _on_gap(self, gap: StreamGap) -> None:
        self._caught_up = False  # at once: the cursor must not pass what was missed
        self._queue.put_nowait(gap)

    async def _beat_forever(self) -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(1)

    async def _report_forever(self) -> None:
        """How the stream stands, how far it is complete, and the wallet now and then."""
        wallet_due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await report_streams(self._database, self._exchange)
                await self._advance_cursor()
                if loop.time() >= wallet_due:
                    wallet_due = loop.time() + _WALLET_SECONDS
                    await self._fetch_wallet()
            except Exception as error:  # a report that fails must not stop the stream
                log.warning("account not reported", error=str(error))
            await asyncio.sleep(1)

    async def _advance_cursor(self) -> None:
        """The stream is complete up to now while it is connected, caught up, and nothing waits to be handled."""
        now = (await self._exchange.market_clock()).now
        live = any(stream.stream == "private" and stream.connected for stream in self._exchange.freshness())
        if live and self._caught_up and self._queue.empty():
            async with self._database.session() as session:
                await advance_cursor(session, CURSOR, now)

    async def _handle(self, event: Sequence[Any] | Wallet | StreamGap) -> None:
        if isinstance(event, Wallet):
            await self._store_wallet(event, datetime.now(UTC), whole=False)
        elif isinstance(event, StreamGap):
            log.warning("account stream was broken", lost_at=event.lost_at, back_at=event.back_at)
            await self._catch_up()
        elif event and isinstance(event[0], Execution):
            await self._take_executions(event)
        elif event and isinstance(event[0], OrderReport):
            for report in event:
                await self._take_report(report, _STREAM)

    async def _catch_up(self) -> None:
        """Fetch what may have been missed: executions since the cursor, every order that isn't final, the wallet.

        What was missed may also be what others did: the whole account is compared soon after.
        """
        self._caught_up = False
        while True:
            try:
                began = await self._exchange.market_clock()
                since = await self._missed_since(began)
                for category in Category:
                    await self._take_executions(await self._exchange.executions(category, since=since))
                await self._ask_about_orders()
                await self._fetch_wallet()
                break
            except ExchangeError as error:
                log.warning("account not caught up yet", error=str(error))
                await asyncio.sleep(_CATCH_UP_RETRY_SECONDS)
        async with self._database.session() as session:
            await advance_cursor(session, CURSOR, began.now)
            emptied = await emptied_positions(session)
        for position_id in emptied:
            await self._tell.position(position_id, PositionFact(qty_left=Decimal(0)))
        self._caught_up = True
        await self._tell.compare_soon()

    async def _missed_since(self, clock: MarketClock) -> datetime:
        async with self._database.session() as session:
            cursor = await read_cursor(session, CURSOR)
        if cursor is None:
            return clock.now - _FIRST_LOOK_BACK
        return cursor - (_STILL_OVERLAP if clock.speed <= 0 else _OVERLAP * max(clock.speed, 1.0))

    async def _ask_about_orders(self) -> None:
        async with self._database.session() as session:
            orders = list(await orders_not_final(session))
        for order in orders:
            try:
                report = await self._exchange.find_order(Category(order.category), order.symbol, order.order_link_id)
            except Refused as error:  # of a symbol that is no longer listed: reconciliation says so, news goes on
                log.error("the exchange says nothing of an order", order_link_id=order.order_link_id, error=str(error))
                continue
            if report is not None:
                await self._take_report(report, "catch-up")

    async def _take_executions(self, executions: Sequence[Execution]) -> None:
        if not executions:
            return
        async with self._database.session() as session:
            bookings = await take_in(session, executions)
            doubted = await orders_in_doubt(session, [execution.order_link_id for execution in executions])
            for execution in executions:
                if execution.order_link_id in doubted:
                    told = {"exec_id": execution.exec_id, "qty": str(execution.qty)}
                    add_evidence(session, doubted[execution.order_link_id], "stream", True, **told)
        await self._tell.booked(executions, bookings)

    async def _take_report(self, report: OrderReport, evidence: str) -> None:
        try:
            async with self._database.session() as session:
                for order in (await orders_in_doubt(session, [report.order_link_id])).values():
                    source = "stream" if evidence == _STREAM else "query"
                    add_evidence(session, order, source, True, status=report.status)
                view = await learn_report(session, report, evidence)
        except IllegalTransition as contradiction:
            await self._page(report, contradiction)
            return
        if view is not None:
            await self._tell.order(view)

    async def _page(self, report: OrderReport, contradiction: IllegalTransition) -> None:
        log.error("the exchange contradicts itself", order_link_id=report.order_link_id, error=str(contradiction))
        async with self._database.session() as session:
            record_event(
                session,
                "order_contradiction",
                report.order_link_id,
                who="account stream",
                severity="page",
                detail={"error": str(contradiction), "reported": report.status},
            )

    async def _fetch_wallet(self) -> None:
        asked_at = datetime.now(UTC)  # what the stream tells after this is newer than the answer
        await self._store_wallet(await self._exchange.wallet(), asked_at, whole=True)

    async def _store_wallet(self, wallet: Wallet, at: datetime, *, whole: bool) -> None:
        async with self._database.session() as session:
            await replace_wallet(
                session,
                ACCOUNT,
                wallet.total_equity,
                [coin.model_dump() for coin in wallet.coins],
                at,
                whole=whole,
            )
