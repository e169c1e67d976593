"""What can be asked of an account. Every command carries the market time ``at`` at which it arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.core.model import Exit, OrderFilter


@dataclass(frozen=True, slots=True)
class Slippage:
    """How far from the best price a market order may execute: percent of it, or ticks."""

    value: Decimal
    in_percent: bool


@dataclass(frozen=True, slots=True)
class BookPrice:
    """A limit price named by the book: its ``level`` (1 is the best) on the order's own or on the other side."""

    level: int
    counterparty: bool


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order, conditional when ``trigger_price`` is set.

    ``order_type`` is Market or Limit (then ``price``). ``time_in_force`` "" is the default: GTC for a limit, IOC for a
    market order, which may also be FOK; PostOnly is for limits. ``market_unit`` is "" for the default (quoteCoin for a
    spot market buy, baseCoin otherwise). ``qty`` 0 of a reduce-only order that closes on trigger is the whole position.
    ``trigger_direction`` is Bybit's: 1 rises to, 2 falls to the trigger price; 0 not given.
    ``take_profit`` and ``stop_loss`` are attached exits, ``tpsl_mode`` "" their default (Full on linear). ``slippage``
    limits a market order, ``book_price`` stands for ``price``.
    """

    at: datetime
    category: Category
    symbol: str
    side: Side
    order_type: str
    qty: Decimal
    link_id: str = ""
    price: Decimal | None = None
    time_in_force: str = ""
    market_unit: str = ""
    order_filter: OrderFilter = OrderFilter.ORDER
    trigger_price: Decimal | None = None
    trigger_direction: int = 0
    trigger_by: str = "LastPrice"
    reduce_only: bool = False
    close_on_trigger: bool = False
    take_profit: Exit | None = None
    stop_loss: Exit | None = None
    tpsl_mode: str = ""
    slippage: Slippage | None = None
    book_price: BookPrice | None = None
    received_wall_ms: float | None = None


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """Change an open order, named by ``order_id`` or ``link_id``. None leaves a field as it is.

    ``take_profit_price`` and ``stop_loss_price`` 0 take the attached exit away.
    """

    at: datetime
    category: Category
    symbol: str
    order_id: str = ""
    link_id: str = ""
    qty: Decimal | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_by: str | None = None
    take_profit_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    tp_trigger_by: str | None = None
    sl_trigger_by: str | None = None
    tp_limit_price: Decimal | None = None
    sl_limit_price: Decimal | None = None
    tpsl_mode: str | None = None


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
    """Cancel the category's open orders; ``symbol`` None means all symbols, ``order_filter`` None all kinds.

    ``base_coin`` and ``settle_coin`` narrow it where no symbol is given, in this order; ``stop_order_type`` narrows it
    to one kind of conditional order.
    """

    at: datetime
    category: Category
    symbol: str | None = None
    order_filter: OrderFilter | None = None
    base_coin: str = ""
    settle_coin: str = ""
    stop_order_type: str = ""


@dataclass(frozen=True, slots=True)
class SetLeverage:
    at: datetime
    symbol: str
    leverage: Decimal


@dataclass(frozen=True, slots=True)
class SetTradingStop:
    """Exits of a position. None leaves one as it is; a price or distance of 0 takes it away.

    ``mode`` Full sets those of the whole position; Partial adds a pair of orders of ``take_profit.qty`` and
    ``stop_loss.qty``. ``trailing_stop`` is a distance in quote coin, ``active_price`` (0: at once) where it begins.
    """

    at: datetime
    symbol: str
    mode: str = "Full"
    take_profit: Exit | None = None
    stop_loss: Exit | None = None
    trailing_stop: Decimal | None = None
    active_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Deposit:
    at: datetime
    coin: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move ``amount`` between the trading (UNIFIED) and the funding (FUND) account; once per ``transfer_id``."""

    at: datetime
    transfer_id: str
    coin: str
    amount: Decimal
    to_funding: bool


Command = PlaceOrder | AmendOrder | CancelOrder | CancelAll | SetLeverage | SetTradingStop | Deposit | Transfer
