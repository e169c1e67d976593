"""What the watchlist was worth: how many of the top movers of seven days it had listed, how purely and how early.

A **window** is seven days. Known is the hourly close of a symbol at the window's start, at every bar within it, and at
its end; a symbol without both ends is left out. The **move** of a symbol is its return from start to end, in percent,
of the side that is asked about: up for longs, down (as a positive number) for shorts. The **movers** are the ``k``
symbols that moved furthest, only those that moved the side's way at all.

A symbol is **listed** from the first close in [start, end) on at which it was on that side's list.

- *precision*: the share of listed symbols that became movers;
- *recall*: the share of movers listed before their move was complete, which is the first bar at which they had come all
  the way they stood at in the end;
- *lead time*: hours from the listing to the first bar at which half of the move was made. A mover whose lead time is
  negative, or that was not listed before its move was complete, was not **captured**; the lead time of a window is the
  median of those captured.

A share of nothing, and the lead time of nobody, is None.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.candle import Timeframe
from domain.market import PositionSide

WINDOW = timedelta(days=7)
BARS = Timeframe.H1
"""By whose closes a move is followed."""

Closes = Sequence[tuple[datetime, float]]
"""(close instant, price) of one symbol, oldest first."""


@dataclass(frozen=True, slots=True)
class Mover:
    """One of the top movers, the furthest first. ``listed_at`` None: it was not listed in the window."""

    symbol: str
    move_pct: float
    half_at: datetime
    complete_at: datetime
    listed_at: datetime | None

    @property
    def recalled(self) -> bool:
        """It was listed before its move was complete."""
        return self.listed_at is not None and self.listed_at < self.complete_at

    @property
    def lead_hours(self) -> float | None:
        """Hours from its listing to half of its move; None for one that was not captured."""
        if self.listed_at is None or not self.recalled or self.listed_at > self.half_at:
            return None
        return (self.half_at - self.listed_at) / timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Capture:
    """One side in one window. ``listed`` counts the symbols listed whose move is known."""

    start: datetime
    end: datetime
    listed: int
    movers: tuple[Mover, ...]


@dataclass(frozen=True, slots=True)
class Effectiveness:
    """Windows of one side together: counts are summed, and lead times are of all captured movers."""

    windows: int
    listed: int
    movers: int
    became_movers: int
    recalled: int
    captured: int
    precision: float | None
    recall: float | None
    lead_hours: float | None


def windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Windows side by side that fit into [since, until], oldest first. The last ends with the last full hour."""
    end = BARS.floor(until)
    count = max((end - since) // WINDOW, 0)
    return [(end - number * WINDOW, end - (number - 1) * WINDOW) for number in range(count, 0, -1)]


def capture(
    side: PositionSide,
    window: tuple[datetime, datetime],
    closes: Mapping[str, Closes],
    listed: Mapping[str, datetime],
    k: int,
) -> Capture:
    """How one side's list did in one window. ``listed`` has the first close in it at which a symbol was listed."""
    start, end = window
    known = {symbol: each for symbol, each in closes.items() if _covers(each, start, end)}
    moves = {symbol: _move(side, each, each[-1][1]) for symbol, each in known.items()}
    moved = sorted((symbol for symbol, move in moves.items() if move > 0), key=lambda one: (-moves[one], one))
    movers = tuple(_mover(side, symbol, known[symbol], listed.get(symbol)) for symbol in moved[:k])
    return Capture(start, end, sum(symbol in known for symbol in listed), movers)


def effectiveness(captures: Iterable[Capture]) -> Effectiveness:
    """The figures of one window, or of several of one side."""
    every = list(captures)
    movers = [mover for each in every for mover in each.movers]
    listed = sum(each.listed for each in every)
    became = sum(mover.listed_at is not None for mover in movers)
    recalled = sum(mover.recalled for mover in movers)
    leads = [lead for mover in movers if (lead := mover.lead_hours) is not None]
    return Effectiveness(
        windows=len(every),
        listed=listed,
        movers=len(movers),
        became_movers=became,
        recalled=recalled,
        captured=len(leads),
        precision=became / listed if listed else None,
        recall=recalled / len(movers) if movers else None,
        lead_hours=statistics.median(leads) if leads else None,
    )


def _covers(closes: Closes, start: datetime, end: datetime) -> bool:
    return len(closes) > 1 and closes[0][0] == start and closes[-1][0] == end and closes[0][1] > 0


def _move(side: PositionSide, closes: Closes, price: float) -> float:
    """How far ``price`` is from the window's start, in percent of the side's way."""
    return side.sign * (price / closes[0][1] - 1) * 100


def _mover(side: PositionSide, symbol: str, closes: Closes, listed_at: datetime | None) -> Mover:
    move = _move(side, closes, closes[-1][1])
    made = [(at, _move(side, closes, price)) for at, price in closes[1:]]
    half_at = next(at for at, way in made if way >= move / 2)
    complete_at = next(at for at, way in made if way >= move)
    return Mover(symbol, move, half_at, complete_at, listed_at)
