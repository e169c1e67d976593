"""The paper exchange's instruments: Bybit's filters for well-known symbols, others derived from their price.

Derived filters: the tick is five significant digits of the reference price; the linear quantity step is the largest
power of ten worth at most 1 quote coin, the spot base precision the largest worth at most 0.01; the minimum order is
one step and 5 quote coins; the largest market order is about 5,000,000 quote coins, to one significant digit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from domain.market import Category, Instrument

_QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC", "ETH")
_MIN_AMOUNT = Decimal(5)
_MAX_MARKET_AMOUNT = Decimal(5_000_000)
_LIMIT_FACTOR = _POST_ONLY_FACTOR = 10  # limit orders may be this many times the largest market order


class RiskTier(NamedTuple):
    """A perpetual's one risk tier: position value it is meant for (quote coin), margin rates, and largest leverage."""

    limit: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal
    max_leverage: Decimal


_LARGE_TIER = RiskTier(Decimal(2_000_000), Decimal("0.01"), Decimal("0.005"), Decimal(100))
_TIER = RiskTier(Decimal(1_000_000), Decimal("0.02"), Decimal("0.01"), Decimal(50))
_LARGE = frozenset({"BTCUSDT", "ETHUSDT"})


def risk_tier(symbol: str) -> RiskTier:
    return _LARGE_TIER if symbol in _LARGE else _TIER


class _Filters(NamedTuple):
    """Per symbol: linear tick and quantity step, spot tick and base precision, and a typical price."""

    linear_tick: str
    linear_step: str
    spot_tick: str
    spot_step: str
    price: str


class PriceLimitRatios(NamedTuple):
    """How far a limit price may lie from the market, Bybit's ratios X and Y."""

    x: Decimal
    y: Decimal


_PRICE_LIMITS = {
    Category.SPOT: PriceLimitRatios(Decimal("0.01"), Decimal("0.02")),
    Category.LINEAR: PriceLimitRatios(Decimal("0.05"), Decimal("0.1")),
}


_KNOWN = {
    "BTCUSDT": _Filters("0.10", "0.001", "0.01", "0.000001", "60000"),
    "ETHUSDT": _Filters("0.01", "0.01", "0.01", "0.00001", "3000"),
    "SOLUSDT": _Filters("0.010", "0.1", "0.01", "0.001", "150"),
    "XRPUSDT": _Filters("0.0001", "0.1", "0.0001", "0.01", "2"),
    "DOGEUSDT": _Filters("0.00001", "1", "0.00001", "0.1", "0.2"),
    "ADAUSDT": _Filters("0.0001", "1", "0.0001", "0.01", "0.6"),
    "LINKUSDT": _Filters("0.001", "0.1", "0.001", "0.001", "15"),
    "LTCUSDT": _Filters("0.01", "0.1", "0.01", "0.00001", "90"),
    "DOTUSDT": _Filters("0.0001", "0.1", "0.0001", "0.001", "5"),
    "TRXUSDT": _Filters("0.00001", "1", "0.00001", "0.01", "0.25"),
    "XLMUSDT": _Filters("0.00001", "1", "0.00001", "0.1", "0.25"),
    "BNBUSDT": _Filters("0.10", "0.01", "0.1", "0.0001", "600"),
    "AVAXUSDT": _Filters("0.001", "0.1", "0.001", "0.001", "25"),
    "SUIUSDT": _Filters("0.0001", "10", "0.0001", "0.01", "3"),
    "AAVEUSDT": _Filters("0.01", "0.01", "0.01", "0.0001", "250"),
}


def typical_price(symbol: str) -> Decimal | None:
    """A plausible price of a well-known symbol, for markets that need one to begin with."""
    known = _KNOWN.get(symbol)
    return Decimal(known.price) if known else None


def split_symbol(symbol: str) -> tuple[str, str]:
    """(base coin, quote coin): ``BTCUSDT`` -> ``("BTC", "USDT")``. Raises ValueError when no known quote ends it."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    raise ValueError(f"symbol {symbol!r} does not end in one of the quote coins {', '.join(_QUOTES)}")


def _power_of_ten_at_most(value: Decimal) -> Decimal:
    return Decimal(1).scaleb(value.adjusted())


def make_instrument(category: Category, symbol: str, reference_price: Decimal) -> Instrument:
    """The instrument of a symbol; ``reference_price`` (quote coin) scales what the table does not know."""
    base, quote = split_symbol(symbol)
    linear = category is Category.LINEAR
    known = _KNOWN.get(symbol)
    if known:
        tick = Decimal(known.linear_tick if linear else known.spot_tick)
        step = Decimal(known.linear_step if linear else known.spot_step)
    else:
        tick = Decimal(1).scaleb(reference_price.adjusted() - 4)
        step = _power_of_ten_at_most((Decimal(1) if linear else Decimal("0.01")) / reference_price)
    largest = _MAX_MARKET_AMOUNT / (Decimal(known.price) if known else reference_price)
    unit = max(_power_of_ten_at_most(largest), step)
    return Instrument(
        category=category,
        symbol=symbol,
        base_coin=base,
        quote_coin=quote,
        tick_size=tick,
        qty_step=step,
        min_order_qty=step,
        min_order_amount=_MIN_AMOUNT,
        max_market_qty=Decimal(format((largest / unit).to_integral_value() * unit, "f")),
    )


def max_order_qty(instrument: Instrument, order_type: str, time_in_force: str = "") -> Decimal:
    """The largest order (base coin) of a kind; ``instruments-info`` tells the same."""
    if order_type == "Market":
        return instrument.max_market_qty
    return instrument.max_market_qty * (_POST_ONLY_FACTOR if time_in_force == "PostOnly" else _LIMIT_FACTOR)


def max_order_amount() -> Decimal:
    """The largest spot limit order in quote coin."""
    return _MAX_MARKET_AMOUNT * 2


def max_price(instrument: Instrument) -> Decimal:
    """The highest price an order may name."""
    return instrument.tick_size * 19_999_998


def price_limit_ratios(category: Category) -> PriceLimitRatios:
    """The ratios that ``instruments-info`` tells."""
    return _PRICE_LIMITS[category]


def risk_row(symbol: str) -> dict[str, Any]:
    """An entry of ``market/risk-limit``, in Bybit's shape."""
    tier = risk_tier(symbol)
    return {
        "id": 1,
        "symbol": symbol,
        "riskLimitValue": wire(tier.limit),
        "maintenanceMargin": wire(tier.maintenance_rate),
        "initialMargin": wire(tier.initial_rate),
        "section": [],
        "isLowestRisk": 1,
        "maxLeverage": format(tier.max_leverage, ".2f"),
        "mmDeduction": "",
    }


def spot_row(instrument: Instrument) -> dict[str, Any]:
    """An entry of ``instruments-info`` for spot, in Bybit's shape."""
    return {
        "symbol": instrument.symbol,
        "baseCoin": instrument.base_coin,
        "quoteCoin": instrument.quote_coin,
        "innovation": "0",
        "status": "Trading" if instrument.tradable else "Closed",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": wire(instrument.qty_step),
            "quotePrecision": "0.00000001",
            "minOrderQty": wire(instrument.min_order_qty),
            "maxOrderQty": wire(max_order_qty(instrument, "Limit")),
            "minOrderAmt": wire(instrument.min_order_amount),
            "maxOrderAmt": wire(max_order_amount()),
            "maxLimitOrderQty": wire(max_order_qty(instrument, "Limit")),
            "maxMarketOrderQty": wire(instrument.max_market_qty),
            "postOnlyMaxLimitOrderSize": wire(max_order_qty(instrument, "Limit", "PostOnly")),
        },
        "priceFilter": {"tickSize": wire(instrument.tick_size)},
        "riskParameters": _risk_parameters(instrument.category),
        "symbolType": "",
    }


def linear_row(instrument: Instrument) -> dict[str, Any]:
    """An entry of ``instruments-info`` for USDT perpetuals, in Bybit's shape."""
    leverage = format(risk_tier(instrument.symbol).max_leverage, ".2f")
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if instrument.tradable else "Closed",
        "baseCoin": instrument.base_coin,
        "quoteCoin": instrument.quote_coin,
        "launchTime": "1577836800000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(-_exponent(instrument.tick_size), 0)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": leverage, "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": wire(instrument.tick_size),
            "maxPrice": wire(max_price(instrument)),
            "tickSize": wire(instrument.tick_size),
        },
        "lotSizeFilter": {
            "maxOrderQty": wire(max_order_qty(instrument, "Limit")),
            "minOrderQty": wire(instrument.min_order_qty),
            "qtyStep": wire(instrument.qty_step),
            "postOnlyMaxOrderQty": wire(max_order_qty(instrument, "Limit", "PostOnly")),
            "maxMktOrderQty": wire(instrument.max_market_qty),
            "minNotionalValue": wire(instrument.min_order_amount),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.quote_coin,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": _risk_parameters(instrument.category),
        "symbolType": "",
    }


def _risk_parameters(category: Category) -> dict[str, str]:
    ratios = price_limit_ratios(category)
    return {"priceLimitRatioX": wire(ratios.x), "priceLimitRatioY": wire(ratios.y)}


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is not finite")
    return exponent


def wire(number: Decimal) -> str:
    """A number as Bybit writes it: plain digits, never an exponent."""
    return format(number, "f")
