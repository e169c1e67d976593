"""A position's life on real servers: enters, is protected, trails, exits, settles."""

from __future__ import annotations

from decimal import Decimal

from domain.exits import ExitPolicy, ExitReason
from domain.market import Category, PositionSide
from domain.position import PositionState
from tests.support.trading import Trading


async def test_a_spot_position_enters_rests_a_stop_and_leaves_at_its_take_profit(trading: Trading) -> None:
    handle = await trading.open(policy=ExitPolicy(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(1)))
    await trading.until_watched(handle)
    await trading.push(Category.SPOT, "BTCUSDT", "60100", "60300", "60900")
    settled = await handle.result()
    assert settled.state is PositionState.CLOSED
    assert settled.exit_reason is ExitReason.TAKE_PROFIT
    assert settled.realised_pnl > 0
