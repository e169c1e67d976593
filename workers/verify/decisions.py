"""Scans and snapshots of a market: each candle close scanned once and in order, each hour's equity explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import MarketClockCursor, PortfolioHourlySnapshot, Scan, Signal, StrategyConfigurationHistory
from db.repositories.strategies import current_configs
from domain.candle import Timeframe
from domain.clock import MarketClock
from domain.history import REGIME_STEP
from domain.strategy_config import StrategyConfig
from workers.verify.verdict import Figures, Finding, Kind

_DONE = "done"
_DUE_WITHIN = timedelta(minutes=3)
"""Wall time: fetching history before the first scan of a market takes most of it."""


async def measure_decisions(session: AsyncSession, epoch: str, figures: Figures) -> None:
    """Fill in what was scanned, decided and snapshotted in this market."""
    snapshot = PortfolioHourlySnapshot
    figures.scans = await session.scalar(select(func.count()).where(Scan.epoch == epoch)) or 0
    figures.decisions = await session.scalar(select(func.count()).where(Signal.epoch == epoch)) or 0
    figures.snapshots = await session.scalar(select(func.count()).where(snapshot.epoch == epoch)) or 0
    worst = await session.scalar(select(func.max(func.abs(snapshot.unexplained))).where(snapshot.epoch == epoch))
    figures.snapshot_unexplained_max = format(worst.normalize(), "f") if worst else "0"


async def judge_scans(session: AsyncSession, epoch: str) -> list[Finding]:
    """Closes between the first and the last scan of the market that were left out, left undone or taken out of turn.

    Between two scans nothing but the shorter timeframe of the first was due, unless a strategy's configuration changed
    in between: then nobody can tell any more what was.
    """
    scans = (await session.scalars(select(Scan).where(Scan.epoch == epoch).order_by(Scan.close_at))).all()
    changed = (await session.scalars(select(StrategyConfigurationHistory.valid_from))).all()
    return [*_left_out(scans, changed), *_undone(scans), *_out_of_turn(scans)]


async def judge_cursor(session: AsyncSession, clock: MarketClock) -> list[Finding]:
    """A close or an hour that has been due for minutes: a market clock that runs and does nothing."""
    cursor = await session.get(MarketClockCursor, clock.epoch)
    if cursor is None or clock.speed <= 0:
        return []
    overdue = clock.now - _DUE_WITHIN * clock.speed
    found = []
    in_use = {config.timeframe for config in await current_configs(session) if _in_use(config)}
    closes = [timeframe.floor(cursor.scanned_until) + timeframe.duration for timeframe in in_use | {REGIME_STEP}]
    if min(closes) < overdue:
        close = min(closes).isoformat()
        found.append(Finding(Kind.SCANS_MISSING, close, f"the close of {close} is due for minutes and not scanned"))
    hour = cursor.snapshot_until + Timeframe.H1.duration
    if hour < overdue:
        told = f"the hour {hour.isoformat()} is due for minutes and has no snapshot"
        found.append(Finding(Kind.SNAPSHOTS_MISSING, hour.isoformat(), told))
    return found


def _in_use(config: StrategyConfig) -> bool:
    return config.watchlist_gate or config.buy_gate or config.sell_gate


async def judge_snapshots(session: AsyncSession, epoch: str) -> list[Finding]:
    """Hours left out between the first snapshot of the market and the last."""
    taken = select(PortfolioHourlySnapshot.hour).where(PortfolioHourlySnapshot.epoch == epoch)
    hours = (await session.scalars(taken.order_by(PortfolioHourlySnapshot.hour))).all()
    found = []
    for hour, following in pairwise(hours):
        if following - hour != Timeframe.H1.duration:
            told = f"no snapshot between {hour.isoformat()} and {following.isoformat()}"
            found.append(Finding(Kind.SNAPSHOTS_MISSING, hour.isoformat(), told))
    return found


def _left_out(scans: Sequence[Scan], changed: Sequence[datetime]) -> Iterator[Finding]:
    for scan, following in pairwise(scans):
        step = min((Timeframe(name) for name in scan.timeframes), key=lambda each: each.duration, default=None)
        if step is None or any(scan.started_wall <= at <= following.started_wall for at in changed):
            continue
        due = scan.close_at + step.duration
        while due < following.close_at:
            sentence = f"the close of {due.isoformat()} was not scanned, though those before and after it were"
            yield Finding(Kind.SCANS_MISSING, due.isoformat(), sentence)
            due += step.duration


def _undone(scans: Sequence[Scan]) -> Iterator[Finding]:
    for scan in scans[:-1]:  # the last may be under way
        if scan.state != _DONE:
            close = scan.close_at.isoformat()
            yield Finding(Kind.SCANS_MISSING, close, f"the scan of {close} is {scan.state}, though a later one began")


def _out_of_turn(scans: Sequence[Scan]) -> Iterator[Finding]:
    for scan, following in pairwise(scans):
        if following.started_wall < scan.started_wall:
            close = following.close_at.isoformat()
            yield Finding(Kind.SCANS_MISSING, close, f"the close of {close} was scanned before an earlier one")
