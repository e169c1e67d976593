"""The exit kernel: trades a second for many guards, bars a second for one, against the same rules in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from benchmarks.registry import Figure, benchmark
from benchmarks.timing import ROUNDS, best_rate
from domain import exit_kernel as kernel
from domain.exit_rows import GuardRows
from domain.exits import ExitPolicy, GuardState, make_row, reason_of, to_milliseconds
from domain.market import PositionSide

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = Decimal(60_000)
POLICY = ExitPolicy(
    stop_loss_pct=Decimal(40),
    take_profit_pct=Decimal(90),
    trailing_stop_pct=Decimal(35),
    break_even_at_pct=Decimal(80),
    max_hold_seconds=30 * 86_400,
)
"""Wide enough for no guard to fire during the measurement: a guard that fired would cost nothing."""

REFERENCE = "same rules in plain Python"


class PlainGuard:
    """The rules of POLICY as one would write them in plain Python."""

    def __init__(self, side: PositionSide) -> None:
        entry, sign = float(ENTRY), side.sign
        self.long = side is PositionSide.LONG
        self.entry = self.best = entry
        self.trailing = float(POLICY.trailing_stop_pct or 0) / 100
        self.stop = entry * (1 - sign * min(float(POLICY.stop_loss_pct) / 100, self.trailing))
        self.target = entry * (1 + sign * float(POLICY.take_profit_pct or 0) / 100)
        self.break_even = entry * (1 + sign * float(POLICY.break_even_at_pct or 0) / 100)
        self.deadline = to_milliseconds(OPENED_AT) + 1000.0 * (POLICY.max_hold_seconds or 0)

    def step(self, price: float, time_ms: float) -> str | None:
        if self.long:
            if price > self.best:
                self.best = price
                stop = price * (1 - self.trailing)
                if price >= self.break_even:
                    stop = max(stop, self.entry)
                self.stop = max(self.stop, stop)
            if price <= self.stop:
                return "stop"
            if price >= self.target:
                return "take_profit"
        else:
            if price < self.best:
                self.best = price
                stop = price * (1 + self.trailing)
                if price <= self.break_even:
                    stop = min(stop, self.entry)
                self.stop = min(self.stop, stop)
            if price >= self.stop:
                return "stop"
            if price <= self.target:
                return "take_profit"
        return "max_hold" if time_ms >= self.deadline else None

    def walk(self, open_: float, high: float, low: float, close: float, start_ms: float, end_ms: float) -> str | None:
        adverse, favourable = (low, high) if self.long else (high, low)
        return (
            self.step(open_, start_ms)
            or self.step(adverse, start_ms)
            or self.step(favourable, start_ms)
            or self.step(close, end_ms)
        )


def prices(count: int, seed: int = 1) -> NDArray[np.float64]:
    """A random walk in cents that stays within 20 % of the entry price."""
    steps = np.random.default_rng(seed).normal(0, 2e-4, count)
    return np.round(float(ENTRY) * np.exp(0.18 * np.sin(np.cumsum(steps) / 0.18)), 2)


def side_of(number: int) -> PositionSide:
    return PositionSide.SHORT if number % 2 else PositionSide.LONG


@benchmark("exit_kernel")
def exit_kernel() -> Iterator[Figure]:
    """Trades a second through a guard book of 1, 50 and 1,000 guards, half of them short, as a live guard calls it."""
    for guards, ticks in ((1, 40_000), (50, 20_000), (1000, 4_000)):
        path = prices(ticks).tolist()
        start = to_milliseconds(OPENED_AT)
        rows = GuardRows()
        states = [GuardState.opened(side_of(number), ENTRY, OPENED_AT, POLICY) for number in range(guards)]
        indexes = [rows.add(state, POLICY) for state in states]
        plain = [PlainGuard(side_of(number)) for number in range(guards)]
        plain_path = path[: max(200, 40_000 // guards)]
        _check_same(rows, indexes, plain, plain_path[:200], start)

        def compiled(rows: GuardRows = rows, path: list[float] = path, start: float = start) -> int:
            for price in path:
                rows.step_all(price, start)
            return len(path)

        def reference(plain: list[PlainGuard] = plain, path: list[float] = plain_path, start: float = start) -> int:
            for price in path:
                for guard in plain:
                    guard.step(price, start)
            return len(path)

        yield Figure(
            f"exit_kernel_{guards}_guards",
            best_rate(compiled),
            "ticks/s",
            REFERENCE,
            best_rate(reference),
            {"guards": guards, "ticks": ticks, "rounds": ROUNDS, "short": 0.5},
        )


@benchmark("walk_bars")
def walk_bars() -> Iterator[Figure]:
    """Bars a second of one position that stays open, as the backtest walks them."""
    count, plain_count, bar_ms = 1_000_000, 50_000, 1
    path = prices(4 * count).reshape(count, 4)
    opens, closes = path[:, 0].copy(), path[:, 3].copy()
    highs, lows = path.max(axis=1), path.min(axis=1)
    start = int(to_milliseconds(OPENED_AT))
    starts = start + bar_ms * np.arange(count, dtype=np.int64)
    state = GuardState.opened(PositionSide.LONG, ENTRY, OPENED_AT, POLICY)

    def compiled() -> int:
        row = make_row(state, POLICY)
        index, code, _ = kernel.walk_bars(row, 0, opens, highs, lows, closes, starts, bar_ms)
        if index >= 0:
            raise AssertionError(f"the position was left after {index} bars: {reason_of(code)}")
        return count

    columns = [column[:plain_count].tolist() for column in (opens, highs, lows, closes, starts)]

    def reference() -> int:
        guard = PlainGuard(PositionSide.LONG)
        for open_, high, low, close, at in zip(*columns, strict=True):
            if guard.walk(open_, high, low, close, at, at + bar_ms):
                raise AssertionError("the reference left the position")
        return plain_count

    compiled()  # loads the compiled code
    yield Figure(
        "walk_bars", best_rate(compiled), "bars/s", REFERENCE, best_rate(reference), {"bars": count, "rounds": ROUNDS}
    )


def _check_same(rows: GuardRows, indexes: list[int], plain: list[PlainGuard], path: list[float], start: float) -> None:
    for price in path:
        fired = rows.step_all(price, start).fired
        if fired or any(guard.step(price, start) for guard in plain):
            raise AssertionError(f"a guard fired at {price}: nothing would be left to measure")
    for index, guard in zip(indexes, plain, strict=True):
        if abs(float(rows.state(index).stop_price) - guard.stop) > 1e-6:
            raise AssertionError(f"kernel and reference disagree: {rows.state(index)} and {vars(guard)}")
