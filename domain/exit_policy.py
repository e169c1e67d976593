"""When to leave a position: the declared policy, the reasons, and the price levels that follow from the entry alone."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.market import PositionSide

_HUNDRED = Decimal(100)

Percent = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
PercentUnderHundred = Annotated[Decimal, Field(gt=0, lt=100, allow_inf_nan=False)]


class ExitReason(StrEnum):
    """Why a position was left. A stop is named after the level that made it."""

    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TRAILING_TAKE_PROFIT = "trailing_take_profit"
    TRAILING_STOP = "trailing_stop"
    BREAK_EVEN = "break_even"
    MAX_HOLD = "max_hold"
    STRATEGY_EXIT = "strategy_exit"
    REGIME_EXIT = "regime_exit"
    MANUAL_CLOSE = "manual_close"
    FLATTEN = "flatten"
    DISASTER_STOP = "disaster_stop"
    LIQUIDATION = "liquidation"
    FOREIGN_CLOSE = "foreign_close"


class ExitPolicy(BaseModel):
    """Exit targets of a position, in percent of its entry price unless said otherwise (``2.5`` = 2.5 %).

    - ``stop_loss_pct``: the stop at the start. Every position has one.
    - ``take_profit_pct``: leave when this far in profit.
    - ``trailing_activation_pct`` with ``trailing_distance_pct``: trailing take-profit. Armed when this far in profit,
      the stop then follows the best price at this distance (percent of the best price).
    - ``trailing_stop_pct``: trailing stop-loss. The stop follows the best price at this distance (percent of the best
      price) from the entry on.
    - ``break_even_at_pct``: when this far in profit, the stop moves to the entry price.
    - ``max_hold_seconds``: leave after this time, whatever the price.
    - ``min_hold_seconds``: a strategy's exit signal waits for this; stops and targets never do.

    Raises pydantic.ValidationError naming the field and the rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_loss_pct: PercentUnderHundred
    take_profit_pct: Percent | None = None
    trailing_activation_pct: Percent | None = None
    trailing_distance_pct: PercentUnderHundred | None = None
    trailing_stop_pct: PercentUnderHundred | None = None
    break_even_at_pct: Percent | None = None
    max_hold_seconds: Annotated[int, Field(gt=0)] | None = None
    min_hold_seconds: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.trailing_activation_pct is None) != (self.trailing_distance_pct is None):
            raise ValueError("trailing_activation_pct and trailing_distance_pct go together: give both or neither")
        if self.take_profit_pct is not None:
            for field in ("trailing_activation_pct", "break_even_at_pct"):
                level = getattr(self, field)
                if level is not None and level >= self.take_profit_pct:
                    raise ValueError(
                        f"{field} {level} must be below take_profit_pct {self.take_profit_pct}, or it has no effect"
                    )
        if self.max_hold_seconds is not None and self.min_hold_seconds > self.max_hold_seconds:
            raise ValueError(
                f"min_hold_seconds {self.min_hold_seconds} must not exceed max_hold_seconds {self.max_hold_seconds}"
            )
        return self

    def check_side(self, side: PositionSide) -> None:
        """Raise ValueError when a target can never be reached on ``side``: a short gains less than 100 %."""
        if side is PositionSide.LONG:
            return
        for field in ("take_profit_pct", "trailing_activation_pct", "break_even_at_pct"):
            level = getattr(self, field)
            if level is not None and level >= _HUNDRED:
                raise ValueError(f"{field} {level} must be below 100 for a short position: a price can't fall further")


def profit_level(side: PositionSide, entry: Decimal, percent: Decimal) -> Decimal:
    """Price at which a position entered at ``entry`` is ``percent`` in profit (negative: in loss). Exact."""
    return entry * (_HUNDRED + side.sign * percent) / _HUNDRED


def stop_price_for(side: PositionSide, entry: Decimal, policy: ExitPolicy) -> Decimal:
    """The stop of a position just entered at ``entry``: the tighter of its two stops. Not on the tick grid."""
    distance = policy.stop_loss_pct
    if policy.trailing_stop_pct is not None:
        distance = min(distance, policy.trailing_stop_pct)
    return profit_level(side, entry, -distance)


def disaster_stop(side: PositionSide, guard_stop_price: Decimal, buffer_pct: Decimal) -> Decimal:
    """Trigger price of the stop resting at the exchange: ``buffer_pct`` percent beyond the guard's stop.

    Not on the tick grid: round it with ``Instrument.price_away_from`` (see ``domain.sizing.disaster_trigger``).
    Raises ValueError unless 0 < buffer_pct < 100.
    """
    if not 0 < buffer_pct < _HUNDRED:
        raise ValueError(f"buffer_pct {buffer_pct} must be above 0 and below 100")
    return profit_level(side, guard_stop_price, -buffer_pct)
