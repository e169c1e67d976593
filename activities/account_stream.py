"""The account stream: the exchange's word on our orders, fills and wallet, into the database and to the workflows.

Events are handled one after the other in the order they came. After a start or a broken stream everything missed is
fetched by REST first; whatever arrives twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.execution_intake import Booking, take_in
from activities.orders import OrderView, learn_report
from activities.stream_report import report_streams
from db.repositories.audit import record_event
from db.repositories.executions import newest_execution_time
from db.repositories.orders import orders_not_final
from db.repositories.wallet import replace_wallet
from db.session import Database
from domain.market import Category
from domain.order import IllegalTransition
from exchange.protocol import Exchange, ExchangeError, Execution, OrderReport, PrivateHandlers, StreamGap, Wallet
from observability.logs import get_logger

log = get_logger(__name__)

ACCOUNT = "unified"
_OVERLAP = timedelta(minutes=1)
_FIRST_LOOK_BACK = timedelta(days=7)
_WALLET_SECONDS = 30.0
_CATCH_UP_RETRY_SECONDS = 1.0
_LIVE_WITHIN_SECONDS = 5.0


class AccountStreamRequest(BaseModel):
    """``run_seconds`` is after how long the activity returns, so that its workflow can begin a fresh history."""

    run_seconds: int = 86_400


class PositionFact(BaseModel):
    """That executions not ordered by the position's own workflow were booked to it."""

    qty_left: str


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
        self._client = client
        self._queue: asyncio.Queue[Sequence[Any] | Wallet | StreamGap] = asyncio.Queue()

    async def run(self, seconds: int) -> None:
        put = self._queue.put_nowait
        handlers = PrivateHandlers(
            on_orders=put, on_executions=put, on_positions=lambda _: None, on_wallet=put, on_gap=put
        )
        subscription = self._exchange.subscribe_private(handlers)
        beating = asyncio.create_task(self._beat_forever())
        try:
            async with asyncio.timeout(seconds):
                if not await subscription.wait_live(_LIVE_WITHIN_SECONDS):
                    log.warning("account stream not live yet; catching up by query")
                await self._catch_up()
                while True:
                    await self._handle(await self._queue.get())
        except TimeoutError:
            if beating.done():
                raise
        finally:
            beating.cancel()
            subscription.close()

    async def _beat_forever(self) -> None:
        wallet_due = 0.0
        loop = asyncio.get_running_loop()
        while True:
            activity.heartbeat()
            try:
                await report_streams(self._database, self._exchange)
                if loop.time() >= wallet_due:
                    wallet_due = loop.time() + _WALLET_SECONDS
                    await self._store_wallet(await self._exchange.wallet(), whole=True)
            except Exception as error:
                log.warning("account not reported", error=str(error))
            await asyncio.sleep(1)

    async def _handle(self, event: Sequence[Any] | Wallet | StreamGap) -> None:
        if isinstance(event, Wallet):
            await self._store_wallet(event, whole=False)
        elif isinstance(event, StreamGap):
            log.warning("account stream was broken", lost_at=event.lost_at, back_at=event.back_at)
            await self._catch_up()
        elif event and isinstance(event[0], Execution):
            await self._take_executions(event)
        elif event and isinstance(event[0], OrderReport):
            for report in event:
                await self._take_report(report, "private stream")

    async def _catch_up(self) -> None:
        """Fetch what may have been missed: executions since the newest known, and every order not final."""
        while True:
            try:
                for category in Category:
                    await self._take_executions(await self._missed_executions(category))
                async with self._database.session() as session:
                    orders = list(await orders_not_final(session))
                for order in orders:
                    report = await self._exchange.find_order(
                        Category(order.category), order.symbol, order.order_link_id
                    )
                    if report is not None:
                        await self._take_report(report, "catch-up")
                return
            except ExchangeError as error:
                log.warning("account not caught up yet", error=str(error))
                await asyncio.sleep(_CATCH_UP_RETRY_SECONDS)

    async def _missed_executions(self, category: Category) -> list[Execution]:
        async with self._database.session() as session:
            newest = await newest_execution_time(session, category)
        now = (await self._exchange.market_clock()).now
        since = newest - _OVERLAP if newest is not None else now - _FIRST_LOOK_BACK
        return await self._exchange.executions(category, since=since)

    async def _take_executions(self, executions: Sequence[Execution]) -> None:
        if not executions:
            return
        async with self._database.session() as session:
            bookings = await take_in(session, executions)
        strangers = {e.order_link_id for e in executions} & {""}
        for booking in bookings:
            if booking.booked and strangers:
                await self._tell_position(booking)

    async def _take_report(self, report: OrderReport, evidence: str) -> None:
        try:
            async with self._database.session() as session:
                view = await learn_report(session, report, evidence)
        except IllegalTransition as contradiction:
            await self._page(report, contradiction)
            return
        if view is None:
            return
        await self._tell_order(view)

    async def _tell_order(self, view: OrderView) -> None:
        await self._signal(f"order/{view.order_link_id}", "order_fact", view)

    async def _tell_position(self, booking: Booking) -> None:
        fact = PositionFact(qty_left=str(booking.qty_left))
        await self._signal(f"position/{booking.position_id}", "executions_booked", fact)

    async def _signal(self, workflow_id: str, name: str, fact: BaseModel) -> None:
        """Tell a workflow. One that is over or not there needs no telling: the database has the fact."""
        try:
            await self._client.get_workflow_handle(workflow_id).signal(name, fact)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

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

    async def _store_wallet(self, wallet: Wallet, *, whole: bool) -> None:
        async with self._database.session() as session:
            await replace_wallet(
                session,
                ACCOUNT,
                wallet.total_equity,
                [coin.model_dump() for coin in wallet.coins],
                datetime.now(UTC),
                whole=whole,
            )
