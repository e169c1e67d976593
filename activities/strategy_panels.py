"""What strategies decide on: their panels at a close, loaded once for all of them, and their answers to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from activities.due_strategies import DueStrategy, Window, windows_of
from db.repositories.panels import load_panel
from db.repositories.strategy_panels import with_regime
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies.contract import CANDLE_COLUMNS, Evaluation, Panel

Panels = Mapping[Timeframe, Panel]


async def load_panels(
    session: AsyncSession, asked: Sequence[DueStrategy], close_at: datetime, epoch: str
) -> list[Panels]:
    """The panels of each of ``asked`` at ``close_at`` in the market ``epoch``, with the regime where it is needed, and
    without microstructure.

    What several strategies look at is loaded once, and can't be written to.
    """
    windows = [windows_of(due, close_at) for due in asked]
    shared: dict[tuple[Category, Timeframe], Panel] = {}
    for whole in _unions(window for each in windows for window in each):
        panel = await load_panel(session, whole.category, whole.timeframe, whole.symbols, whole.first, whole.last)
        for name in CANDLE_COLUMNS:
            getattr(panel, name).flags.writeable = False
        shared[whole.category, whole.timeframe] = panel
    found = []
    for due, needed in zip(asked, windows, strict=True):
        panels = {
            each.timeframe: shared[each.category, each.timeframe].part(each.symbols, each.bars) for each in needed
        }
        own = await with_regime(session, panels[due.config.timeframe], epoch, due.needs)
        found.append({**panels, due.config.timeframe: own})
    return found


def _unions(windows: Iterable[Window]) -> list[Window]:
    """Of each category and timeframe every symbol that is asked for, over the longest stretch."""
    kept: dict[tuple[Category, Timeframe], list[Window]] = defaultdict(list)
    for window in windows:
        kept[window.category, window.timeframe].append(window)
    unions = []
    for (category, timeframe), several in kept.items():
        longest = max(several, key=lambda each: each.bars)
        symbols = tuple(sorted({symbol for each in several for symbol in each.symbols}))
        unions.append(Window(category, timeframe, symbols, longest.first, longest.last, longest.bars))
    return unions


def evaluate(due: DueStrategy, panels: Panels) -> Evaluation:
    """The strategy's answer: every symbol and bar. Pure arithmetic, for a thread."""
    return due.strategy.evaluate(panels, due.config.timeframe, due.parameters)
