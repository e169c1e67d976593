"""Wire models of the watchlist, shared by server and client. The rules of ``domain.views`` hold here too."""

from __future__ import annotations

from typing import Any

from domain.market import Category, PositionSide
from domain.views import Answer, Instant


class ScoreView(Answer):
    """A symbol's score with one strategy, 0 to 100, at the close the strategy scored it last."""

    strategy: str
    category: Category
    score: float
    close_at: Instant
    evidence: dict[str, Any]


class WatchlistView(Answer):
    """A symbol's place on one side's watchlist now, the first ``rank`` is 1.

    ``composite`` (0 to 100) says how interesting it is to all strategies of the side together, ``scores`` are those
    behind it, the highest first. ``listed``: its place is one of those that are kept (setting ``watchlist_size``).
    """

    side: PositionSide
    rank: int
    symbol: str
    composite: float
    listed: bool
    close_at: Instant
    scores: list[ScoreView]


class WatchlistEntryView(Answer):
    """The place a symbol had at one close, with each strategy's score behind it."""

    close_at: Instant
    side: PositionSide
    symbol: str
    rank: int
    composite: float
    scores: dict[str, float]


class MoverView(Answer):
    """A top mover of a window. ``lead_hours`` is from its listing to half of its move; None: it was not captured."""

    symbol: str
    move_pct: float
    half_at: Instant
    complete_at: Instant
    listed_at: Instant | None
    lead_hours: float | None


class EffectivenessView(Answer):
    """How much of the top movers a side's list had (see ``domain.capture`` for each figure); None: of nothing."""

    windows: int
    listed: int
    movers: int
    became_movers: int
    recalled: int
    captured: int
    precision: float | None
    recall: float | None
    lead_hours: float | None


class CaptureWindowView(Answer):
    """Seven days of one side: the figures, and the movers, the furthest first."""

    start: Instant
    end: Instant
    figures: EffectivenessView
    movers: list[MoverView]


class CaptureSideView(Answer):
    """One side over all windows, and each of them, oldest first."""

    side: PositionSide
    figures: EffectivenessView
    windows: list[CaptureWindowView]


class CaptureView(Answer):
    """What the watchlist was worth against the top ``k`` movers of each seven days from ``since`` to ``until``."""

    since: Instant
    until: Instant
    k: int
    sides: list[CaptureSideView]
