"""The stop at the exchange: moved with targets and ratchets, re-sized, looked for, repaired; never two, never none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import case, func, select
from temporalio.client import WorkflowHandle

from activities.targets import TargetsWritten
from db.models import ExecutionApplication, Order, OrderExecution, Position, SystemEvent
from db.repositories.market import find_instrument
from db.repositories.orders import insert_intent
from domain.exits import ExitPolicy, ExitReason, stop_price_for
from domain.ids import OrderRole, order_link_id
from domain.market import Category, PositionSide, Side
from domain.order import OrderState
from domain.position import PositionState
from domain.sizing import disaster_trigger
from exchange.bybit import BybitExchange
from exchange.protocol import OrderRequest
from tests.support.trading import Trading
from tests.support.waiting import eventually
from workflows.position import CloseRequest, PositionWorkflow, SetTargets

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

Handle = WorkflowHandle[Any, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_hand(trading: Trading) -> AsyncIterator[BybitExchange]:
    """The same account in somebody else's hands."""
    paper = trading.exchange
    gateway = BybitExchange("paper", paper.key, paper.secret, paper.url, 5000, 5.0)
    await gateway.start()
    yield gateway
    await gateway.close()


def stop(percent: str, **more: str) -> ExitPolicy:
    return ExitPolicy.model_validate({"stop_loss_pct": percent, **more})


async def belongs_at(trading: Trading, position: Position, policy: ExitPolicy) -> Decimal:
    """Where the stop at the exchange belongs under ``policy`` for a position that has seen nothing but its entry."""
    assert position.entry_price is not None
    async with trading.database.session() as session:
        instrument = await find_instrument(session, Category(position.category), position.symbol)
    assert instrument is not None
    side = PositionSide(position.side)
    guard_stop = stop_price_for(side, position.entry_price, policy)
    return disaster_trigger(instrument, side, guard_stop, position.disaster_buffer_pct)


async def at_exchange(by_hand: BybitExchange, position: Position) -> list[tuple[Decimal, Decimal | None]]:
    """Triggers (and quantities, on spot) of the stops that rest there for the position."""
    if position.category == Category.LINEAR:
        held = await by_hand.positions(Category.LINEAR, position.symbol)
        return [(each.stop_loss, None) for each in held if each.size > 0 and each.stop_loss is not None]
    orders = await by_hand.open_orders(Category.SPOT, position.symbol)
    mine = [each for each in orders if each.order_link_id.startswith(f"{position.position_id}-S")]
    return [(each.trigger_price, each.qty) for each in mine if each.trigger_price is not None]


async def until_at(trading: Trading, by_hand: BybitExchange, handle: Handle, trigger: Decimal) -> Position:
    """Until the one stop rests at ``trigger``, there and in the rows."""

    async def there() -> Position | None:
        position = await trading.position(handle)
        assert position is not None
        found = await at_exchange(by_hand, position)
        return position if [each[0] for each in found] == [trigger] and position.disaster_stop == trigger else None

    found = await eventually(there, f"the stop of {handle.id} at {trigger}", timeout=30, every=0.1)
    assert found is not None
    return found


async def retarget(handle: Handle, policy: ExitPolicy, version: int = 1) -> TargetsWritten:
    change = SetTargets(policy=policy, expected_version=version, reason="test", requested_by="test")
    return await handle.execute_update(PositionWorkflow.set_targets, change)


async def told(trading: Trading, position: Position, *kinds: str) -> list[SystemEvent]:
    return [e for e in await trading.events() if e.subject.startswith(position.position_id) and e.kind in kinds]


async def stops_of(trading: Trading, position: Position) -> list[Order]:
    return [order for order in await trading.orders(position.position_id) if order.role == OrderRole.STOP]


async def leave(handle: Handle) -> Any:
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="over", requested_by="test"))
    return await handle.result()


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
@pytest.mark.parametrize("category", [Category.LINEAR, Category.SPOT])
async def test_looser_targets_come_into_force_when_the_stop_at_the_exchange_has_made_room(
    trading: Trading, by_hand: BybitExchange, category: Category, lost: bool
) -> None:
    handle = await trading.open(category, "SOLUSDT", policy=stop("3"))
    opened = await trading.until_watched(handle)
    protected_from = datetime.now(UTC)
    if lost:
        endpoint = "position/trading-stop" if category is Category.LINEAR else "order/amend"
        await trading.fault(kind="answer_lost", endpoint=endpoint, count=1)
    written = await retarget(handle, stop("9"))
    assert written == TargetsWritten(version=2, acknowledged=True)
    wanted = await belongs_at(trading, opened, stop("9"))
    position = await until_at(trading, by_hand, handle, wanted)
    kinds = [event.kind for event in await told(trading, position, "stop_moved", "targets_set")]
    assert kinds == ["stop_moved", "targets_set"]
    if category is Category.SPOT:
        (order,) = await stops_of(trading, position)
        assert (order.trigger_price, order.state) == (wanted, OrderState.UNTRIGGERED), "the same order, amended"
    settled = await leave(handle)
    assert settled.exit_reason is ExitReason.MANUAL_CLOSE
    before = timedelta(0) if category is Category.LINEAR else protected_from - opened.created_wall
    assert settled.unprotected_seconds <= before.total_seconds(), "not for a moment while it moved"
    assert await told(trading, position, "stop_not_resting", "oversold") == []


@pytest.mark.parametrize("category", [Category.LINEAR, Category.SPOT])
async def test_after_tighter_targets_the_stop_at_the_exchange_follows(
    trading: Trading, by_hand: BybitExchange, category: Category
) -> None:
    handle = await trading.open(category, "ETHUSDT", policy=stop("8"))
    opened = await trading.until_watched(handle)
    assert (await retarget(handle, stop("3"))).acknowledged
    position = await until_at(trading, by_hand, handle, await belongs_at(trading, opened, stop("3")))
    kinds = [event.kind for event in await told(trading, position, "stop_moved", "targets_set")]
    assert kinds == ["targets_set", "stop_moved"]
    await leave(handle)


@pytest.mark.parametrize("category", [Category.LINEAR, Category.SPOT])
async def test_the_stop_at_the_exchange_follows_a_ratchet_once_and_stays_behind_the_guards(
    trading: Trading, by_hand: BybitExchange, category: Category
) -> None:
    trailing = stop("3", trailing_activation_pct="1", trailing_distance_pct="2")
    handle = await trading.open(category, "XRPUSDT", policy=trailing)
    opened = await trading.until_watched(handle)
    assert opened.entry_price is not None
    assert opened.disaster_stop is not None
    for percent in range(101, 113):
        price = (opened.entry_price * percent / 100).quantize(Decimal("0.0001"))
        await trading.push(category, "XRPUSDT", str(price))

    async def followed() -> Position | None:
        now = await trading.position(handle)
        assert now is not None
        entry, stop_now = opened.entry_price, now.disaster_stop
        return now if entry is not None and stop_now is not None and stop_now > entry else None

    position = await eventually(followed, "the stop above the entry")
    assert position is not None
    best = opened.entry_price * 112 / 100
    assert position.disaster_stop is not None
    assert position.disaster_stop < best * Decimal("0.98")
    await until_at(trading, by_hand, handle, position.disaster_stop)
    assert len(await told(trading, position, "stop_moved")) == 1, "twelve steps up, one move"
    await leave(handle)


async def test_a_linear_stop_that_somebody_took_off_is_set_again_and_paged(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.LINEAR, "BTCUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    assert opened.disaster_stop is not None
    await by_hand.set_stop_loss("BTCUSDT", Decimal(0))
    assert await at_exchange(by_hand, opened) == []
    await handle.signal(PositionWorkflow.check_stop)
    position = await until_at(trading, by_hand, handle, opened.disaster_stop)

    async def repaired() -> list[SystemEvent]:
        return await told(trading, position, "stop_restored")

    await eventually(repaired, "the repair on record")
    (missing,) = await told(trading, position, "stop_missing")
    assert missing.severity == "page"
    await by_hand.set_stop_loss("BTCUSDT", opened.disaster_stop - 1000)
    await handle.signal(PositionWorkflow.check_stop)
    await until_at(trading, by_hand, handle, opened.disaster_stop)
    settled = await leave(handle)
    assert settled.unprotected_seconds <= settled.unwatched_seconds, "counted from when it was last known to be there"


async def test_a_spot_stop_that_somebody_cancelled_is_placed_anew_where_it_belongs_now(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.SPOT, "BTCUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    await retarget(handle, stop("8"))
    wanted = await belongs_at(trading, opened, stop("8"))
    await until_at(trading, by_hand, handle, wanted)
    await by_hand.cancel_order(Category.SPOT, "BTCUSDT", f"{opened.position_id}-S1")
    await handle.signal(PositionWorkflow.check_stop)
    position = await until_at(trading, by_hand, handle, wanted)
    first, second = await stops_of(trading, position)
    assert (first.state, second.order_link_id) == (OrderState.DEACTIVATED, f"{opened.position_id}-S2")
    (page,) = await told(trading, position, "stop_not_resting")
    assert page.severity == "page"
    await leave(handle)


async def test_a_check_of_a_stop_that_is_where_it_belongs_changes_nothing(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.SPOT, "LINKUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    before = await at_exchange(by_hand, opened)
    await handle.signal(PositionWorkflow.check_stop)
    await leave(handle)
    assert len(before) == 1
    assert await told(trading, opened, "stop_moved", "stop_repaired", "stop_missing", "stop_not_resting") == []


async def sell_a_part(trading: Trading, by_hand: BybitExchange, opened: Position, qty: Decimal) -> None:
    """Another order of the position sells a part of it."""
    exit_id = order_link_id(opened.position_id, OrderRole.EXIT, 2)
    fields: dict[str, Any] = {"category": Category.SPOT, "symbol": opened.symbol, "side": Side.SELL, "qty": qty}
    async with trading.database.session() as session:
        await insert_intent(
            session,
            OrderState.SENT,
            order_link_id=exit_id,
            position_id=opened.position_id,
            role=OrderRole.EXIT,
            reduce_only=False,
            **fields,
        )
    await by_hand.place_order(OrderRequest(order_link_id=exit_id, **fields))


async def test_a_part_that_was_sold_leaves_a_stop_for_the_rest(trading: Trading, by_hand: BybitExchange) -> None:
    handle = await trading.open(Category.SPOT, "DOGEUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    (before,) = await at_exchange(by_hand, opened)
    await sell_a_part(trading, by_hand, opened, (opened.qty / 2).quantize(Decimal(1)))

    async def resized() -> bool:
        position = await trading.position(handle)
        assert position is not None
        (rests,) = await at_exchange(by_hand, position)
        (row,) = await stops_of(trading, position)
        return rests == (before[0], row.qty) and position.qty - row.qty < 1 and row.qty <= position.qty < opened.qty

    await eventually(resized, "a stop for what is left")
    settled = await leave(handle)
    assert settled.state is PositionState.CLOSED
    assert await told(trading, opened, "oversold") == []


async def test_a_rest_too_small_for_an_order_loses_its_stop_and_is_said_once(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.SPOT, "DOGEUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    await sell_a_part(trading, by_hand, opened, (opened.qty - 3).quantize(Decimal(1)))

    async def gone() -> bool:
        (row,) = await stops_of(trading, opened)
        return row.state == OrderState.DEACTIVATED and await at_exchange(by_hand, opened) == []

    await eventually(gone, "no stop for so little")
    assert len(await told(trading, opened, "stop_too_small")) == 1
    settled = await leave(handle)
    assert settled.state is PositionState.CLOSED
    assert await told(trading, opened, "stop_not_resting") == []


async def test_while_it_is_being_left_the_stop_sells_no_more_than_what_is_left(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.SPOT, "SOLUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    held_up = {"kind": "delay", "endpoint": "order/create", "delay_ms": 2500, "count": 1}
    await trading.fault(**held_up, match={"orderLinkId_suffix": "-X1"})
    leaving = asyncio.create_task(leave(handle))

    async def exiting() -> bool:
        position = await trading.position(handle)
        return position is not None and position.state == PositionState.EXITING

    await eventually(exiting, "the position to be left")
    await sell_a_part(trading, by_hand, opened, (opened.qty / 2).quantize(Decimal("0.01")))
    settled = await leaving
    assert settled.state is PositionState.CLOSED
    assert await told(trading, opened, "oversold") == []
    (moved,) = await told(trading, opened, "stop_moved")
    assert moved.detail["why"] == "a part was sold" or moved.detail["why"].endswith(" held"), "whichever saw it first"


async def test_an_exit_and_the_stop_that_both_fill_are_oversold_paged_and_on_the_books(
    trading: Trading, by_hand: BybitExchange
) -> None:
    bought = OrderRequest(
        category=Category.SPOT, symbol="LINKUSDT", side=Side.BUY, qty=Decimal(100), order_link_id="by-hand"
    )
    await by_hand.place_order(bought)
    handle = await trading.open(Category.SPOT, "LINKUSDT", policy=stop("5"))
    opened = await trading.until_watched(handle)
    assert opened.disaster_stop is not None
    await trading.fault(
        kind="delay", endpoint="order/create", delay_ms=2500, count=1, match={"orderLinkId_suffix": "-X1"}
    )
    leaving = asyncio.create_task(leave(handle))

    async def sent() -> bool:
        exits = [o for o in await trading.orders(opened.position_id) if o.role == OrderRole.EXIT]
        return exits[0].state == OrderState.SENT

    await eventually(sent, "the exit on its way")
    await trading.push(Category.SPOT, "LINKUSDT", str(opened.disaster_stop))
    settled = await leaving
    assert settled.state is PositionState.CLOSED
    (event,) = await told(trading, opened, "oversold")
    assert event.severity == "page"
    sold = [e for e in await trading.executions() if e.order_link_id.startswith(opened.position_id)]
    out = sum((e.qty for e in sold if e.side == "Sell"), Decimal(0))
    assert out - opened.qty == Decimal(event.detail["unmatched_qty"])
    assert (await trading.books())["check"]["ok"]


async def test_a_stop_that_beats_its_guards_exit_closes_its_own_position_and_not_the_next(
    trading: Trading, by_hand: BybitExchange
) -> None:
    handle = await trading.open(Category.LINEAR, "DOGEUSDT", policy=stop("5"))
    first = await trading.until_watched(handle)
    assert first.disaster_stop is not None
    held_up = {"kind": "delay", "endpoint": "order/create", "delay_ms": 2500, "count": 1}
    await trading.fault(**held_up, match={"orderLinkId_suffix": "-X1"})
    await trading.push(Category.LINEAR, "DOGEUSDT", str(first.disaster_stop))
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.DISASTER_STOP
    (exit_order,) = [o for o in await trading.orders(first.position_id) if o.role == OrderRole.EXIT]
    assert exit_order.state in (OrderState.REJECTED, OrderState.DENIED)
    assert await told(trading, first, "exit_refused") == []

    again = await trading.open(Category.LINEAR, "DOGEUSDT", policy=stop("5"))
    second = await trading.until_watched(again)
    assert second.qty == second.entry_qty, "nothing of the first one's stop is booked to it"
    await leave(again)
    async with trading.database.session() as session:
        booked = await session.execute(
            select(
                ExecutionApplication.position_id,
                func.sum(case((OrderExecution.side == Side.BUY, OrderExecution.qty), else_=-OrderExecution.qty)),
            )
            .join(OrderExecution, OrderExecution.exec_id == ExecutionApplication.exec_id)
            .where(ExecutionApplication.position_id.in_([first.position_id, second.position_id]))
            .group_by(ExecutionApplication.position_id)
        )
        sums = {row.position_id: row[1] for row in booked}
        assert sums == {first.position_id: 0, second.position_id: 0}
