"""Which version of the configuration and of the settings an exit names: by who decided it, on a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from temporalio.testing import ActivityEnvironment

from activities.leaving import ExitActivities, ExitRequest
from db.models import Position
from db.repositories.audit import record_event
from db.repositories.order_versions import EXIT_SIGNAL, REGIME_LEFT
from db.repositories.orders import fire_exit
from db.repositories.settings import change_setting, settings_version
from domain.exits import ExitPolicy, ExitReason
from domain.ids import OrderRole, order_link_id
from tests.activities.conftest import Desk
from tests.activities.held import list_symbols

POLICY = ExitPolicy.model_validate({"stop_loss_pct": "2"})


async def held_by_configuration(desk: Desk, config_version: int = 3) -> str:
    """A position that version 3 of a configuration decided, under the settings as they are now."""
    await list_symbols(desk.database, "BTCUSDT")
    position_id = await desk.hold(POLICY)
    async with desk.database.session() as session:
        versions = {"config_version": config_version, "settings_version": await settings_version(session)}
        await session.execute(update(Position).where(Position.position_id == position_id).values(**versions))
    return position_id


async def settings_moved(desk: Desk) -> tuple[int, int]:
    """Their version before and after a change of one of them."""
    async with desk.database.session(actor="test", reason="test") as session:
        before = await settings_version(session)
        await change_setting(session, "max_open_positions", 7, 1)
        return before, await settings_version(session)


async def leave(desk: Desk, position_id: str, why: ExitReason) -> tuple[int | None, int | None]:
    """The versions of the exit that the position plans for this reason."""
    request = ExitRequest(position_id=position_id, takeover=why)
    await ActivityEnvironment().run(ExitActivities(desk.database, desk.gateway).plan_exit, request)
    return await versions(desk, position_id)


async def versions(desk: Desk, position_id: str) -> tuple[int | None, int | None]:
    order = await desk.exit_order(position_id)
    return order.config_version, order.settings_version


async def fire(desk: Desk, position_id: str, target_version: int) -> None:
    async with desk.database.session() as session:
        assert await fire_exit(
            session,
            order_link_id(position_id, OrderRole.EXIT),
            guard_epoch=0,
            target_version=target_version,
            exit_reason=ExitReason.STOP_LOSS,
        )


async def test_an_exit_by_a_positions_own_targets_names_what_the_position_names(quiet_desk: Desk) -> None:
    position_id = await held_by_configuration(quiet_desk)
    before, after = await settings_moved(quiet_desk)
    assert after > before
    await fire(quiet_desk, position_id, 1)
    assert await versions(quiet_desk, position_id) == (3, before)


async def test_an_exit_by_targets_set_by_hand_names_the_settings_of_that_time_and_no_configuration(
    quiet_desk: Desk,
) -> None:
    position_id = await held_by_configuration(quiet_desk)
    await quiet_desk.set_targets(position_id, 1, POLICY)
    before, _ = await settings_moved(quiet_desk)
    await fire(quiet_desk, position_id, 2)
    assert await versions(quiet_desk, position_id) == (None, before)


@pytest.mark.parametrize(
    ("why", "kind"), [(ExitReason.STRATEGY_EXIT, EXIT_SIGNAL), (ExitReason.REGIME_EXIT, REGIME_LEFT)]
)
async def test_an_exit_by_a_signal_names_the_configuration_that_was_in_force_at_the_close(
    quiet_desk: Desk, why: ExitReason, kind: str
) -> None:
    position_id = await held_by_configuration(quiet_desk)
    async with quiet_desk.database.session() as session:
        for version in (4, 5):
            told = {"config_version": version, "settings_version": 100 + version}
            record_event(session, kind, position_id, who="scan", detail=told)
            await session.flush()
    assert await leave(quiet_desk, position_id, why) == (5, 105)


@pytest.mark.parametrize("why", [ExitReason.MANUAL_CLOSE, ExitReason.FLATTEN])
async def test_an_exit_by_hand_names_the_settings_alone(quiet_desk: Desk, why: ExitReason) -> None:
    position_id = await held_by_configuration(quiet_desk)
    _, now = await settings_moved(quiet_desk)
    assert await leave(quiet_desk, position_id, why) == (None, now)


async def test_what_the_exchanges_own_stop_left_is_sold_by_the_positions_versions(quiet_desk: Desk) -> None:
    position_id = await held_by_configuration(quiet_desk)
    before, _ = await settings_moved(quiet_desk)
    assert await leave(quiet_desk, position_id, ExitReason.DISASTER_STOP) == (3, before)


async def test_a_takeover_after_a_guard_fired_leaves_the_order_with_the_guards_versions(quiet_desk: Desk) -> None:
    position_id = await held_by_configuration(quiet_desk)
    before, _ = await settings_moved(quiet_desk)
    await fire(quiet_desk, position_id, 1)
    assert await leave(quiet_desk, position_id, ExitReason.MANUAL_CLOSE) == (3, before)
