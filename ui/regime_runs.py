"""The regime's history as stretches of one regime each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from client.models import Regime, RegimeView

_STEP = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Run:
    """``regime`` was in force from ``start`` to ``end``; None: nothing was confirmed yet. ``score`` is of its start."""

    regime: Regime | None
    start: datetime
    end: datetime
    score: float


def regime_runs(history: Iterable[RegimeView]) -> list[Run]:
    """Stretches of one effective regime, oldest first.

    A close without a row ends its stretch: an older regime is not that close's.
    """
    found: list[Run] = []
    for each in sorted(history, key=lambda row: row.valid_from):
        end = each.valid_from + _STEP
        if found and found[-1].regime == each.effective and found[-1].end == each.valid_from:
            found[-1] = Run(each.effective, found[-1].start, end, found[-1].score)
        else:
            found.append(Run(each.effective, each.valid_from, end, each.score))
    return found
