"""What lists and pages read of decisions: strategies with their figures, signals and what became of them, scans.

Queries only, each list in a fixed number of statements. Times are market time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import case, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.cursors import decode_cursor
from db.models import BlockedSignal, LotMatchRow, Position, Scan, Signal
from domain.position import ACTIVE_STATES

BLOCKED: Final = "blocked"
ACCEPTED: Final = "accepted"
RESERVATION: Final = "reservation"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """What a strategy has open, how often it signalled in the last day, and what it earned (quote coin, after fees)."""

    open_positions: int = 0
    signals_24h: int = 0
    realised_pnl: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """A signal and what became of it: ``outcome`` is blocked (``blocked_by`` names the gate), accepted, or the state of
    its position; ``has_position`` whether there is one."""

    row: Signal
    outcome: str
    blocked_by: str | None
    has_position: bool


async def strategy_figures(session: AsyncSession) -> dict[str, StrategyFigures]:
    """The figures of every strategy that has any. The last day ends with the newest scan's candle close."""
    held = select(Position.strategy, func.count()).where(Position.state.in_(ACTIVE_STATES)).group_by(Position.strategy)
    earned = (
        select(Position.strategy, func.sum(LotMatchRow.net))
        .join(LotMatchRow, LotMatchRow.position_id == Position.position_id)
        .group_by(Position.strategy)
    )
    open_positions = await _by_strategy(session, held)
    signals = await _signals_of_the_last_day(session)
    pnl = await _by_strategy(session, earned)
    return {
        name: StrategyFigures(open_positions.get(name, 0), signals.get(name, 0), pnl.get(name, Decimal(0)))
        for name in open_positions.keys() | signals.keys() | pnl.keys()
    }


async def _signals_of_the_last_day(session: AsyncSession) -> dict[str, int]:
    newest = await session.scalar(select(Scan).order_by(Scan.started_wall.desc()).limit(1))
    if newest is None:
        return {}
    counted = (
        select(Signal.strategy, func.count())
        .where(Signal.epoch == newest.epoch, Signal.close_at > newest.close_at - _DAY)
        .group_by(Signal.strategy)
    )
    return await _by_strategy(session, counted)


async def _by_strategy(session: AsyncSession, query: Any) -> dict[str, Any]:
    found: Any = await session.execute(query)
    return dict(found.all())


async def list_signals(
    session: AsyncSession,
    *,
    symbol: str | None,
    strategy: str | None,
    outcome: str | None,
    since: datetime | None,
    cursor: str | None,
    limit: int,
) -> list[SignalFacts]:
    """Signals, newest close first; ``since`` is the earliest close."""
    query = _with_outcome().order_by(Signal.close_at.desc(), Signal.signal_id.desc()).limit(limit)
    query = _about(query, symbol, strategy, since)
    if outcome is not None:
        query = query.where(_outcome() == outcome)
    if cursor is not None:
        query = query.where(tuple_(Signal.close_at, Signal.signal_id) < tuple_(*decode_cursor(cursor)))
    return [SignalFacts(*row) for row in await session.execute(query)]


async def find_signal(session: AsyncSession, signal_id: str) -> SignalFacts | None:
    row = (await session.execute(_with_outcome().where(Signal.signal_id == signal_id))).one_or_none()
    return SignalFacts(*row) if row is not None else None


def _denied_by() -> Any:
    """The gate that stopped a signal in the reservation, after the scan had accepted it."""
    return (
        select(BlockedSignal.gate)
        .where(BlockedSignal.signal_id == Signal.signal_id, BlockedSignal.stage == RESERVATION)
        .order_by(BlockedSignal.place, BlockedSignal.id)
        .limit(1)
        .correlate(Signal)
        .scalar_subquery()
    )


def _outcome() -> Any:
    gate = func.coalesce(Signal.blocked_by, _denied_by())
    return case((gate.is_not(None), literal(BLOCKED)), else_=func.coalesce(Position.state, literal(ACCEPTED)))


def _with_outcome() -> Any:
    gate = func.coalesce(Signal.blocked_by, _denied_by())
    return select(Signal, _outcome(), gate, Position.position_id.is_not(None)).outerjoin(
        Position, Position.position_id == Signal.signal_id
    )


def _about(query: Any, symbol: str | None, strategy: str | None, since: datetime | None) -> Any:
    if symbol is not None:
        query = query.where(Signal.symbol == symbol)
    if strategy is not None:
        query = query.where(Signal.strategy == strategy)
    if since is not None:
        query = query.where(Signal.close_at >= since)
    return query


async def list_blocks(
    session: AsyncSession,
    *,
    symbol: str | None,
    strategy: str | None,
    gate: str | None,
    since: datetime | None,
    every: bool,
    before: int | None,
    limit: int,
) -> list[tuple[BlockedSignal, Signal]]:
    """Blocks with their signals, newest first: the gates that count as the reason, or ``every`` gate that blocked."""
    query = (
        select(BlockedSignal, Signal)
        .join(Signal, Signal.signal_id == BlockedSignal.signal_id)
        .order_by(BlockedSignal.id.desc())
        .limit(limit)
    )
    query = _about(query, symbol, strategy, since)
    if not every:
        query = query.where(BlockedSignal.place == 0)
    if gate is not None:
        query = query.where(BlockedSignal.gate == gate)
    if before is not None:
        query = query.where(BlockedSignal.id < before)
    found: Any = await session.execute(query)
    return [(block, signal) for block, signal in found]


async def list_scans(session: AsyncSession, *, cursor: str | None, limit: int) -> Sequence[Scan]:
    """Scans, newest close first."""
    query = select(Scan).order_by(Scan.close_at.desc(), Scan.epoch.desc()).limit(limit)
    if cursor is not None:
        query = query.where(tuple_(Scan.close_at, Scan.epoch) < tuple_(*decode_cursor(cursor)))
    return (await session.scalars(query)).all()
