"""Entering a position: whether it may be entered at all, how large, and the stops that protect it."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from domain.exit_policy import ExitPolicy, stop_price_for
from domain.market import Category, FilterViolation, Instrument, PositionSide
from domain.sizing import disaster_trigger, entry_qty, exit_qty

SPOT_FEE_RATE = Decimal("0.001")
"""Highest taker fee of a spot account: on a buy it is taken out of the base coin received."""


class EntryPlan(BaseModel):
    """Quantity to order (base coin) and where the stop at the exchange belongs, seen from the price before the fill."""

    model_config = ConfigDict(frozen=True)

    qty: Decimal
    disaster_stop: Decimal


def plan_entry(
    instrument: Instrument,
    side: PositionSide,
    price: Decimal,
    policy: ExitPolicy,
    disaster_buffer_pct: Decimal,
    *,
    usd: Decimal | None,
    qty: Decimal | None,
) -> EntryPlan:
    """The plan for an entry of ``usd`` (quote coin) or ``qty`` (base coin) near ``price``.

    Raises FilterViolation naming the field and the rule, also when what would be bought could not be sold again at its
    own stop: a position that cannot be closed must not be opened.
    """
    if instrument.category is Category.SPOT and side is PositionSide.SHORT:
        raise FilterViolation("side", "spot positions are long only: use category linear for a short")
    try:
        policy.check_side(side)
    except ValueError as error:
        raise FilterViolation("policy", str(error)) from error
    wanted = _wanted_qty(instrument, price, usd, qty)
    stop = resting_stop(instrument, side, price, policy, disaster_buffer_pct)
    if instrument.category is Category.SPOT:
        _check_sellable(instrument, wanted, stop, "qty" if usd is None else "usd")
    return EntryPlan(qty=wanted, disaster_stop=stop)


def _wanted_qty(instrument: Instrument, price: Decimal, usd: Decimal | None, qty: Decimal | None) -> Decimal:
    if usd is not None and qty is None:
        return entry_qty(instrument, usd, price)
    if qty is None or usd is not None:
        raise FilterViolation("usd", "give either usd or qty")
    if not instrument.tradable:
        raise FilterViolation("symbol", f"{instrument.symbol} is not trading on {instrument.category}")
    instrument.check_qty(qty, price)
    return qty


def _check_sellable(instrument: Instrument, qty: Decimal, stop: Decimal, field: str) -> None:
    left, _ = exit_qty(instrument, qty * (1 - SPOT_FEE_RATE))
    if left == 0 or left * stop < instrument.min_order_amount:
        raise FilterViolation(
            field,
            f"too small to be sold again at its stop {stop}: {left} {instrument.base_coin} after fees is under the "
            f"minimum of {instrument.min_order_qty} {instrument.base_coin} or {instrument.min_order_amount} "
            f"{instrument.quote_coin}",
        )


def resting_stop(
    instrument: Instrument, side: PositionSide, price: Decimal, policy: ExitPolicy, disaster_buffer_pct: Decimal
) -> Decimal:
    """Trigger price of the stop at the exchange for an entry at ``price``: beyond the guard's first stop, on the grid.

    Raises FilterViolation when it would not be above 0.
    """
    return disaster_trigger(instrument, side, stop_price_for(side, price, policy), disaster_buffer_pct)
