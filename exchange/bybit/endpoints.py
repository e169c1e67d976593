"""Which of the exchange's limits a call counts for. One table; what the exchange tells of a limit replaces its number.

The numbers are those of Bybit's page on rate limits for a unified account without an upgrade. Endpoints that are
limited by address alone (market data) are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.market import Category

ADDRESS_REQUESTS, ADDRESS_SECONDS = 500, 5.0
"""Of all HTTP requests of an address. Bybit says 600; what else runs there shall have some."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A class of calls with a limit of its own. ``reserves``: entries leave a part of it to exits."""

    name: str
    per_second: int
    reserves: bool = False


def _orders(name: str, reserves: bool = False) -> dict[str, Endpoint]:
    """The order endpoints count spot and linear apart."""
    limits = {Category.LINEAR: 10, Category.SPOT: 20}
    return {category.value: Endpoint(f"{name} {category.value}", limits[category], reserves) for category in Category}


_ENDPOINTS: Mapping[str, Endpoint | Mapping[str, Endpoint]] = {
    "place_order": _orders("place", reserves=True),
    "amend_order": Endpoint("amend", 10),
    "cancel_order": _orders("cancel"),
    "cancel_all_orders": _orders("cancel all"),
    "set_trading_stop": Endpoint("trading stop", 10),
    "set_leverage": Endpoint("leverage", 10),
    "get_open_orders": Endpoint("orders", 50),
    "get_order_history": Endpoint("order history", 50),
    "get_executions": Endpoint("executions", 50),
    "get_positions": Endpoint("positions", 50),
    "get_wallet_balance": Endpoint("wallet", 50),
    "get_transaction_log": Endpoint("transaction log", 30),
    "get_api_key_information": Endpoint("key", 10),
}


def endpoint_of(method: str, category: str | None) -> Endpoint | None:
    """The class of a call by pybit's name of it; None for market data."""
    found = _ENDPOINTS.get(method)
    return found[category or Category.LINEAR.value] if isinstance(found, Mapping) else found
