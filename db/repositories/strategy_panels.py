"""The panels a strategy decides on, by what it needs: when it decides, and when it is asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.panel_microstructure import LookedAt, with_microstructure
from db.repositories.panels import load_panel
from db.repositories.regimes import levels_at
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies.contract import Needs, Panel


@dataclass(frozen=True, slots=True)
class PanelRows:
    """Rows and columns of a strategy's panels: its symbols in their order, and by timeframe the open times of the first
    and the last bar. ``timeframe`` is the one it decides on. ``looked_at`` None: at everybody's microstructure, on
    every bar."""

    epoch: str
    category: Category
    timeframe: Timeframe
    symbols: Sequence[str]
    spans: Mapping[Timeframe, tuple[datetime, datetime]]
    looked_at: LookedAt | None = None


async def load_strategy_panels(
    session: AsyncSession, rows: PanelRows, needs: Needs, known_by: datetime | None = None
) -> dict[Timeframe, Panel]:
    """Microstructure and regime are in the panel of the strategy's own timeframe alone.

    ``known_by`` (wall): a regime that was recorded later is none.
    """
    panels = {
        timeframe: await load_panel(session, rows.category, timeframe, rows.symbols, *span)
        for timeframe, span in rows.spans.items()
    }
    own = panels[rows.timeframe]
    looked_at = rows.looked_at or LookedAt(rows.symbols, len(own.open_time))
    own = await with_microstructure(session, own, rows.category, needs, looked_at)
    return panels | {rows.timeframe: await with_regime(session, own, rows.epoch, needs, known_by)}


async def with_regime(
    session: AsyncSession, panel: Panel, epoch: str, needs: Needs, known_by: datetime | None = None
) -> Panel:
    """``panel`` with the regime at every bar's close, if it is needed."""
    if not needs.regime:
        return panel
    closes = panel.open_time + panel.timeframe.milliseconds
    return replace(panel, regime=await levels_at(session, epoch, closes, known_by))
