"""The panels a strategy decides on, by what it needs: when it decides, and when it is asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.panels import load_panel
from db.repositories.regimes import levels_at
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies.contract import Needs, Panel


@dataclass(frozen=True, slots=True)
class PanelRows:
    """Rows and columns of a strategy's panels: its symbols in their order, and by timeframe the open times of the first
    and the last bar. ``timeframe`` is the one it decides on."""

    epoch: str
    category: Category
    timeframe: Timeframe
    symbols: Sequence[str]
    spans: Mapping[Timeframe, tuple[datetime, datetime]]


async def load_strategy_panels(
    session: AsyncSession, rows: PanelRows, needs: Needs, known_by: datetime | None = None
) -> dict[Timeframe, Panel]:
    """Microstructure and regime are in the panel of the strategy's own timeframe alone.

    ``known_by`` (wall): a regime that was recorded later is none.
    """
    panels = {}
    for timeframe, span in rows.spans.items():
        if timeframe is rows.timeframe:
            panels[timeframe] = await _own_panel(session, rows, needs, known_by)
        else:
            panels[timeframe] = await load_panel(session, rows.category, timeframe, rows.symbols, *span)
    return panels


async def _own_panel(session: AsyncSession, rows: PanelRows, needs: Needs, known_by: datetime | None) -> Panel:
    panel = await load_panel(
        session,
        rows.category,
        rows.timeframe,
        rows.symbols,
        *rows.spans[rows.timeframe],
        taker_volume=needs.taker_volume,
        open_interest=needs.open_interest,
        long_short=needs.long_short_ratio,
        funding=needs.funding_rate,
    )
    if not needs.regime:
        return panel
    closes = panel.open_time + panel.timeframe.milliseconds
    return replace(panel, regime=await levels_at(session, rows.epoch, closes, known_by))
