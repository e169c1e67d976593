"""Stops: every position left when it was to be left, by the exchange's own trades.

The trades since a position's opening go through the exit kernel with the targets that were in force. A guard may be
late by its own reaction, and by as long as nobody watched (a killed worker); beyond that the stop was missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import LotMatchRow, Order, Position, PositionEvaluation, PositionTarget
from db.repositories.guards import leases_of
from domain.clock import MarketClock
from domain.exits import ExitPolicy
from domain.ids import OrderRole
from domain.market import PositionSide
from domain.order import FINAL_STATES, OrderState
from domain.protection import Interval, uncovered_seconds
from workers.verify.books import PaperBooks
from workers.verify.replay import Crossing, Held, Retarget, replay
from workers.verify.verdict import Figures, Finding, Kind

REACTION_SECONDS = 30.0
"""How late (wall) an exit may be beyond the time that nobody watched."""

_ONE_STEP = timedelta(minutes=15)
_EXIT_UNDER_WAY = timedelta(seconds=60)
"""How long an exit that was sent may take until it is final; one that never is excuses nothing."""
"""In step mode all trades of a step happen at once: an exit at its end is not late."""


class StopJudge:
    """One verdict's memory: trades are played once, and what they say is held against the rows at every look."""

    def __init__(self, books: PaperBooks) -> None:
        self._books = books
        self._crossings: dict[str, Crossing] | None = None
        self._replayed = 0

    async def judge(self, session: AsyncSession, clock: MarketClock, figures: Figures) -> list[Finding]:
        """``clock`` is a reading after ``session`` began. Fills in how late the latest exit was."""
        if self._crossings is None:
            self._crossings = await self._play(session, clock)
        figures.stops_replayed = self._replayed
        findings = []
        for position_id, crossing in self._crossings.items():
            position = await session.get(Position, position_id)
            assert position is not None
            late, still_open = await _late(session, position, crossing, clock)
            if not still_open:
                figures.stop_delay_seconds_max = max(figures.stop_delay_seconds_max, round(late, 3))
            allowed = REACTION_SECONDS + (0.0 if still_open else await _unwatched(session, position))
            if late > allowed:
                findings.append(_missed(position, crossing, late, still_open))
        return findings

    async def _play(self, session: AsyncSession, clock: MarketClock) -> dict[str, Crossing]:
        symbols: dict[tuple[str, str], list[Held]] = defaultdict(list)
        opened = select(Position).where(Position.opened_at.is_not(None), Position.market_epoch == clock.epoch)
        for position in await session.scalars(opened):
            symbols[(position.category, position.symbol)].append(await _held(session, position, clock.now))
        crossings: dict[str, Crossing] = {}
        for (category, symbol), positions in symbols.items():
            self._replayed += len(positions)
            begin, end = min(held.opened_at for held in positions), max(held.until for held in positions)
            found = await replay(positions, self._books.trades(category, symbol, begin, end))
            crossings |= {position_id: crossing for position_id, crossing in found.items() if crossing is not None}
        return crossings


async def _held(session: AsyncSession, position: Position, now: datetime) -> Held:
    assert position.opened_at is not None
    assert position.entry_price is not None
    targets = await session.scalars(
        select(PositionTarget)
        .where(PositionTarget.position_id == position.position_id)
        .order_by(PositionTarget.version)
    )
    first, *newer = targets.all()
    in_force = await _in_force(session, position.position_id)
    return Held(
        position_id=position.position_id,
        side=PositionSide(position.side),
        entry_price=position.entry_price,
        opened_at=position.opened_at,
        until=position.closed_at or now,
        policy=ExitPolicy.model_validate(first.policy),
        retargets=_retargets(newer, in_force),
    )


def _retargets(newer: Sequence[PositionTarget], in_force: dict[int, datetime]) -> tuple[Retarget, ...]:
    """Versions a guard worked by, from where it said so; one it never took was never in force."""
    return tuple(
        Retarget(in_force[row.version], ExitPolicy.model_validate(row.policy))
        for row in newer
        if row.version in in_force
    )


async def _in_force(session: AsyncSession, position_id: str) -> dict[int, datetime]:
    rows = await session.execute(
        select(PositionEvaluation.target_version, func.min(PositionEvaluation.market_at))
        .where(PositionEvaluation.position_id == position_id)
        .group_by(PositionEvaluation.target_version)
    )
    return {row[0]: row[1] for row in rows}


async def _late(
    session: AsyncSession, position: Position, crossing: Crossing, clock: MarketClock
) -> tuple[float, bool]:
    """Wall seconds from the crossing to the first closing fill, or up to now while nothing has been sent (True)."""
    left_at = await session.scalar(
        select(func.min(LotMatchRow.matched_at)).where(LotMatchRow.position_id == position.position_id)
    )
    if left_at is not None:
        return _wall_seconds(left_at - crossing.at, clock), False
    sent = await session.scalar(
        select(func.count())
        .where(Order.position_id == position.position_id, Order.role == OrderRole.EXIT)
        .where(Order.state.not_in([OrderState.PREPARED, *FINAL_STATES]))
        .where(Order.created_at > func.now() - _EXIT_UNDER_WAY)
    )
    if sent:
        return 0.0, False
    return _wall_seconds(clock.now - crossing.at, clock), True


def _wall_seconds(market: timedelta, clock: MarketClock) -> float:
    if clock.speed <= 0:
        return 0.0 if market <= _ONE_STEP else market.total_seconds()
    return max(market.total_seconds() / clock.speed, 0.0)


async def _unwatched(session: AsyncSession, position: Position) -> float:
    if position.unwatched_seconds is not None or position.opened_wall is None:
        return position.unwatched_seconds or 0.0
    leases = [Interval(row.watching_from, row.last_seen_at) for row in await leases_of(session, position.position_id)]
    return uncovered_seconds(Interval(position.opened_wall, datetime.now(UTC)), leases)


def _missed(position: Position, crossing: Crossing, late: float, still_open: bool) -> Finding:
    what = "is still open with no exit sent" if still_open else "was left"
    sentence = (
        f"position {position.position_id} ({position.symbol}) crossed its {crossing.reason} at {crossing.price} "
        f"({crossing.at.isoformat()}) and {what} {late:.0f} s later"
    )
    return Finding(Kind.STOPS_MISSED, position.position_id, sentence)
