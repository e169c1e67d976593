"""The exchange's trades played through the exit kernel once more: when should each position have been left?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from domain.exit_rows import GuardRows
from domain.exits import ExitPolicy, ExitReason, GuardState, retarget
from domain.market import PositionSide


@dataclass(frozen=True, slots=True)
class Retarget:
    """From when on (market time) another policy was in force."""

    after: datetime
    policy: ExitPolicy


@dataclass(frozen=True, slots=True)
class Held:
    """A position as its guard had to see it: from its opening to its end (market time)."""

    position_id: str
    side: PositionSide
    entry_price: Decimal
    opened_at: datetime
    until: datetime
    policy: ExitPolicy
    retargets: tuple[Retarget, ...] = ()


@dataclass(frozen=True, slots=True)
class Crossing:
    """The first trade at which a position was to be left."""

    at: datetime
    price: Decimal
    reason: ExitReason


@dataclass
class _Guard:
    held: Held
    index: int
    policy: ExitPolicy
    waiting: list[Retarget] = field(default_factory=list)


async def replay(
    positions: Sequence[Held], trades: AsyncIterator[tuple[datetime, Decimal]]
) -> dict[str, Crossing | None]:
    """Every position of one symbol against its trades (oldest first): the first crossing of each, None if there was
    none until it ended. A trade of the very instant of the opening was before it."""
    rows = GuardRows()
    guards: dict[int, _Guard] = {}
    found: dict[str, Crossing | None] = {held.position_id: None for held in positions}
    coming = sorted(positions, key=lambda held: held.opened_at, reverse=True)
    async for at, price in trades:
        while coming and coming[-1].opened_at < at:
            guard = _begin(rows, coming.pop())
            guards[guard.index] = guard
        _end_and_retarget(rows, guards, at)
        for fired in rows.step_all(price, at).fired:
            held = guards.pop(fired.index).held
            rows.remove(fired.index)
            found[held.position_id] = Crossing(at, price, fired.reason)
        if not coming and not guards:
            break
    return found


def _begin(rows: GuardRows, held: Held) -> _Guard:
    state = GuardState.opened(held.side, held.entry_price, held.opened_at, held.policy)
    return _Guard(held, rows.add(state, held.policy), held.policy, list(held.retargets))


def _end_and_retarget(rows: GuardRows, guards: dict[int, _Guard], at: datetime) -> None:
    for index, guard in list(guards.items()):
        if at > guard.held.until:
            rows.remove(index)
            del guards[index]
            continue
        while guard.waiting and guard.waiting[0].after < at:
            guard.policy = guard.waiting.pop(0).policy
            rows.replace(index, retarget(rows.state(index), guard.policy), guard.policy)
