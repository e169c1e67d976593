"""How far from the market a limit price may lie."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import NamedTuple

from domain.market import Category, Instrument, Side
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.state import Market, tradable_instrument
from exchange.paper.instruments import price_limit_ratios


class Band(NamedTuple):
    """The lowest price a sell and the highest a buy may ask for."""

    lowest_sell: Decimal
    highest_buy: Decimal


def price_band(market: Market, category: Category, symbol: str, now: datetime) -> Band:
    """Bybit's band: ``max(index, reference * (1 + x))``, but at most ``reference * (1 + y)``, and the same below.

    The reference is the mark price of a perpetual and the last price on spot, which has no index of its own.
    """
    x, y = price_limit_ratios(category)
    if category is Category.SPOT:
        reference = index = market.last_price(category, symbol, now)
    else:
        reference, index = market.mark_price(symbol, now), market.index_price(symbol, now)
    highest = min(max(index, reference * (1 + x)), reference * (1 + y))
    lowest = max(min(index, reference * (1 - x)), reference * (1 - y))
    instrument = tradable_instrument(market, category, symbol)
    return Band(instrument.round_price(lowest, ROUND_UP), instrument.round_price(highest, ROUND_DOWN))


def price_in_band(market: Market, instrument: Instrument, side: Side, price: Decimal, now: datetime) -> Decimal:
    """The limit price as the exchange takes it: moved into the band on linear, refused beyond it on spot."""
    band = price_band(market, instrument.category, instrument.symbol, now)
    if side is Side.BUY and price > band.highest_buy:
        if instrument.category is Category.SPOT:
            raise Refusal(170193, f"Buy order price cannot be higher than {band.highest_buy}.")
        return band.highest_buy
    if side is Side.SELL and price < band.lowest_sell:
        if instrument.category is Category.SPOT:
            raise Refusal(170194, f"Sell order price cannot be lower than {band.lowest_sell}.")
        return band.lowest_sell
    return price
