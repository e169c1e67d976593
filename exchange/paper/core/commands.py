"""What can be asked of an account. Every command carries the market time ``at`` at which it arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.core.model import OrderFilter


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A market order, conditional when ``trigger_price`` is set.

    ``market_unit`` is "" for the default (quoteCoin for a spot buy, baseCoin otherwise). ``trigger_direction`` is
    Bybit's: 1 rises to, 2 falls to the trigger price; 0 not given.
    """

    at: datetime
    category: Category
    symbol: str
    side: Side
    order_type: str
    qty: Decimal
    link_id: str = ""
    market_unit: str = ""
    order_filter: OrderFilter = OrderFilter.ORDER
    trigger_price: Decimal | None = None
    trigger_direction: int = 0
    reduce_only: bool = False
    close_on_trigger: bool = False
    stop_loss: Decimal | None = None
    received_wall_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel by ``order_id`` or ``link_id``. On spot only orders of ``order_filter`` are looked at."""

    at: datetime
    category: Category
    symbol: str
    order_id: str = ""
    link_id: str = ""
    order_filter: OrderFilter | None = None


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Cancel the category's open orders; ``symbol`` None means all symbols, ``order_filter`` None all kinds."""

    at: datetime
    category: Category
    symbol: str | None = None
    order_filter: OrderFilter | None = None


@dataclass(frozen=True, slots=True)
class SetLeverage:
    at: datetime
    symbol: str
    leverage: Decimal


@dataclass(frozen=True, slots=True)
class SetStopLoss:
    """Position-level stop loss; ``stop_loss`` 0 takes it away."""

    at: datetime
    symbol: str
    stop_loss: Decimal


@dataclass(frozen=True, slots=True)
class Deposit:
    at: datetime
    coin: str
    amount: Decimal


Command = PlaceOrder | CancelOrder | CancelAll | SetLeverage | SetStopLoss | Deposit
