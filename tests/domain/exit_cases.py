"""Policies, price paths and a plain reference for the exit kernel's tests.

Prices have two decimals and percentages one, so that different prices and levels differ by far more than the kernel's
float tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from domain.exits import ExitPolicy, ExitReason
from domain.market import PositionSide

OPENED_AT = datetime(2026, 3, 1, tzinfo=UTC)
ENTRY = Decimal(100)


def tenths(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda n: Decimal(n) / 10)


sides = st.sampled_from(PositionSide)
prices = st.integers(5_000, 15_000).map(lambda cents: Decimal(cents) / 100)


@st.composite
def policies(draw: st.DrawFn, max_hold: bool = True) -> ExitPolicy:
    """Any combination of targets that is consistent."""
    take_profit = draw(st.none() | tenths(2, 400))
    below = 400 if take_profit is None else int(take_profit * 10) - 1
    trailing = draw(st.booleans())
    return ExitPolicy(
        stop_loss_pct=draw(tenths(1, 500)),
        take_profit_pct=take_profit,
        trailing_activation_pct=draw(tenths(1, below)) if trailing else None,
        trailing_distance_pct=draw(tenths(1, 300)) if trailing else None,
        trailing_stop_pct=draw(st.none() | tenths(1, 500)),
        break_even_at_pct=draw(st.none() | tenths(1, below)),
        max_hold_seconds=draw(st.none() | st.integers(1, 60)) if max_hold else None,
    )


paths = st.lists(prices, min_size=1, max_size=40)


def at_second(second: float) -> datetime:
    return OPENED_AT + timedelta(seconds=second)


@dataclass
class Reference:
    """The policy in exact decimals, long and short written out apart: what the kernel should do, said differently."""

    side: PositionSide
    policy: ExitPolicy
    entry: Decimal = ENTRY
    seen: list[Decimal] = field(default_factory=list)

    @property
    def best(self) -> Decimal:
        prices = [self.entry, *self.seen]
        return max(prices) if self.side is PositionSide.LONG else min(prices)

    def reached(self, percent: Decimal | None, price: Decimal) -> bool:
        if percent is None:
            return False
        if self.side is PositionSide.LONG:
            return price >= self.entry + self.entry * percent / 100
        return price <= self.entry - self.entry * percent / 100

    def stops(self) -> list[tuple[Decimal, ExitReason]]:
        """Every level in force, lowest rank first."""
        policy, best = self.policy, self.best
        loss = self.entry * policy.stop_loss_pct / 100
        levels: list[tuple[Decimal, ExitReason]] = []
        if self.side is PositionSide.LONG:
            levels.append((self.entry - loss, ExitReason.STOP_LOSS))
        else:
            levels.append((self.entry + loss, ExitReason.STOP_LOSS))
        if self.reached(policy.break_even_at_pct, best):
            levels.append((self.entry, ExitReason.BREAK_EVEN))
        if policy.trailing_stop_pct is not None:
            levels.append((self._behind(best, policy.trailing_stop_pct), ExitReason.TRAILING_STOP))
        if self.reached(policy.trailing_activation_pct, best):
            assert policy.trailing_distance_pct is not None
            levels.append((self._behind(best, policy.trailing_distance_pct), ExitReason.TRAILING_TAKE_PROFIT))
        return levels

    def stop(self) -> tuple[Decimal, ExitReason]:
        levels = self.stops()
        if self.side is PositionSide.LONG:
            tightest = max(price for price, _ in levels)
        else:
            tightest = min(price for price, _ in levels)
        return tightest, [reason for price, reason in levels if price == tightest][-1]

    def step(self, price: Decimal, at: datetime) -> ExitReason | None:
        self.seen.append(price)
        stop, level = self.stop()
        if price <= stop if self.side is PositionSide.LONG else price >= stop:
            return level
        if self.reached(self.policy.take_profit_pct, price):
            return ExitReason.TAKE_PROFIT
        hold = self.policy.max_hold_seconds
        if hold is not None and at >= OPENED_AT + timedelta(seconds=hold):
            return ExitReason.MAX_HOLD
        return None

    def _behind(self, best: Decimal, percent: Decimal) -> Decimal:
        if self.side is PositionSide.LONG:
            return best * (100 - percent) / 100
        return best * (100 + percent) / 100
