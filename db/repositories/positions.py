"""Positions: reservation, steps of their life, and versioned targets."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Position, PositionTarget
from db.repositories.book import limits_of, lock_reservations, read_holdings
from db.repositories.settings import current_settings
from db.repositories.strategies import find_config
from domain.gate_facts import GateCode, GateVerdict
from domain.gates import judge_reservation
from domain.position import ACTIVE_STATES, PositionState, advance

TARGETS_CHANNEL = "position_targets"
"""NOTIFY channel: the payload is the id of the position whose targets moved."""


class NoPlace(Exception):
    """Gates leave no room for the position. ``blocks`` are those that don't, in the order of the chain: the first is
    the reason."""

    def __init__(self, *blocks: GateVerdict) -> None:
        super().__init__(_told(blocks[0]))
        self.blocks = blocks
        self.reason = blocks[0]


class ReservedBefore(Exception):
    """This very position has its place already."""


class TargetsMoved(Exception):
    """The targets were changed since the version the caller saw."""

    def __init__(self, seen: int, current: int) -> None:
        super().__init__(f"targets are at version {current}, not {seen}: read them again")
        self.current = current


async def find_position(session: AsyncSession, position_id: str) -> Position | None:
    return await session.get(Position, position_id, populate_existing=True)


async def lock_position(session: AsyncSession, position_id: str) -> Position:
    """The position's row, locked to the end of the transaction. Raises LookupError."""
    row = await session.get(Position, position_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise LookupError(f"no position {position_id}")
    return row


async def reserve(session: AsyncSession, policy: dict[str, Any], trade_usd: Decimal, **fields: Any) -> Position:
    """Take the symbol's place for a new position of ``trade_usd`` and write its first targets.

    Raises NoPlace or ReservedBefore. Reservations are made one after the other, so that together they can't exceed a
    cap that each alone keeps, and the second sees who has the place. Behind that stand the partial unique indexes.
    """
    await lock_reservations(session)
    if await find_position(session, fields["position_id"]) is not None:
        raise ReservedBefore(fields["position_id"])  # by another attempt of the same request, which must not count
    await _require_place(session, trade_usd, fields)
    position = Position(state=PositionState.RESERVED, policy=policy, **fields)
    try:
        async with session.begin_nested():
            session.add(position)
            await session.flush()
    except IntegrityError as error:
        if "uq_positions_active" not in str(error.orig):
            raise
        await _require_place(session, trade_usd, fields)  # a late fill takes its place back and waits for nobody
        raise NoPlace(GateVerdict(gate=GateCode.POSITION_EXISTS, passed=False, detail="the place was taken")) from error
    session.add(
        PositionTarget(
            position_id=position.position_id,
            version=1,
            policy=policy,
            set_by=fields["requested_by"],
            reason=fields["reason"],
        )
    )
    return position


async def _require_place(session: AsyncSession, trade_usd: Decimal, fields: dict[str, Any]) -> None:
    """Raise NoPlace unless every gate leaves room, as seen with every reservation before this one."""
    limits = limits_of(await current_settings(session))
    config = await find_config(session, fields["strategy"])
    holdings = await read_holdings(session, fields["market_epoch"], fields["reserved_at"])
    book = holdings.book(fields["strategy"], fields["category"], fields["symbol"])
    verdicts = judge_reservation(book, limits, trade_usd, config, fields["reserved_at"])
    blocks = [verdict for verdict in verdicts if not verdict.passed]
    if blocks:
        raise NoPlace(*blocks)


def _told(block: GateVerdict) -> str:
    """A refusal in words."""
    if block.gate is GateCode.POSITION_EXISTS:
        return block.detail
    if block.gate is GateCode.TRADING_HALTED:
        return block.gate
    return f"{block.gate}: {block.value} of {block.threshold}" if block.threshold else block.gate


def step(position: Position, new: PositionState) -> None:
    """Move a locked position. Raises IllegalPositionStep."""
    position.state = advance(PositionState(position.state), new)


async def write_targets(
    session: AsyncSession, position_id: str, policy: dict[str, Any], expected_version: int, who: str, reason: str
) -> int:
    """Write version n+1 of the targets and notify the guard at commit. Raises TargetsMoved."""
    position = await lock_position(session, position_id)
    if position.target_version != expected_version:
        raise TargetsMoved(expected_version, position.target_version)
    position.target_version += 1
    session.add(
        PositionTarget(
            position_id=position_id, version=position.target_version, policy=policy, set_by=who, reason=reason
        )
    )
    await session.execute(select(func.pg_notify(TARGETS_CHANNEL, position_id)))
    return position.target_version


async def targets_of(session: AsyncSession, position_id: str, version: int) -> PositionTarget:
    """One version of a position's targets. Raises LookupError."""
    row = await session.get(PositionTarget, (position_id, version))
    if row is None:
        raise LookupError(f"position {position_id} has no targets version {version}")
    return row


async def raise_epoch(session: AsyncSession, position: Position) -> int:
    """Raise a locked position's guard epoch: whoever watched it before can't fire any more."""
    position.guard_epoch += 1
    return position.guard_epoch


async def active_positions(session: AsyncSession) -> Sequence[Position]:
    rows = await session.scalars(
        select(Position).where(Position.state.in_(ACTIVE_STATES)).order_by(Position.created_wall)
    )
    return rows.all()


async def late_filled_positions(session: AsyncSession) -> Sequence[Position]:
    """Positions that are over and hold something all the same: an entry that filled after it was given up."""
    over = Position.state.not_in(ACTIVE_STATES)
    return (await session.scalars(select(Position).where(over, Position.qty > 0).order_by(Position.created_wall))).all()


async def emptied_positions(session: AsyncSession) -> Sequence[str]:
    """Open positions whose lots are all used up: closed at the exchange by something that was not their workflow."""
    rows = await session.scalars(
        select(Position.position_id).where(
            Position.state == PositionState.OPEN, Position.entry_qty.is_not(None), Position.qty == 0
        )
    )
    return rows.all()
