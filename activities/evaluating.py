"""Asking the strategies that are due: their panels, their answers, and a page for one that can't answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import DueStrategy, ScanRequest, due_strategies
from activities.strategy_panels import Panels, evaluate, load_panels
from db.repositories.audit import record_event, told_ever
from db.session import Database
from domain.candidates import Candidate, Scored, candidates, scores
from domain.digests import Digests, panel_digests
from domain.strategies.contract import Evaluation, Panel, Strategy
from observability.logs import get_logger

log = get_logger(__name__)

STRATEGY_FAILED = "strategy_failed"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A strategy's answer to its panels, and the digests of their numbers by timeframe."""

    due: DueStrategy
    panels: Panels
    evaluation: Evaluation
    digests: Mapping[str, Digests]

    @property
    def panel(self) -> Panel:
        return self.panels[self.due.config.timeframe]

    def candidates(self) -> list[Candidate]:
        """Whom it wants to enter, of those it may."""
        return [each for each in candidates(self.evaluation, self.panel) if each.symbol in self.due.eligible]

    def scores(self) -> list[Scored]:
        """The scores that are known, of those it may enter."""
        return [
            each
            for each in scores(self.evaluation, self.panel)
            if each.symbol in self.due.eligible and np.isfinite(each.score)
        ]

    def missing(self) -> dict[str, int]:
        """Bars of its windows that a symbol has no candle for, by symbol, where there are any."""
        absent = np.zeros(len(self.panel.symbols), dtype=np.int64)
        for panel in self.panels.values():
            absent += np.isnan(panel.close).sum(axis=1)
        return {symbol: bars for symbol, bars in zip(self.panel.symbols, absent.tolist(), strict=True) if bars}


async def evaluate_due(database: Database, strategies: Mapping[str, Strategy], request: ScanRequest) -> list[Evaluated]:
    """Every due strategy's answer, by name, but for one that raises: that one is paged, the others decide."""
    async with database.session() as session:
        asked = await due_strategies(session, strategies, request.timeframes)
    found = []
    for due in asked:
        async with database.session() as session:
            panels = await load_panels(session, due, request.close_at, request.epoch)
        evaluation = await answer_of(database, due, panels, request.close_at)
        if evaluation is not None:
            found.append(Evaluated(due, panels, evaluation, await asyncio.to_thread(_digests, panels)))
    return found


async def answer_of(database: Database, due: DueStrategy, panels: Panels, close_at: datetime) -> Evaluation | None:
    """What the strategy says to its panels; None when it raises, which is paged once a day of the market and version.

    Arithmetic on a thread: the guards of this process see their prices meanwhile.
    """
    try:
        return await asyncio.to_thread(evaluate, due, panels)
    except Exception as error:  # whatever is wrong in one strategy is no reason for the others not to decide
        log.exception("strategy failed", strategy=due.config.strategy, version=due.config.version)
        async with database.session() as session:
            await _tell_failed(session, due, error, close_at)
        return None


async def _tell_failed(session: AsyncSession, due: DueStrategy, error: Exception, close_at: datetime) -> None:
    """Its positions have no exits of its own meanwhile: somebody has to know for as long as it lasts."""
    subject = f"{due.config.strategy} v{due.config.version} {close_at:%Y-%m-%d}"
    if not await told_ever(session, STRATEGY_FAILED, subject):
        detail = {"error": f"{type(error).__name__}: {error}"}
        record_event(session, STRATEGY_FAILED, subject, who="scan", severity="page", detail=detail)


def _digests(panels: Panels) -> dict[str, Digests]:
    return {str(timeframe): panel_digests(panel) for timeframe, panel in panels.items()}
