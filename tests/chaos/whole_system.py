"""A whole system as an operator has it, whose every process can be killed while positions trail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from client import ApiError, AtsClient, Connection
from client.models import TradeRequest
from config.credentials import api_key, postgres_dsn
from config.settings import Settings
from db.models import GuardLease, Order, Position
from db.repositories.positions import active_positions
from db.session import Database
from domain.exits import ExitPolicy
from domain.ids import OrderRole
from domain.market import Category
from domain.order import OrderState
from domain.position import PositionState
from tests.support.servers import Server
from tests.support.waiting import eventually
from workers.stack import State, spare_settings
from workers.stack.process import ChildSpec
from workers.stack.remote import running_stack
from workers.stack.services import PROJECT
from workers.stack.temporal import database_file

PARTS = ("postgres", "temporal", "exchange", "migrations", "worker-trading", "api")
TRAILING = ExitPolicy.model_validate(
    {"stop_loss_pct": "3", "trailing_activation_pct": "0.1", "trailing_distance_pct": "1.5"}
)
_HELD = (
    ("buy", "linear", "BTCUSDT"),
    ("sell", "linear", "ETHUSDT"),
    ("buy", "spot", "SOLUSDT"),
    ("buy", "spot", "XRPUSDT"),
)
_BEAT = timedelta(seconds=2.5)
_UNREACHABLE = (SQLAlchemyError, RPCError, OSError, RuntimeError, ApiError)


class WholeSystem:
    """Parts under a launcher of their own, on ports that stay the same when the launcher is started again."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.settings: Settings = spare_settings(folder, exchange={"paper": {"speed": speed}})
        given = self.settings.model_dump(mode="json", include={"postgres", "temporal", "api", "ui"})
        given["exchange"] = {"paper": {"speed": speed, "port": self.settings.exchange.paper.port}}
        given["postgres"].pop("dsn")
        for section, secret in (("temporal", "api_key"), ("api", "key")):
            given[section].pop(secret)
        file = folder / "settings.json"
        file.write_text(json.dumps(given))
        command = (sys.executable, "-m", "tests.support.launcher", str(file), *PARTS)
        spec = ChildSpec(command, folder / "launcher.out", PROJECT, {"PYTHONPATH": str(PROJECT)})
        self.launcher = Server(spec, self._all_ready, ready_timeout=90)
        self.database = Database("postgresql://nowhere")

    def _all_ready(self) -> bool:
        return set(self.pids()) >= set(PARTS) - {"migrations"}

    def pids(self) -> dict[str, int]:
        """Of the processes that are ready now."""
        told = running_stack(self.settings)
        return {part.name: part.pid for part in (told.parts if told else []) if part.pid and part.state is State.READY}

    async def start(self) -> None:
        await asyncio.to_thread(self.launcher.start)
        self.database = Database(postgres_dsn(self.settings), pool_size=2)

    async def stop(self) -> None:
        await self.database.close()
        await asyncio.to_thread(self.launcher.stop, signal.SIGTERM, 30)

    # positions

    def api(self) -> AtsClient:
        return AtsClient(Connection(self.settings.api_url, api_key(self.settings)), timeout_seconds=5)

    async def hold(self) -> None:
        """Order every position of the set that isn't held, and wait until all of it is open and watched."""

        async def held() -> bool:
            await asyncio.to_thread(self._order_missing)
            async with self.database.session() as session:
                rows = [row for row in await active_positions(session) if row.strategy == "manual"]
            return len(rows) == len(_HELD) and await self.is_safe(datetime.now(UTC) - _BEAT)

        await eventually(held, "every position open, watched and protected", timeout=60, every=0.3)

    def _order_missing(self) -> None:
        with self.api() as api, suppress(ApiError):  # a symbol may be held by a strategy's position
            held = {(p.category.value, p.symbol) for p in api.positions(state="active", limit=200).items}
            for side, category, symbol in _HELD:
                if (category, symbol) not in held:
                    request = {"side": side, "category": category, "symbol": symbol, "usd": "1000", "reason": "chaos"}
                    api.trade(TradeRequest.model_validate({**request, "exit_policy": TRAILING}))

    # killing

    def kill(self, part: str) -> int:
        pid = self.pids()[part]
        os.killpg(pid, signal.SIGKILL)
        return pid

    def forget_workflows(self) -> None:
        """Kill Temporal and delete its file before it is started again."""
        self.kill("temporal")
        file = database_file(self.settings.data_dir.resolve())
        for each in (file, file.with_name(file.name + "-wal"), file.with_name(file.name + "-shm")):
            each.unlink(missing_ok=True)

    async def recovered(self, began: float, part: str | None, killed: int | None) -> float:
        """Wall seconds since ``began`` (monotonic) until the process is another one, every open position is watched
        and protected by beats of after that, every active one has its workflow, and the API answers."""

        async def another() -> bool:
            pids = self.pids()
            return len(pids) >= len(PARTS) - 1 and (part is None or pids[part] != killed)

        await eventually(another, f"another {part}", timeout=60, every=0.05)
        since = datetime.now(UTC)
        await eventually(lambda: self._all_well(since), "everything watched and protected", timeout=60, every=0.1)
        return time.monotonic() - began

    async def _all_well(self, since: datetime) -> bool:
        try:
            with self.api() as api:
                await asyncio.to_thread(api.positions, state="active")
            return await self.is_safe(since)
        except _UNREACHABLE:
            return False

    async def is_safe(self, since: datetime) -> bool:
        """Whether each open position has a guard of its epoch that was seen after ``since`` and, on spot, a resting
        stop; and each active one a workflow."""
        async with self.database.session() as session:
            rows = await active_positions(session)
            for row in rows:
                if row.state != PositionState.OPEN:
                    continue
                seen = await session.scalar(
                    select(func.max(GuardLease.last_seen_at)).where(
                        GuardLease.position_id == row.position_id, GuardLease.guard_epoch == row.guard_epoch
                    )
                )
                if seen is None or seen <= since or datetime.now(UTC) - seen > _BEAT:
                    return False
                if row.category == Category.SPOT and not await self._stop_rests(session, row):
                    return False
        return await self._run(rows)

    async def _stop_rests(self, session: AsyncSession, position: Position) -> bool:
        wanted = select(Order.order_link_id).where(
            Order.position_id == position.position_id,
            Order.role == OrderRole.STOP,
            Order.state == OrderState.UNTRIGGERED,
        )
        return (await session.scalar(wanted)) is not None

    async def _run(self, positions: Sequence[Position]) -> bool:
        client = await Client.connect(self.settings.temporal_address)
        for position in positions:
            try:
                told = await client.get_workflow_handle(f"position/{position.position_id}").describe()
            except RPCError:
                return False
            if told.status is not WorkflowExecutionStatus.RUNNING:
                return False
        return True
