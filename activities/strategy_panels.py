"""What a strategy decides on: its panels at a close, and its answer to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import DueStrategy, windows_of
from db.repositories.strategy_panels import PanelRows, load_strategy_panels
from domain.candle import Timeframe
from domain.strategies.contract import Evaluation, Panel

Panels = Mapping[Timeframe, Panel]


async def load_panels(
    session: AsyncSession, due: DueStrategy, close_at: datetime, epoch: str, known_by: datetime | None = None
) -> dict[Timeframe, Panel]:
    """What the strategy decides on at ``close_at`` in the market ``epoch``, as ``load_strategy_panels`` has it."""
    spans = {window.timeframe: (window.first, window.last) for window in windows_of(due, close_at)}
    rows = PanelRows(epoch, due.config.category, due.config.timeframe, due.symbols, spans)
    return await load_strategy_panels(session, rows, due.needs, known_by)


def evaluate(due: DueStrategy, panels: Panels) -> Evaluation:
    return due.strategy.evaluate(panels, due.config.timeframe, due.parameters)
