"""The scenarios whose histories are kept, each on a system of its own: what to do, and which workflows to save."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from config.settings import Settings
from db.models import Position, Scan, StrategyConfiguration, SystemSetting
from domain.candle import Timeframe
from domain.exits import ExitPolicy
from domain.ids import manual_position_id
from domain.market import Category, PositionSide
from domain.order import OrderState
from exchange.bybit import BybitExchange
from tests.support.servers import Server
from tests.support.trading import Trading
from tests.support.waiting import eventually
from tests.support.worker import trading_worker_process
from workers.connections import exchange_of
from workflows import account_stream, market_clock, market_stream
from workflows.account_stream import AccountStreamInput, AccountStreamWorkflow
from workflows.backfill import BackfillInput, BackfillWorkflow, workflow_id_of
from workflows.flatten import FlattenInput, FlattenWorkflow, flatten_workflow_id
from workflows.market_stream import MarketStreamInput, MarketStreamWorkflow
from workflows.options import MARKET_QUEUE, TRADING_QUEUE
from workflows.order import OrderWorkflow
from workflows.position import CloseRequest, PositionWorkflow, SetTargets
from workflows.reconciliation import ReconciliationInput, ReconciliationWorkflow
from workflows.regime import WORKFLOW_ID as REGIME_REBUILD_ID
from workflows.regime import RegimeRebuildInput, RegimeRebuildWorkflow
from workflows.scan import scan_id
from workflows.snapshot import SnapshotInput, SnapshotWorkflow, snapshot_id

Handle = WorkflowHandle[Any, Any]
Handles = dict[str, Handle]
SHORTEST_STREAM_SECONDS = 10


@dataclass
class Stage:
    """A running system, its worker a process. ``workers`` in the order of their start."""

    trading: Trading
    settings: Settings
    folder: Path
    workers: list[Server] = field(default_factory=list)

    def another_worker(self) -> Server:
        name = f"worker-{len(self.workers)}"
        self.workers.append(trading_worker_process(self.settings, self.folder, name).start())
        return self.workers[-1]

    async def strategies(self) -> None:
        """Wait until the worker has seeded them."""

        async def seeded() -> bool:
            async with self.trading.database.session() as session:
                return await session.scalar(select(StrategyConfiguration.strategy).limit(1)) is not None

        await eventually(seeded, "strategies")

    def end(self) -> None:
        for worker in self.workers:
            worker.kill() if worker.running else None

    async def saved(self, position: Handle) -> Handles:
        """The position and its orders that had a workflow, each once it has ended.

        An exit that was filled before its position got to look has none: the guard sent it, the stream told the rest.
        """
        await until_ended(position)
        found: Handles = {"position": position}
        for order in await self.trading.orders(position.id.removeprefix("position/")):
            link = order.order_link_id
            handle = self.trading.client.get_workflow_handle(f"order/{link}")
            if await exists(handle):
                await until_ended(handle)
                found[link.rsplit("-", 1)[-1]] = handle
        return found


SCENARIOS: dict[str, Callable[[Stage], Awaitable[Handles]]] = {}
STEPPED: set[str] = set()
"""Scenarios on a market that goes in steps."""


def scenario(play: Callable[[Stage], Awaitable[Handles]]) -> Callable[[Stage], Awaitable[Handles]]:
    """Register under the function's name, with dashes."""
    SCENARIOS[play.__name__.replace("_", "-")] = play
    return play


def stepped_scenario(play: Callable[[Stage], Awaitable[Handles]]) -> Callable[[Stage], Awaitable[Handles]]:
    STEPPED.add(play.__name__.replace("_", "-"))
    return scenario(play)


async def exists(handle: Handle) -> bool:
    try:
        await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def until_ended(handle: Handle) -> None:
    async def ended() -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    await eventually(ended, f"{handle.id} to end", timeout=60)


def policy(**percent: str) -> ExitPolicy:
    return ExitPolicy.model_validate({"stop_loss_pct": "2", **percent})


def priced(position: Position, percent: str) -> str:
    assert position.entry_price is not None
    return str((position.entry_price * (100 + Decimal(percent)) / 100).quantize(Decimal("0.1")))


async def close(handle: Handle) -> None:
    request = CloseRequest(reason="enough", requested_by="operator")
    await handle.execute_update(PositionWorkflow.close, request)
    await handle.result()


@scenario
async def spot_take_profit(stage: Stage) -> Handles:
    handle = await stage.trading.open(policy=policy(take_profit_pct="1"))
    position = await stage.trading.until_watched(handle)
    await stage.trading.push(Category.SPOT, "BTCUSDT", priced(position, "1.5"))
    await handle.result()
    return await stage.saved(handle)


@scenario
async def linear_short_trailing(stage: Stage) -> Handles:
    trailing = policy(trailing_activation_pct="1", trailing_distance_pct="0.5")
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", PositionSide.SHORT, policy=trailing)
    position = await stage.trading.until_watched(handle)
    for percent in ("-1", "-2", "-3", "-2.4"):
        await stage.trading.push(Category.LINEAR, "BTCUSDT", priced(position, percent))
    await handle.result()
    return await stage.saved(handle)


@scenario
async def manual_close(stage: Stage) -> Handles:
    handle = await stage.trading.open(policy=policy())
    await stage.trading.until_watched(handle)
    await close(handle)
    return await stage.saved(handle)


@scenario
async def targets_changed(stage: Stage) -> Handles:
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", policy=policy())
    position = await stage.trading.until_watched(handle)
    change = SetTargets(
        policy=policy(take_profit_pct="1"), expected_version=1, reason="tighter", requested_by="operator"
    )
    await handle.execute_update(PositionWorkflow.set_targets, change)
    await stage.trading.push(Category.LINEAR, "BTCUSDT", priced(position, "1.2"))
    await handle.result()
    return await stage.saved(handle)


@scenario
async def reservation_denied(stage: Stage) -> Handles:
    handle = await stage.trading.open(usd="1")
    await fails(handle)
    return {"position": handle}


@scenario
async def malformed_input(stage: Stage) -> Handles:
    handles: Handles = {}
    for workflow_type, part in (("PositionWorkflow", "position"), ("OrderWorkflow", "order")):
        handles[part] = await stage.trading.client.start_workflow(
            workflow_type, {"symbol": "BTCUSDT", "usdd": 5}, id=f"refused/{part}", task_queue=TRADING_QUEUE
        )
        await fails(handles[part])
    return handles


@scenario
async def order_denied(stage: Stage) -> Handles:
    position_id = manual_position_id(uuid.uuid4().hex)
    link = f"{position_id}-E1"
    order = {
        "order_link_id": link,
        "position_id": position_id,
        "role": "E",
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "qty": "0.001",
    }
    handle = await stage.trading.client.start_workflow(
        "OrderWorkflow", order, id=f"order/{link}", task_queue=TRADING_QUEUE
    )
    await fails(handle)
    return {"order": handle}


async def fails(handle: Handle) -> None:
    try:
        await handle.result()
    except WorkflowFailureError:
        return
    raise AssertionError(f"{handle.id} was not refused")


@scenario
async def guard_failover(stage: Stage) -> Handles:
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", policy=policy(take_profit_pct="1"))
    position = await stage.trading.until_watched(handle)
    stage.workers[0].kill()
    stage.another_worker()

    async def taken_over() -> bool:
        now = await stage.trading.position(handle)
        return now is not None and now.guard_epoch > position.guard_epoch

    await eventually(taken_over, "the second guard", timeout=40)
    await stage.trading.until_watched(handle)
    await stage.trading.push(Category.LINEAR, "BTCUSDT", priced(position, "1.2"))
    await handle.result()
    return await stage.saved(handle)


async def lose_answer(stage: Stage, suffix: str) -> None:
    await stage.trading.fault(
        kind="answer_lost", endpoint="order/create", count=1, match={"orderLinkId_suffix": suffix}
    )


@scenario
async def answer_lost_at_entry(stage: Stage) -> Handles:
    await lose_answer(stage, "-E1")
    handle = await stage.trading.open(policy=policy())
    await stage.trading.until_watched(handle)
    await close(handle)
    return await stage.saved(handle)


@scenario
async def answer_lost_at_exit(stage: Stage) -> Handles:
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", policy=policy(take_profit_pct="1"))
    position = await stage.trading.until_watched(handle)
    await lose_answer(stage, "-X1")
    await stage.trading.push(Category.LINEAR, "BTCUSDT", priced(position, "1.2"))
    await handle.result()
    return await stage.saved(handle)


@scenario
async def answer_lost_at_manual_exit(stage: Stage) -> Handles:
    handle = await stage.trading.open(policy=policy())
    await stage.trading.until_watched(handle)
    await lose_answer(stage, "-X1")
    await close(handle)
    return await stage.saved(handle)


@scenario
async def exit_never_received(stage: Stage) -> Handles:
    """The exit's first request is answered 502 and not accepted: it goes out again under the same id."""
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", policy=policy())
    await stage.trading.until_watched(handle)
    await stage.trading.fault(
        kind="http_5xx", endpoint="order/create", count=1, after=False, match={"orderLinkId_suffix": "-X1"}
    )
    await close(handle)
    return await stage.saved(handle)


@scenario
async def not_entered(stage: Stage) -> Handles:
    """The entry never reaches the exchange: proved absent, given up."""
    async with stage.trading.database.session(actor="operator", reason="short life") as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "entry_ttl_seconds").values(value=4))
    await stage.trading.fault(
        kind="http_5xx", endpoint="order/create", count=50, after=False, match={"orderLinkId_suffix": "-E1"}
    )
    handle = await stage.trading.open(Category.LINEAR, "BTCUSDT", policy=policy())
    settled = await handle.result()
    (entry,) = await stage.trading.orders(settled.position_id)
    assert entry.state == OrderState.NOT_PLACED, "it was sent before it was stale, or nothing had to be proved"
    return await stage.saved(handle)


@scenario
async def stop_replaced(stage: Stage) -> Handles:
    """The resting stop is cancelled (S1) and a new one takes its place (S2)."""
    handle = await stage.trading.open(policy=policy())
    opened = await stage.trading.until_watched(handle)
    stop = stage.trading.client.get_workflow_handle_for(OrderWorkflow.run, f"order/{opened.position_id}-S1")
    await stop.signal(OrderWorkflow.cancel)
    await stop.result()
    await stage.trading.until_watched(handle)
    await close(handle)
    return await stage.saved(handle)


@scenario
async def disaster_stop(stage: Stage) -> Handles:
    """The price jumps over the guard's stop and the one that rests at the exchange."""
    handle = await stage.trading.open(policy=policy())
    position = await stage.trading.until_watched(handle)
    await stage.trading.push(Category.SPOT, "BTCUSDT", priced(position, "-10"))
    await handle.result()
    return await stage.saved(handle)


@scenario
async def streams(stage: Stage) -> Handles:
    """Both streams through the end of one history: the first run of each, continued as new."""
    client = stage.trading.client
    for workflow_id in (account_stream.WORKFLOW_ID, market_stream.WORKFLOW_ID):
        await client.get_workflow_handle(workflow_id).terminate("to be recorded")
    account = await client.start_workflow(
        AccountStreamWorkflow.run,
        AccountStreamInput(run_seconds=SHORTEST_STREAM_SECONDS),
        id=account_stream.WORKFLOW_ID,
        task_queue=TRADING_QUEUE,
    )
    market = await client.start_workflow(
        MarketStreamWorkflow.run,
        MarketStreamInput(run_seconds=SHORTEST_STREAM_SECONDS),
        id=market_stream.WORKFLOW_ID,
        task_queue=MARKET_QUEUE,
    )
    first = {
        "account": client.get_workflow_handle(account.id, run_id=account.first_execution_run_id),
        "market": client.get_workflow_handle(market.id, run_id=market.first_execution_run_id),
    }
    for handle in first.values():
        await until_ended(handle)
    return first


@scenario
async def regime_rebuilt(stage: Stage) -> Handles:
    """Two stretches of a past; and a range in which nothing has closed yet."""
    now = datetime.fromisoformat((await stage.trading.http.get("/paper/clock")).json()["now"])

    async def start(start: datetime) -> Handle:
        return await stage.trading.client.start_workflow(
            RegimeRebuildWorkflow.run,
            RegimeRebuildInput(start=start, requested_by="operator", reason="before there was any"),
            id=REGIME_REBUILD_ID,
            task_queue=MARKET_QUEUE,
        )

    rebuilt = await start(now - timedelta(days=100))
    await rebuilt.result()
    refused = await start(now + timedelta(days=1))
    await fails(refused)
    by_run = stage.trading.client.get_workflow_handle
    return {
        "rebuilt": by_run(REGIME_REBUILD_ID, run_id=rebuilt.first_execution_run_id),
        "refused": by_run(REGIME_REBUILD_ID, run_id=refused.first_execution_run_id),
    }


@scenario
async def backfills(stage: Stage) -> Handles:
    """One of several stretches, a symbol nobody lists, one that is cancelled while the exchange is out."""
    now = datetime.fromisoformat((await stage.trading.http.get("/paper/clock")).json()["now"])

    async def start(symbol: str, bars: int) -> Handle:
        timeframe = Timeframe.M15
        wanted = BackfillInput(symbol=symbol, timeframe=timeframe, start=now - bars * timeframe.duration)
        return await stage.trading.client.start_workflow(
            BackfillWorkflow.run, wanted, id=workflow_id_of(symbol, timeframe), task_queue=MARKET_QUEUE
        )

    long = await start("BTCUSDT", 25_000)
    await long.execute_update(BackfillWorkflow.opened)
    await long.result()
    unknown = await start("NOSUCHUSDT", 100)
    await fails(unknown)
    await stage.trading.fault(kind="http_5xx", endpoint="market/kline", count=None, match={"symbol": "SOLUSDT"})
    cancelled = await start("SOLUSDT", 100)
    await cancelled.execute_update(BackfillWorkflow.opened)
    await cancelled.cancel()
    await until_ended(cancelled)
    return {"long": long, "unknown-symbol": unknown, "cancelled": cancelled}


@scenario
async def snapshots(stage: Stage) -> Handles:
    """An hour that has passed, the same hour again, and one of another market, which is refused."""
    clock = (await stage.trading.http.get("/paper/clock")).json()
    hour = datetime.fromisoformat(clock["now"]).replace(minute=0, second=0, microsecond=0)

    async def start(name: str, epoch: str) -> Handle:
        return await stage.trading.client.start_workflow(
            SnapshotWorkflow.run,
            SnapshotInput(epoch=epoch, hour=hour),
            id=f"{snapshot_id(hour)}/{name}",
            task_queue=TRADING_QUEUE,
        )

    taken = await start("taken", clock["epoch"])
    await taken.result()
    again = await start("again", clock["epoch"])
    await again.result()
    elsewhere = await start("elsewhere", "another-market")
    await fails(elsewhere)
    return {"taken": taken, "again": again, "elsewhere": elsewhere}


async def scanned(stage: Stage, count: int) -> list[Handle]:
    """The workflows of the first ``count`` closes that were scanned since the strategies look every quarter hour."""
    async with stage.trading.database.session(actor="operator", reason="every quarter hour") as session:
        await session.execute(update(StrategyConfiguration).values(timeframe="15m"))

    async def done() -> list[Scan]:
        async with stage.trading.database.session() as session:
            rows = await session.scalars(select(Scan).where(Scan.state == "done").order_by(Scan.close_at))
            found = list(rows)
        return found if len(found) >= count else []

    scans = await eventually(done, f"{count} scans", timeout=120)
    return [stage.trading.client.get_workflow_handle(scan_id(scan.close_at)) for scan in scans[:count]]


@stepped_scenario
async def clock_in_steps(stage: Stage) -> Handles:
    """The market clock from its first look on: warm-up, scans, a snapshot, steps; and the first of its scans."""
    scans = await scanned(stage, 6)
    clock = stage.trading.client.get_workflow_handle(market_clock.WORKFLOW_ID)
    await clock.terminate("to be recorded")
    return {"clock": clock, "scan": scans[0]}


@scenario
async def flatten_everything(stage: Stage) -> Handles:
    """One position is open, another just entering."""
    first = await stage.trading.open(policy=policy())
    await stage.trading.until_watched(first)
    second = await stage.trading.open(Category.LINEAR, "ETHUSDT", policy=policy())
    await second.execute_update(PositionWorkflow.reserved)
    wanted = FlattenInput(flatten_id="recorded", requested_by="operator", reason="enough")
    flatten = await stage.trading.client.start_workflow(
        FlattenWorkflow.run, wanted, id=flatten_workflow_id(wanted.flatten_id), task_queue=TRADING_QUEUE
    )
    await flatten.result()
    await until_ended(second)
    return {"flatten": flatten, "entering": second, **await stage.saved(first)}


@scenario
async def reconciliation(stage: Stage) -> Handles:
    """A position whose workflow is gone comes back in the first of two rounds; then a fresh history begins."""
    trading = stage.trading
    position = await trading.open()
    await trading.until_watched(position)
    await position.terminate("to be brought back")
    wanted = ReconciliationInput(every_seconds=1, rounds=2)
    handle = await trading.client.start_workflow(
        ReconciliationWorkflow.run, wanted, id="reconcile/recorded", task_queue=TRADING_QUEUE
    )
    first = trading.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await until_ended(first)
    again = await trading.client.get_workflow_handle(position.id).describe()
    assert again.status is WorkflowExecutionStatus.RUNNING
    await handle.terminate("recorded")
    return {"reconciliation": first}


@scenario
async def stop_moved_and_placed_anew(stage: Stage) -> Handles:
    """Looser targets move the stop at the exchange; somebody cancels it; a check finds it, and it is placed anew."""
    trading = stage.trading
    position = await trading.open(policy=policy(stop_loss_pct="5"))
    opened = await trading.until_watched(position)
    looser = SetTargets(policy=policy(stop_loss_pct="8"), expected_version=1, requested_by="operator", reason="room")
    await position.execute_update(PositionWorkflow.set_targets, looser)
    async with by_hand(stage.settings) as other:
        await other.cancel_order(Category.SPOT, "BTCUSDT", f"{opened.position_id}-S1")
    await position.signal(PositionWorkflow.check_stop)

    async def replaced() -> bool:
        stops = [o for o in await trading.orders(opened.position_id) if o.order_link_id.endswith("-S2")]
        return bool(stops) and stops[0].state == OrderState.UNTRIGGERED

    await eventually(replaced, "the stop to rest again", timeout=30)
    await close(position)
    return await stage.saved(position)


@scenario
async def linear_stop_repaired(stage: Stage) -> Handles:
    """Somebody takes the stop loss off a perpetual's position; a check puts it back."""
    trading = stage.trading
    position = await trading.open(Category.LINEAR, policy=policy(stop_loss_pct="5"))
    opened = await trading.until_watched(position)
    async with by_hand(stage.settings) as other:
        await other.set_stop_loss("BTCUSDT", Decimal(0))
    await position.signal(PositionWorkflow.check_stop)

    async def repaired() -> bool:
        return bool(await trading.events("stop_restored"))

    await eventually(repaired, f"the stop of {opened.position_id} to be back", timeout=30)
    await close(position)
    return await stage.saved(position)


@scenario
async def compared_on_demand(stage: Stage) -> Handles:
    """Rounds asked for: by an operator who waits for the answer, and by a stream that was broken."""
    client = stage.trading.client
    wanted = ReconciliationInput(every_seconds=5, rounds=3)
    handle = await client.start_workflow(
        ReconciliationWorkflow.run, wanted, id="reconcile/recorded", task_queue=TRADING_QUEUE
    )
    await handle.execute_update(ReconciliationWorkflow.run_now)
    await handle.signal(ReconciliationWorkflow.compare_soon)
    first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await until_ended(first)
    await handle.terminate("recorded")
    return {"reconciliation": first}


@asynccontextmanager
async def by_hand(settings: Settings) -> AsyncIterator[BybitExchange]:
    """Somebody else at the same account."""
    other = exchange_of(settings)
    await other.start()
    try:
        yield other
    finally:
        await other.close()
