"""The exit kernel: one pure step over a row of float64, compiled. Live guards and the backtest both run this code.

A row holds one guard: its state and its policy as price levels. Prices in a row are *signed*: multiplied by +1 for a
long position and -1 for a short one, so that profit is up for both and one piece of code serves either side. Times are
milliseconds since 1970 UTC. A missing target is +inf (never reached); a missing trailing distance is +inf too (its stop
is at -inf).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.jit import compiled

Rows = NDArray[np.float64]
"""Shape (n, WIDTH)."""

# State.
ACTIVE: Final = 0
"""1.0 while the guard watches; 0.0 when it fired or the row is free."""
SIGN: Final = 1
BEST: Final = 2
STOP: Final = 3
LEVEL: Final = 4
"""Which level made the stop: one of the codes STOP_LOSS to TRAILING_TAKE_PROFIT."""
BREAK_EVEN_ARMED: Final = 5
TRAILING_ARMED: Final = 6
AS_OF: Final = 7
# Policy.
TARGET: Final = 8
DEADLINE: Final = 9
ENTRY: Final = 10
BASE_STOP: Final = 11
BREAK_EVEN_AT: Final = 12
TRAILING_STOP_DISTANCE: Final = 13
"""Fraction of the best price."""
TRAILING_AT: Final = 14
TRAILING_DISTANCE: Final = 15
"""Fraction of the best price."""
WIDTH: Final = 16

# Reason codes. The first four are also the ranks of the levels a stop can come from: of two equal levels the higher is
# named.
NONE: Final = 0
STOP_LOSS: Final = 1
BREAK_EVEN: Final = 2
TRAILING_STOP: Final = 3
TRAILING_TAKE_PROFIT: Final = 4
TAKE_PROFIT: Final = 5
MAX_HOLD: Final = 6

# Rows of what ``step_rows`` tells.
FIRED: Final = 0
REASON: Final = 1
RATCHETED: Final = 2

# A trailing level is a product of two binary fractions and may miss the decimal price it means by a few ulp. A price
# this close (relative) is at the stop. It is far below any tick size and far above the rounding error.
AT_STOP: Final = 1e-12


@compiled
def raise_stop(rows: Rows, index: int) -> None:
    """Arm what the best price has reached and take the highest of the levels it makes. Never lowers the stop."""
    best = rows[index, BEST]
    stop = rows[index, BASE_STOP]
    level = STOP_LOSS
    if best >= rows[index, BREAK_EVEN_AT]:
        rows[index, BREAK_EVEN_ARMED] = 1.0
        if rows[index, ENTRY] >= stop:
            stop = rows[index, ENTRY]
            level = BREAK_EVEN
    trailing = best - rows[index, TRAILING_STOP_DISTANCE] * abs(best)
    if trailing >= stop:
        stop = trailing
        level = TRAILING_STOP
    if best >= rows[index, TRAILING_AT]:
        rows[index, TRAILING_ARMED] = 1.0
        trailing = best - rows[index, TRAILING_DISTANCE] * abs(best)
        if trailing >= stop:
            stop = trailing
            level = TRAILING_TAKE_PROFIT
    if stop > rows[index, STOP] or (stop == rows[index, STOP] and level > rows[index, LEVEL]):
        rows[index, STOP] = stop
        rows[index, LEVEL] = level


@compiled
def judge(signed: float, time_ms: float, stop: float, level: float, target: float, deadline: float) -> int:
    """The reason code that a signed price at a time means for these levels (NONE: stay). The stop comes first."""
    if signed <= stop + AT_STOP * abs(stop):
        return int(level)
    if signed >= target:
        return TAKE_PROFIT
    if time_ms >= deadline:
        return MAX_HOLD
    return NONE


@compiled
def step(rows: Rows, index: int, price: float, time_ms: float) -> int:
    """One trade at ``price``: ratchet the row, and the reason code if the position is to be left (else NONE).

    A row that fires becomes inactive: it fires once. A trade older than the row's ``AS_OF`` changes nothing: it was
    seen before, or the position did not exist yet, and judging an old price by a newer stop would invent an exit.
    """
    if rows[index, ACTIVE] == 0.0 or time_ms < rows[index, AS_OF]:
        return NONE
    rows[index, AS_OF] = time_ms
    signed = price * rows[index, SIGN]
    if signed > rows[index, BEST]:
        rows[index, BEST] = signed
        raise_stop(rows, index)
    reason = judge(signed, time_ms, rows[index, STOP], rows[index, LEVEL], rows[index, TARGET], rows[index, DEADLINE])
    if reason != NONE:
        rows[index, ACTIVE] = 0.0
    return reason


@compiled
def step_rows(
    rows: Rows,
    count: int,
    price: float,
    time_ms: float,
    told: NDArray[np.int64],
) -> tuple[int, int]:
    """``step`` for the first ``count`` rows. Gives how many fired and how many ratcheted (stop moved or a level armed).

    Passing an array to a compiled function costs more than all of ``step``, so its few lines stand here again; what is
    decided is decided in ``raise_stop`` and ``judge``, for both.

    Their indexes are written to the front of ``told[FIRED]`` (with ``told[REASON]``) and ``told[RATCHETED]``; shape
    (3, at least ``count``).
    """
    fired_count = 0
    ratcheted_count = 0
    for index in range(count):
        if rows[index, ACTIVE] == 0.0 or time_ms < rows[index, AS_OF]:
            continue
        rows[index, AS_OF] = time_ms
        signed = price * rows[index, SIGN]
        if signed > rows[index, BEST]:
            rows[index, BEST] = signed
            stop = rows[index, STOP]
            armed = rows[index, BREAK_EVEN_ARMED] + rows[index, TRAILING_ARMED]
            raise_stop(rows, index)
            if rows[index, STOP] != stop or rows[index, BREAK_EVEN_ARMED] + rows[index, TRAILING_ARMED] != armed:
                told[RATCHETED, ratcheted_count] = index
                ratcheted_count += 1
        reason = judge(
            signed, time_ms, rows[index, STOP], rows[index, LEVEL], rows[index, TARGET], rows[index, DEADLINE]
        )
        if reason != NONE:
            rows[index, ACTIVE] = 0.0
            told[FIRED, fired_count] = index
            told[REASON, fired_count] = reason
            fired_count += 1
    return fired_count, ratcheted_count


@compiled
def walk_bar(
    rows: Rows, index: int, open_: float, high: float, low: float, close: float, start_ms: float, end_ms: float
) -> tuple[int, float]:
    """One bar, the adverse extreme first: (reason code, exit price), the price being nan with NONE.

    Open beyond a level: exit at the open. A level inside the bar: exit at that level. The deadline inside the bar: exit
    at the close. Of a bar that began before ``AS_OF`` only a new best price and the close are surely new, so only they
    count.
    """
    if rows[index, ACTIVE] == 0.0 or end_ms <= rows[index, AS_OF]:
        return NONE, np.nan
    sign = rows[index, SIGN]
    adverse, favourable = (low, high) if sign > 0 else (high, low)
    # For a bar that began before AS_OF these two change nothing: step ignores what is older.
    reason = step(rows, index, open_, start_ms)
    if reason != NONE:
        return reason, open_
    reason = step(rows, index, adverse, start_ms)
    if reason != NONE:
        return reason, sign * rows[index, STOP]
    if favourable * sign > rows[index, BEST]:
        reason = step(rows, index, favourable, rows[index, AS_OF])
        if reason != NONE:
            return reason, (sign * rows[index, TARGET] if reason == TAKE_PROFIT else favourable)
    reason = step(rows, index, close, end_ms)
    if reason == NONE:
        return NONE, np.nan
    return reason, (sign * rows[index, STOP] if reason <= TRAILING_TAKE_PROFIT else close)


@compiled
def walk_bars(
    rows: Rows,
    index: int,
    opens: NDArray[np.float64],
    highs: NDArray[np.float64],
    lows: NDArray[np.float64],
    closes: NDArray[np.float64],
    starts_ms: NDArray[np.int64],
    bar_ms: int,
) -> tuple[int, int, float]:
    """Bars in a row, oldest first: (index of the bar of the exit, reason code, exit price), or (-1, NONE, nan)."""
    for bar in range(len(opens)):
        start_ms = float(starts_ms[bar])
        reason, price = walk_bar(
            rows, index, opens[bar], highs[bar], lows[bar], closes[bar], start_ms, start_ms + bar_ms
        )
        if reason != NONE:
            return bar, reason, price
    return -1, NONE, np.nan
