"""The watchlist as the API tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from db.models import WatchlistEntry, WatchlistScore
from domain.capture import Capture, Effectiveness, effectiveness
from domain.market import PositionSide
from domain.watchlist import Place
from domain.watchlist_views import (
    CaptureSideView,
    CaptureWindowView,
    EffectivenessView,
    MoverView,
    ScoreView,
    WatchlistEntryView,
    WatchlistView,
)


def place_view(
    place: Place, scored: Mapping[tuple[str, str], WatchlistScore], close_at: datetime, size: int
) -> WatchlistView:
    """``scored`` are the scores' rows by strategy and symbol, ``size`` how many places of a side are kept."""
    behind = [ScoreView.model_validate(scored[name, place.symbol], from_attributes=True) for name in place.scores]
    return WatchlistView(
        side=place.side,
        rank=place.rank,
        symbol=place.symbol,
        composite=place.composite,
        listed=place.rank <= size,
        close_at=close_at,
        scores=sorted(behind, key=lambda each: (-each.score, each.strategy)),
    )


def entry_view(row: WatchlistEntry) -> WatchlistEntryView:
    return WatchlistEntryView.model_validate(row, from_attributes=True)


def capture_side_view(side: PositionSide, captures: Sequence[Capture]) -> CaptureSideView:
    return CaptureSideView(
        side=side,
        figures=_figures(effectiveness(captures)),
        windows=[
            CaptureWindowView(
                start=each.start,
                end=each.end,
                figures=_figures(effectiveness([each])),
                movers=[MoverView.model_validate(mover, from_attributes=True) for mover in each.movers],
            )
            for each in captures
        ],
    )


def _figures(figures: Effectiveness) -> EffectivenessView:
    return EffectivenessView.model_validate(figures, from_attributes=True)
