"""How long things take, measured so that a busy neighbour doesn't decide the figure."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence

ROUNDS = 5


def best_rate(work: Callable[[], int], rounds: int = ROUNDS) -> float:
    """Units a second that ``work`` (which returns how many units it did) reaches in its best of ``rounds`` rounds.

    The best, because interference only ever adds time.
    """
    best = 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        units = work()
        best = max(best, units / (time.perf_counter() - started))
    return best


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that ``percent`` % of ``values`` don't exceed: one that was measured, nothing interpolated."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def machine_load() -> dict[str, float | int | None]:
    """How busy the machine is beside the measurement: its cores and the mean number of runnable tasks of a minute."""
    return {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
