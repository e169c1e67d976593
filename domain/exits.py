"""The exit kernel for one position: state in, state and reason out.

``GuardState`` is what a guard must not forget; it goes into heartbeats and rows as JSON. With the position's policy it
makes a row of the kernel and back, without loss. Many positions at once: ``domain.exit_rows``.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain import exit_kernel as kernel
from domain.exit_kernel import Rows
from domain.exit_policy import ExitPolicy, ExitReason, disaster_stop, profit_level, stop_price_for
from domain.market import PositionSide

__all__ = [
    "ExitPolicy",
    "ExitReason",
    "GuardState",
    "Intrabar",
    "disaster_stop",
    "make_row",
    "reason_of",
    "retarget",
    "state_of",
    "step_state",
    "stop_price_for",
    "to_milliseconds",
    "walk_bar",
    "warm_up",
]

Intrabar = Literal["conservative"]
"""``conservative``: within one bar the adverse extreme comes first."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_REASONS: Final = {
    kernel.STOP_LOSS: ExitReason.STOP_LOSS,
    kernel.BREAK_EVEN: ExitReason.BREAK_EVEN,
    kernel.TRAILING_STOP: ExitReason.TRAILING_STOP,
    kernel.TRAILING_TAKE_PROFIT: ExitReason.TRAILING_TAKE_PROFIT,
    kernel.TAKE_PROFIT: ExitReason.TAKE_PROFIT,
    kernel.MAX_HOLD: ExitReason.MAX_HOLD,
}
_CODES: Final = {reason: code for code, reason in _REASONS.items()}


class GuardState(BaseModel):
    """Where one guard stands. Prices in quote coin, times market time in whole milliseconds.

    ``best_price`` is the best price seen since the entry (highest for a long, lowest for a short). ``stop_price`` only
    ever tightens by price; ``stop_level`` says what made it. ``as_of`` is the time of the last trade taken in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: PositionSide
    entry_price: Decimal
    opened_at: AwareDatetime
    best_price: Decimal
    stop_price: Decimal
    stop_level: ExitReason
    trailing_armed: bool
    break_even_armed: bool
    take_profit_price: Decimal | None
    as_of: AwareDatetime

    @classmethod
    def opened(cls, side: PositionSide, entry_price: Decimal, opened_at: datetime, policy: ExitPolicy) -> GuardState:
        """State of a position just entered at ``entry_price``.

        Raises ValueError when the price isn't above 0, the time is naive, or the policy can't be reached on this side.
        """
        _check_price(float(entry_price))
        at = _whole_milliseconds(opened_at)
        bare = cls(
            side=side,
            entry_price=entry_price,
            opened_at=at,
            best_price=entry_price,
            stop_price=entry_price,
            stop_level=ExitReason.STOP_LOSS,
            trailing_armed=False,
            break_even_armed=False,
            take_profit_price=None,
            as_of=at,
        )
        return retarget(bare, policy)


def retarget(state: GuardState, policy: ExitPolicy) -> GuardState:
    """``state`` under another policy, from now on.

    What was seen is kept (entry, best price, times); every level is computed anew, as if ``policy`` had been in force
    since the entry. So the stop goes where the operator says, looser too; a trailing level whose activation the best
    price has reached is armed; and if the new stop or target is already crossed, the next trade fires it.
    """
    policy.check_side(state.side)
    row = make_row(state, policy)
    row[0, [kernel.BREAK_EVEN_ARMED, kernel.TRAILING_ARMED]] = 0.0
    row[0, kernel.STOP] = -math.inf
    row[0, kernel.LEVEL] = kernel.NONE
    kernel.raise_stop(row, 0)
    target = policy.take_profit_pct
    take_profit = None if target is None else profit_level(state.side, state.entry_price, target)
    return state_of(row, 0, state.model_copy(update={"take_profit_price": take_profit}))


def step_state(
    state: GuardState, policy: ExitPolicy, price: Decimal, at: datetime
) -> tuple[GuardState, ExitReason | None]:
    """One trade: the new state, and the reason if the position is to be left now.

    ``policy`` is the one the state was opened or retargeted with. A trade before ``state.as_of`` changes nothing. To
    let a maximum hold expire without a trade, step with the last price at the present time. Raises ValueError for a
    price that isn't above 0 or a naive time.
    """
    value = _check_price(float(price))
    row = make_row(state, policy)
    reason = kernel.step(row, 0, value, to_milliseconds(at))
    return state_of(row, 0, state), reason_of(reason)


def walk_bar(
    state: GuardState,
    policy: ExitPolicy,
    open_: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    start: datetime,
    end: datetime,
    intrabar: Intrabar = "conservative",
) -> tuple[GuardState, tuple[ExitReason, Decimal] | None]:
    """One bar from ``start`` to ``end``: the new state, and (reason, exit price before costs) if it ends the position.

    The adverse extreme comes before the favourable one. A bar that opens beyond a level exits at its open; a level
    inside the bar exits at the level; a maximum hold that ends inside the bar exits at the close. Of a bar that began
    before ``state.as_of`` only a new best price and the close count: its other extreme may be from the known part.
    Raises ValueError for an impossible bar.
    """
    if intrabar != "conservative":
        raise ValueError(f"intrabar {intrabar!r} is not a way to walk a bar; use 'conservative'")
    if not 0 < low <= min(open_, close) <= max(open_, close) <= high:
        raise ValueError(f"impossible bar: open {open_}, high {high}, low {low}, close {close}")
    if start >= end:
        raise ValueError(f"impossible bar: starts {start.isoformat()} and ends {end.isoformat()}")
    row = make_row(state, policy)
    code, price = kernel.walk_bar(
        row, 0, float(open_), float(high), float(low), float(close), to_milliseconds(start), to_milliseconds(end)
    )
    reason = reason_of(code)
    return state_of(row, 0, state), None if reason is None else (reason, _decimal(price))


def make_row(state: GuardState, policy: ExitPolicy) -> Rows:
    """The kernel's row of a state and the policy it runs under, shape (1, WIDTH)."""
    side, sign, entry = state.side, float(state.side.sign), state.entry_price

    def level(percent: Decimal | None) -> float:
        return math.inf if percent is None else sign * float(profit_level(side, entry, percent))

    row = np.empty(kernel.WIDTH)
    row[kernel.ACTIVE] = 1.0
    row[kernel.SIGN] = sign
    row[kernel.BEST] = sign * float(state.best_price)
    row[kernel.STOP] = sign * float(state.stop_price)
    row[kernel.LEVEL] = _CODES[state.stop_level]
    row[kernel.BREAK_EVEN_ARMED] = state.break_even_armed
    row[kernel.TRAILING_ARMED] = state.trailing_armed
    row[kernel.AS_OF] = to_milliseconds(state.as_of)
    row[kernel.TARGET] = level(policy.take_profit_pct)
    row[kernel.DEADLINE] = (
        math.inf
        if policy.max_hold_seconds is None
        else to_milliseconds(state.opened_at) + 1000.0 * policy.max_hold_seconds
    )
    row[kernel.ENTRY] = sign * float(entry)
    row[kernel.BASE_STOP] = level(-policy.stop_loss_pct)
    row[kernel.BREAK_EVEN_AT] = level(policy.break_even_at_pct)
    row[kernel.TRAILING_STOP_DISTANCE] = _fraction(policy.trailing_stop_pct)
    row[kernel.TRAILING_AT] = level(policy.trailing_activation_pct)
    row[kernel.TRAILING_DISTANCE] = _fraction(policy.trailing_distance_pct)
    return row.reshape(1, kernel.WIDTH)


def state_of(rows: Rows, index: int, before: GuardState) -> GuardState:
    """The state in the row that was made from ``before``."""
    row = rows[index]
    sign = row[kernel.SIGN]
    return before.model_copy(
        update={
            "best_price": _decimal(sign * row[kernel.BEST]),
            "stop_price": _decimal(sign * row[kernel.STOP]),
            "stop_level": _REASONS[int(row[kernel.LEVEL])],
            "break_even_armed": bool(row[kernel.BREAK_EVEN_ARMED]),
            "trailing_armed": bool(row[kernel.TRAILING_ARMED]),
            "as_of": _EPOCH + int(row[kernel.AS_OF]) * _MILLISECOND,
        }
    )


def reason_of(code: int) -> ExitReason | None:
    """The reason a kernel's code stands for; None for no exit."""
    return None if code == kernel.NONE else _REASONS[code]


def to_milliseconds(at: datetime) -> float:
    """Whole milliseconds since 1970 UTC, rounded down. Raises ValueError for a naive time."""
    if at.tzinfo is None:
        raise ValueError(f"time {at.isoformat()} must carry a time zone")
    return float((at - _EPOCH) // _MILLISECOND)


def warm_up() -> None:
    """Compile (or load from the cache) every function of the kernel, so that the first trade doesn't pay for it."""
    from domain.exit_rows import GuardRows

    opened_at = _EPOCH
    policy = ExitPolicy(stop_loss_pct=Decimal(10))
    state = GuardState.opened(PositionSide.LONG, Decimal(100), opened_at, policy)
    step_state(state, policy, Decimal(101), opened_at)
    hundred = Decimal(100)
    walk_bar(state, policy, hundred, hundred, hundred, hundred, opened_at, opened_at + _MILLISECOND)
    rows = GuardRows()
    rows.add(state, policy)
    rows.step_all(Decimal(101), opened_at)
    bars = np.full(1, 100.0)
    kernel.walk_bars(make_row(state, policy), 0, bars, bars, bars, bars, np.zeros(1, np.int64), 1)


def _fraction(percent: Decimal | None) -> float:
    return math.inf if percent is None else float(percent / 100)


def _decimal(value: float) -> Decimal:
    # The shortest decimal that reads back as the same float: rows and states convert both ways without loss.
    return Decimal(repr(float(value)))


def _whole_milliseconds(at: datetime) -> datetime:
    return _EPOCH + int(to_milliseconds(at)) * _MILLISECOND


def _check_price(price: float) -> float:
    if not 0 < price < math.inf:
        raise ValueError(f"price {price} must be a number above 0")
    return price
