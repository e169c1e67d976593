"""How long things take, measured so that a busy neighbour doesn't decide the figure."""

from __future__ import annotations

import time
from collections.abc import Callable

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
