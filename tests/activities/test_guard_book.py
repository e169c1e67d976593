"""Guards between the market and the database: whose targets count when, and what a lease says."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, update

from activities.guard import GuardCursor
from db.models import GuardLease
from db.repositories.guards import BEAT_TOLERANCE_SECONDS, Alive, beat
from domain.exits import ExitPolicy, ExitReason, GuardState
from domain.market import PositionSide
from domain.order import OrderState
from tests.activities.conftest import Desk
from tests.support.waiting import eventually


def stop(percent: int, **more: int) -> ExitPolicy:
    return ExitPolicy.model_validate({"stop_loss_pct": percent, **more})


async def entered(desk: Desk, position_id: str, policy: ExitPolicy) -> GuardCursor:
    """The last heartbeat of a guard that saw nothing but the entry."""
    position = await desk.position(position_id)
    assert position.entry_price is not None
    assert position.opened_at is not None
    state = GuardState.opened(PositionSide(position.side), position.entry_price, position.opened_at, policy)
    return GuardCursor(state=state, target_version=1)


# targets


async def test_targets_set_while_a_guard_catches_up_are_in_force_once_it_has(desk: Desk) -> None:
    position_id = await desk.hold(stop(5))
    desk.paper.add_fault(kind="http_5xx", endpoint="market/recent-trade", count=None)
    guard = desk.guard(position_id)
    await desk.until(lambda: position_id in desk.book.watches, "guard in the book")
    await desk.set_targets(position_id, 1, stop(1))
    await desk.until(lambda: desk.book.watches[position_id].newest.version == 2, "new targets known")
    assert (await desk.position(position_id)).acknowledged_version == 0, "not in force yet, so not acknowledged"

    desk.paper.clear_faults()
    await desk.until_acknowledged(position_id, 2)
    await desk.push("BTCUSDT", "59000")
    assert (await guard).reason is ExitReason.STOP_LOSS
    assert (await desk.exit_order(position_id)).fired_target_version == 2


async def test_a_price_of_the_gap_is_not_judged_by_a_stop_that_was_set_later(desk: Desk) -> None:
    position_id = await desk.hold(stop(5))
    cursor = await entered(desk, position_id, stop(5))
    await desk.push("BTCUSDT", "58800", "60300")
    await desk.set_targets(position_id, 1, stop(1))
    guard = desk.guard(position_id, cursor)
    await desk.until_acknowledged(position_id, 2)
    assert not guard.done()
    await desk.push("BTCUSDT", "59000")
    assert (await guard).outcome == "fired"


async def test_a_stop_crossed_in_the_gap_is_an_exit_though_it_was_loosened_since(desk: Desk) -> None:
    position_id = await desk.hold(stop(1))
    cursor = await entered(desk, position_id, stop(1))
    await desk.push("BTCUSDT", "58800", "60300")
    await desk.set_targets(position_id, 1, stop(8))
    assert (await desk.guard(position_id, cursor)).reason is ExitReason.STOP_LOSS
    order = await desk.exit_order(position_id)
    assert order.fired_target_version == 2, "the fence asks for the targets in force"


async def test_a_guard_fenced_off_by_newer_targets_goes_on_under_them(quiet_desk: Desk) -> None:
    desk = quiet_desk
    position_id = await desk.hold(stop(1))
    guard = desk.guard(position_id)
    await desk.until_acknowledged(position_id, 1)
    await desk.set_targets(position_id, 1, stop(8))  # nobody tells the guard
    await desk.push("BTCUSDT", "58800")
    await desk.until_acknowledged(position_id, 2)
    assert not guard.done()
    assert (await desk.exit_order(position_id)).state == OrderState.PREPARED
    await desk.push("BTCUSDT", "54000")
    assert (await guard).outcome == "fired"
    assert (await desk.exit_order(position_id)).fired_target_version == 2


async def test_targets_no_guard_can_take_stop_neither_their_guard_nor_the_others(desk: Desk) -> None:
    short = await desk.hold(stop(5), "ETHUSDT", PositionSide.SHORT, "3000")
    other = await desk.hold(stop(5))
    guard, other_guard = desk.guard(short), desk.guard(other)
    await desk.until_acknowledged(short, 1)
    await desk.until_acknowledged(other, 1)
    await desk.set_targets(short, 1, stop(5, take_profit_pct=150))
    await desk.set_targets(other, 1, stop(1))
    await desk.until_acknowledged(other, 2)
    await desk.until(lambda: desk.book.watches[short].newest.version == 2, "the impossible targets known")

    await desk.push("ETHUSDT", "3200")
    assert (await guard).reason is ExitReason.STOP_LOSS, "by the stop it had"
    await desk.push("BTCUSDT", "59000")
    assert (await other_guard).outcome == "fired"


# firing


async def test_an_exit_waits_for_a_database_that_refuses_and_then_goes_out(quiet_desk: Desk) -> None:
    position_id = await quiet_desk.hold(stop(1))
    guard = quiet_desk.guard(position_id)
    await quiet_desk.until_acknowledged(position_id, 1)
    await quiet_desk.sql("ALTER TABLE order_transitions RENAME TO hidden")
    await quiet_desk.push("BTCUSDT", "59000")
    await quiet_desk.until(lambda: quiet_desk.book.watches[position_id].firing, "crossed")
    await quiet_desk.sql("ALTER TABLE hidden RENAME TO order_transitions")
    assert (await guard).outcome == "fired"


async def test_a_maximum_hold_ends_on_a_symbol_that_nobody_trades(desk: Desk) -> None:
    position_id = await desk.hold(stop(5, max_hold_seconds=1))
    assert (await desk.guard(position_id)).reason is ExitReason.MAX_HOLD


# leases


async def test_a_guard_that_fires_before_its_first_beat_watched_from_its_joining_to_its_firing(
    quiet_desk: Desk,
) -> None:
    position_id = await quiet_desk.hold(stop(1))
    guard = quiet_desk.guard(position_id)
    await quiet_desk.until_acknowledged(position_id, 1)
    await quiet_desk.push("BTCUSDT", "59000")
    assert (await guard).outcome == "fired"
    (lease,) = await quiet_desk.leases(position_id)
    order = await quiet_desk.exit_order(position_id)
    assert order.sent_at is not None
    assert lease.watching_from < order.sent_at <= lease.last_seen_at


async def test_a_broken_price_stream_ends_a_lease_and_the_next_begins_when_the_gap_is_walked(desk: Desk) -> None:
    position_id = await desk.hold(stop(5))
    desk.guard(position_id)

    async def stretches(number: int) -> bool:
        return len(await desk.leases(position_id)) == number

    await eventually(lambda: stretches(1), "the first beat")
    desk.paper.add_fault(kind="http_5xx", endpoint="market/recent-trade", count=1)
    desk.paper.add_fault(kind="socket_cut", sockets="public")
    await eventually(lambda: stretches(2), "a second stretch")
    before, after = await desk.leases(position_id)
    assert (before.guard_epoch, before.segment, after.segment) == (1, 1, 2)
    assert after.watching_from - before.last_seen_at > timedelta(seconds=1), "the walk was held up for a second"


async def test_a_beat_later_than_tolerated_begins_a_new_stretch_then_and_not_before(quiet_desk: Desk) -> None:
    position_id = await quiet_desk.hold(stop(5))

    async def say(watched: float | None) -> None:
        async with quiet_desk.database.session() as session:
            (row,) = await beat(session, [Alive(position_id, 0, watched)], "worker")
            assert (row.target_version, row.acknowledged_version) == (1, 0)

    await say(None)
    assert await quiet_desk.leases(position_id) == [], "without prices nobody watches"
    await say(0.7)
    (lease,) = await quiet_desk.leases(position_id)
    assert lease.last_seen_at - lease.watching_from == timedelta(seconds=0.7)
    await say(1.0)
    assert len(await quiet_desk.leases(position_id)) == 1

    late = timedelta(seconds=BEAT_TOLERANCE_SECONDS + 1)
    async with quiet_desk.database.session() as session:
        await session.execute(update(GuardLease).values(last_seen_at=func.clock_timestamp() - late))
    await say(20.0)
    await say(21.0)
    first, second = await quiet_desk.leases(position_id)
    assert second.watching_from - first.last_seen_at >= late
    assert second.last_seen_at > second.watching_from


async def test_a_guard_that_was_taken_over_is_told_so_by_its_missing_row(quiet_desk: Desk) -> None:
    position_id = await quiet_desk.hold(stop(5))
    async with quiet_desk.database.session() as session:
        assert await beat(session, [Alive(position_id, 7, 1.0)], "worker") == []
    assert await quiet_desk.leases(position_id) == []
