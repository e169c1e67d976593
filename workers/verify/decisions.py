"""Scans and snapshots of a market: each candle close scanned once and in order, each hour's equity explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import PortfolioHourlySnapshot, Scan, Signal, StrategyConfigurationHistory
from domain.candle import Timeframe
from workers.verify.verdict import Figures, Finding, Kind

_DONE = "done"


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
