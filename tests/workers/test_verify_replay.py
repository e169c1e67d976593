"""The replay of trades says what a guard that saw every one of them would have done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.exits import ExitPolicy, ExitReason, GuardState, retarget, step_state
from domain.market import PositionSide
from workers.verify.replay import Crossing, Held, Retarget, replay

BEGAN = datetime(2024, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PRICES = st.lists(st.decimals(90, 110, places=2), min_size=1, max_size=60)
POLICIES = st.sampled_from(
    [
        ExitPolicy.model_validate({"stop_loss_pct": "4"}),
        ExitPolicy.model_validate({"stop_loss_pct": "8", "take_profit_pct": "5"}),
        ExitPolicy.model_validate(
            {"stop_loss_pct": "6", "trailing_activation_pct": "1", "trailing_distance_pct": "1", "max_hold_seconds": 30}
        ),
    ]
)
SIDES = st.sampled_from(PositionSide)

Trades = Sequence[tuple[datetime, Decimal]]


async def told(trades: Trades) -> AsyncIterator[tuple[datetime, Decimal]]:
    for trade in trades:
        yield trade


def replayed(positions: Sequence[Held], trades: Trades) -> dict[str, Crossing | None]:
    return asyncio.run(replay(positions, told(trades)))


def every_second(prices: Sequence[Decimal]) -> Trades:
    return [(BEGAN + SECOND * number, price) for number, price in enumerate(prices)]


def held(policy: ExitPolicy, side: PositionSide = PositionSide.LONG, opened: int = 0, **fields) -> Held:
    given = {"position_id": "p", "until": BEGAN + timedelta(hours=1), **fields}
    return Held(side=side, entry_price=Decimal(100), opened_at=BEGAN + SECOND * opened, policy=policy, **given)


def watched(one: Held, trades: Trades) -> Crossing | None:
    """The same by one guard alone, trade after trade."""
    state, policy = GuardState.opened(one.side, one.entry_price, one.opened_at, one.policy), one.policy
    waiting = list(one.retargets)
    for at, price in trades:
        if not one.opened_at < at <= one.until:
            continue
        while waiting and waiting[0].after < at:
            policy = waiting.pop(0).policy
            state = retarget(state, policy)
        state, reason = step_state(state, policy, price, at)
        if reason is not None:
            return Crossing(at, price, reason)
    return None


@settings(deadline=None)  # the first example compiles the kernel
@given(PRICES, POLICIES, POLICIES, SIDES, st.integers(0, 30), st.integers(0, 60))
def test_many_positions_at_once_are_judged_as_each_alone(
    prices: list[Decimal], policy: ExitPolicy, other: ExitPolicy, side: PositionSide, opened: int, changed: int
) -> None:
    trades = every_second(prices)
    positions = [
        held(policy, side, position_id="first"),
        held(policy, side, opened, position_id="later"),
        held(policy, side, position_id="ended", until=BEGAN + SECOND * opened),
        held(policy, side, position_id="changed", retargets=(Retarget(BEGAN + SECOND * changed, other),)),
    ]
    assert replayed(positions, trades) == {one.position_id: watched(one, trades) for one in positions}


def test_the_first_trade_through_the_stop_is_named() -> None:
    trades = every_second([Decimal(price) for price in (100, 97, 95, 99, 90)])
    crossing = replayed([held(ExitPolicy(stop_loss_pct=Decimal(4)))], trades)["p"]
    assert crossing == Crossing(BEGAN + 2 * SECOND, Decimal(95), ExitReason.STOP_LOSS)


def test_a_trade_of_the_instant_of_the_opening_was_before_it() -> None:
    trades = every_second([Decimal(90), Decimal(100)])
    assert replayed([held(ExitPolicy(stop_loss_pct=Decimal(4)))], trades) == {"p": None}
