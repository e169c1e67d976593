"""Decisions asked again, a sample of them or all: the same inputs must lead to the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import StrategyScan
from db.replaying import NotReplayable, decision_name, load_scan
from domain.digests import Part
from domain.replay_views import ReplayView
from domain.strategies import STRATEGIES
from domain.strategies.contract import StrategyParameters
from workers.verify.verdict import Figures, Finding, Kind

SAMPLE: Final = 5
"""Decisions with candidates, and as many without."""
_BY_INPUTS = ("entry", "exit", "score", "evidence.", "microstructure.", "missing_candles", "evaluation")
"""What follows from a strategy's inputs; everything else of a decision follows from its own row."""


class ReplayJudge:
    """The same decisions at every look, spread over the whole run. What was found the same is not asked again."""

    def __init__(self, every: bool = False) -> None:
        self._every = every
        self._same: set[str] = set()

    async def judge(self, session: AsyncSession, epoch: str, figures: Figures) -> list[Finding]:
        """Decisions that come out otherwise, and inputs that are not those of then any more."""
        found: list[Finding] = []
        for scan in await (_all(session, epoch) if self._every else _sample(session, epoch)):
            name = decision_name(scan)
            figures.decisions_replayed += 1
            if name in self._same:
                continue
            findings, settled = await _asked_again(session, scan)
            if settled and not findings:
                self._same.add(name)
            found += findings
        return found


async def _asked_again(session: AsyncSession, scan: StrategyScan) -> tuple[list[Finding], bool]:
    """What is found, and whether every number of the answer could be compared."""
    name = decision_name(scan)
    try:
        asked = await load_scan(session, scan, STRATEGIES)
    except NotReplayable as error:
        return [Finding(Kind.DECISIONS_DIFFER, name, f"decision {name} can't be asked again: {error}")], True
    told = await asyncio.to_thread(asked.again)
    return [*_findings(told)], not told.changed_inputs


def _findings(told: ReplayView) -> Iterator[Finding]:
    """An input that came in later, or was summed further, is no finding, nor is what it changed in the answer."""
    changed = [
        f"{each.part} of {each.symbol or 'the market'} ({each.timeframe})"
        for each in told.changed_inputs
        if each.how == "changed" and each.part != Part.TAKER_BUY_SHARE
    ]
    if changed:
        told_of = f"{changed[0]}{f' and {len(changed) - 1} more' if len(changed) > 1 else ''}"
        sentence = f"decision {told.decision} was made on other numbers than those there are now: {told_of}"
        yield Finding(Kind.INPUTS_CHANGED, told.decision, sentence)
    names = [
        f"{each.name} of {each.symbol or told.strategy} was {each.was} and is {each.now}"
        for each in told.differences
        if not (_follows_from_inputs(told, each.symbol) and each.name.startswith(_BY_INPUTS))
    ]
    names += [f"gate {each.gate} of {each.symbol} says something else" for each in told.verdicts]
    if names:
        yield Finding(Kind.DECISIONS_DIFFER, told.decision, f"decision {told.decision} asked again: {'; '.join(names)}")


def _follows_from_inputs(told: ReplayView, symbol: str | None) -> bool:
    """Whether an input of the symbol's own is another one now, or one that all symbols are judged against."""
    changed = {each.symbol for each in told.changed_inputs}
    ranked = STRATEGIES[told.strategy].needs(_defaults(told.strategy), STRATEGIES[told.strategy].timeframe).benchmark
    return bool(changed) and (ranked is not None or symbol in changed or not symbol or not all(changed))


def _defaults(strategy: str) -> StrategyParameters:
    return STRATEGIES[strategy].parameters()


async def _all(session: AsyncSession, epoch: str) -> Sequence[StrategyScan]:
    row = StrategyScan
    query = select(row).where(row.epoch == epoch, row.strategy.in_(STRATEGIES.keys()))
    return (await session.scalars(query.order_by(row.close_at, row.strategy))).all()


async def _sample(session: AsyncSession, epoch: str) -> Sequence[StrategyScan]:
    """By a digest of their names: the same ones as long as none are added, and any of the whole run."""
    row = StrategyScan
    spread = func.md5(func.concat(row.strategy, row.close_at))

    async def some(wanted: ColumnElement[bool]) -> Sequence[StrategyScan]:
        query = select(row).where(row.epoch == epoch, row.strategy.in_(STRATEGIES.keys()), wanted)
        return (await session.scalars(query.order_by(spread).limit(SAMPLE))).all()

    return [*await some(row.candidates > 0), *await some(row.candidates == 0)]
