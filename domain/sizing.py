"""How much to order, and where the resting stop goes, within the instrument's filters."""

from __future__ import annotations

from decimal import Decimal

from domain.exit_policy import disaster_stop
from domain.ledger import split_dust
from domain.market import FilterViolation, Instrument, PositionSide


def entry_qty(instrument: Instrument, usd: Decimal, price: Decimal) -> Decimal:
    """Base coin to order for about ``usd`` (quote coin) at ``price``: the largest quantity on the step not above it.

    Raises FilterViolation naming ``symbol`` when the instrument isn't tradable, ``price`` when it isn't above 0, and
    ``usd`` when the amount isn't above 0 or buys too little or too much for one market order.
    """
    if not instrument.tradable:
        raise FilterViolation("symbol", f"{instrument.symbol} ({instrument.category.value}) is not open for trading")
    if not price.is_finite() or price <= 0:
        raise FilterViolation("price", f"{price} must be above 0")
    if not usd.is_finite() or usd <= 0:
        raise FilterViolation("usd", f"{usd} must be above 0")
    qty = instrument.floor_qty(usd / price)
    try:
        instrument.check_qty(qty, price)
    except FilterViolation as violation:
        raise FilterViolation(
            "usd", f"{usd} {instrument.quote_coin} at {price} orders {qty} {instrument.base_coin}: {violation.rule}"
        ) from violation
    return qty


def exit_qty(instrument: Instrument, held: Decimal) -> tuple[Decimal, Decimal]:
    """``held`` base coin as (what one market order can close, what is left after it: dust, or more to close).

    The first is 0 when ``held`` is under the instrument's minimum order quantity. Raises ValueError for a negative
    quantity.
    """
    if held < 0:
        raise ValueError(f"held {held} must not be negative")
    sellable, _ = split_dust(held, instrument.qty_step)
    sellable = min(sellable, instrument.floor_qty(instrument.max_market_qty))
    if sellable < instrument.min_order_qty:
        sellable = Decimal(0)
    return sellable, held - sellable


def stop_qty(instrument: Instrument, held: Decimal, trigger: Decimal) -> Decimal:
    """What a stop order at ``trigger`` sells of ``held`` base coin; 0 when the exchange takes no order so small."""
    qty, _ = exit_qty(instrument, held)
    return qty if qty * trigger >= instrument.min_order_amount else Decimal(0)


def disaster_trigger(
    instrument: Instrument, side: PositionSide, guard_stop_price: Decimal, buffer_pct: Decimal
) -> Decimal:
    """Trigger of the stop that rests at the exchange, on the tick grid, never tighter than the buffer asks.

    Raises ValueError for a buffer out of range, FilterViolation when the trigger would not be above 0.
    """
    trigger = instrument.price_away_from(disaster_stop(side, guard_stop_price, buffer_pct), side)
    instrument.check_price(trigger, "stop_price")
    return trigger
