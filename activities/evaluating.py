"""Asking the strategies that are due: their panels, their answers, and a page for one that can't answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import DueStrategy, ScanRequest, due_strategies, microstructure_of
from activities.scan_microstructure import complete_microstructure
from activities.strategy_panels import Panels, evaluate, load_panels
from db.repositories.audit import record_event, told_ever
from db.repositories.panel_microstructure import LookedAt, with_microstructure
from db.session import Database
from domain.candidates import Candidate, Scored, candidates, missing_bars, scores
from domain.digests import Digests, candle_digests, panel_digests
from domain.strategies.contract import Evaluation, Panel, Strategy
from exchange.protocol import Exchange
from observability.logs import get_logger

log = get_logger(__name__)

STRATEGY_FAILED = "strategy_failed"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A strategy's answer to its panels, whose microstructure it looked at (None: it needs none), and the digests of
    the panels' numbers by timeframe."""

    due: DueStrategy
    panels: Panels
    evaluation: Evaluation
    looked_at: LookedAt | None
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
        return missing_bars(self.panels.values())


async def evaluate_due(
    database: Database, exchange: Exchange, strategies: Mapping[str, Strategy], request: ScanRequest
) -> list[Evaluated]:
    """Every due strategy's answer, by name, but for one that raises: that one is paged, the others decide.

    Candles say who wants to enter; of those the exchange is then asked for the microstructure. Raises its errors.
    """
    async with database.session() as session:
        asked = await due_strategies(session, strategies, request.timeframes)
        loaded = await load_panels(session, asked, request.close_at, request.epoch)
    found = []
    for due, panels in zip(asked, loaded, strict=True):
        evaluation = await answer_of(database, due, panels, request.close_at)
        if evaluation is not None:
            found.append(Evaluated(due, panels, evaluation, None, {}))
    found = await _looked_at(database, exchange, found, request.close_at)
    return await asyncio.to_thread(_with_digests, found)


async def _looked_at(
    database: Database, exchange: Exchange, evaluated: Sequence[Evaluated], close_at: datetime
) -> list[Evaluated]:
    """The same answers with the microstructure of the candidates, where it is needed."""
    wanted = {
        each.due.config.strategy: microstructure_of(each.due, sorted(one.symbol for one in each.candidates()), close_at)
        for each in evaluated
        if each.due.needs.microstructure
    }
    entering = [each for each in wanted.values() if each.window.symbols]
    if entering:
        await complete_microstructure(database, exchange, entering, close_at)
    found = []
    for each in evaluated:
        if each.due.config.strategy in wanted:
            window = wanted[each.due.config.strategy].window
            each = await _asked_again(database, each, LookedAt(window.symbols, window.bars), close_at)
        if each is not None:
            found.append(each)
    return found


async def _asked_again(
    database: Database, before: Evaluated, looked_at: LookedAt, close_at: datetime
) -> Evaluated | None:
    """The answer once the microstructure of ``looked_at`` is known, None when the strategy raises. Without candidates
    it is the answer of before: candles alone say who is one."""
    due = before.due
    async with database.session() as session:
        own = await with_microstructure(session, before.panel, due.config.category, due.needs, looked_at)
    panels = {**before.panels, due.config.timeframe: own}
    evaluation: Evaluation | None = before.evaluation
    if looked_at.symbols:
        evaluation = await answer_of(database, due, panels, close_at)
    return None if evaluation is None else replace(before, panels=panels, evaluation=evaluation, looked_at=looked_at)


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


def _with_digests(evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Strategies that look at the same candles have them digested once."""
    known: dict[tuple[object, ...], list[str]] = {}

    def digested(due: DueStrategy, panel: Panel) -> Digests:
        same = (due.config.category, panel.timeframe, panel.symbols, len(panel.open_time))
        if same not in known:
            known[same] = candle_digests(panel)
        return panel_digests(panel, known[same])

    return [
        replace(each, digests={str(frame): digested(each.due, panel) for frame, panel in each.panels.items()})
        for each in evaluated
    ]
