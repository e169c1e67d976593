"""The values of an account: orders, executions, positions, transaction-log rows. Times are market time, aware UTC."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from domain.market import Category, Side

ZERO = Decimal(0)


class OrderStatus(StrEnum):
    """Spelled as Bybit spells them."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"
    PARTIALLY_FILLED_CANCELED = "PartiallyFilledCanceled"
    UNTRIGGERED = "Untriggered"
    TRIGGERED = "Triggered"
    DEACTIVATED = "Deactivated"


OPEN_STATUSES = frozenset(
    {OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.UNTRIGGERED, OrderStatus.TRIGGERED}
)


class OrderFilter(StrEnum):
    """Kinds of order. On spot ``tpslOrder`` locks its funds while it waits for its trigger, ``StopOrder`` does not."""

    ORDER = "Order"
    STOP_ORDER = "StopOrder"
    TPSL_ORDER = "tpslOrder"


@dataclass(frozen=True, slots=True)
class Exit:
    """A take profit or stop loss to come: at which price of which kind it triggers, and what it sends then.

    ``limit_price`` None sends a market order. ``trigger_by`` is LastPrice, MarkPrice or IndexPrice. ``qty`` (base coin)
    None covers the whole position or the whole order.
    """

    trigger_price: Decimal
    trigger_by: str = "LastPrice"
    limit_price: Decimal | None = None
    qty: Decimal | None = None


@dataclass(slots=True)
class Order:
    """An order and how far it got.

    ``qty`` is base coin, except for a spot market order with ``market_unit`` quoteCoin. ``filled_qty`` is base and
    ``filled_value`` quote coin always. ``price`` is the limit price (None: none). ``trigger_rises`` says
    whether the trigger is crossed from below. ``take_profit`` and ``stop_loss`` come into force with its fills, for the
    whole position (``tpsl_mode`` Full), or for what it filled (Partial, and always on spot). ``pair_id`` is the order
    that ends when this one triggers, and the other way round; ``parent_id`` the order whose fill made this one.
    ``trailing`` is the distance of an exchange-made trailing stop: its ``trigger_price`` moves, and is None until
    ``active_price`` is reached. ``closed`` is what it has closed of a linear position so far, and ``closed_pnl`` the
    profit of that, net of fees. ``sequence`` rises with every order made; ``received_wall_ms`` is when the request
    arrived (None: the exchange made it).
    """

    order_id: str
    link_id: str
    category: Category
    symbol: str
    side: Side
    order_type: str
    qty: Decimal
    market_unit: str
    time_in_force: str
    status: OrderStatus
    created_at: datetime
    updated_at: datetime
    sequence: int
    last_price_on_created: Decimal
    create_type: str = "CreateByUser"
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    order_filter: OrderFilter = OrderFilter.ORDER
    stop_order_type: str = ""
    trigger_price: Decimal | None = None
    trigger_rises: bool | None = None
    reduce_only: bool = False
    close_on_trigger: bool = False
    price: Decimal | None = None
    trigger_by: str = "LastPrice"
    take_profit: Exit | None = None
    stop_loss: Exit | None = None
    tpsl_mode: str = ""
    pair_id: str = ""
    parent_id: str = ""
    trailing: Decimal | None = None
    active_price: Decimal | None = None
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    closed_pnl: Decimal = ZERO
    closed: ClosedPnl | None = None
    received_wall_ms: float | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def left(self) -> Decimal:
        """Base coin not yet filled (of an order that counts base coin)."""
        return self.qty - self.filled_qty

    @property
    def in_quote(self) -> bool:
        """Whether ``qty`` counts quote coin."""
        return self.market_unit == "quoteCoin"

    def snapshot(self) -> Order:
        """A copy that later fills don't touch."""
        return replace(self, fees=dict(self.fees))


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill, or a funding settlement (``exec_type`` Funding: ``fee`` is what was paid, negative when received).

    ``fee`` is in ``fee_coin``; ``closed_size`` and ``pnl`` tell what it closed of a linear position. ``order_price`` is
    the limit price (None: market order). ``exec_type`` is Trade, Funding or BustTrade (liquidation).
    """

    sequence: int
    exec_id: str
    order_id: str
    link_id: str
    category: Category
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    fee_rate: Decimal
    exec_type: str
    order_type: str
    order_qty: Decimal
    leaves_qty: Decimal
    stop_order_type: str
    create_type: str
    market_unit: str
    is_maker: bool
    closed_size: Decimal
    pnl: Decimal
    mark_price: Decimal
    at: datetime
    order_price: Decimal | None = None

    @property
    def value(self) -> Decimal:
        """Quote coin exchanged."""
        return self.price * self.qty


@dataclass(frozen=True, slots=True)
class LogRow:
    """One change of one coin's balance: ``change = cash_flow + funding - fee``; ``cash_balance`` is what it left."""

    sequence: int
    row_id: str
    coin: str
    type: str
    category: str
    symbol: str
    side: str
    qty: Decimal
    size: Decimal
    price: Decimal
    cash_flow: Decimal
    funding: Decimal
    fee: Decimal
    fee_rate: Decimal
    change: Decimal
    cash_balance: Decimal
    trade_id: str
    order_id: str
    link_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ClosedPnl:
    """What one order closed of a linear position, so far: values in quote coin, ``pnl`` net of both fees.

    ``open_fee`` is the share of the opening fees, ``side`` the closing order's. ``sequence`` is that of its first
    closing fill.
    """

    sequence: int
    order_id: str
    symbol: str
    side: Side
    order_type: str
    exec_type: str
    order_price: Decimal | None
    qty: Decimal
    closed_size: Decimal
    entry_value: Decimal
    exit_value: Decimal
    open_fee: Decimal
    close_fee: Decimal
    pnl: Decimal
    fill_count: int
    leverage: Decimal
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True)
class Position:
    """A one-way linear position. ``cost`` is the entry value of what is open; flat is ``side`` None, ``size`` 0.

    Keeping the cost instead of the average price makes realised P&L exact: closing the rest releases the rest.
    ``open_fee`` is what was paid in fees for what is open; ``realised`` is all the symbol ever realised, and
    ``realised_before`` what of that was realised before the present position was opened. ``take_profit`` and
    ``stop_loss`` cover the whole of it; ``trailing_stop`` is a distance in quote coin, in force from ``active_price``
    on. The ``*_order_id`` name the orders of the exchange's own that stand for them.
    """

    symbol: str
    side: Side | None = None
    size: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    realised_before: Decimal = ZERO
    open_fee: Decimal = ZERO
    take_profit: Exit | None = None
    stop_loss: Exit | None = None
    trailing_stop: Decimal | None = None
    active_price: Decimal | None = None
    profit_order_id: str = ""
    stop_order_id: str = ""
    trailing_order_id: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    sequence: int = 0

    @property
    def avg_price(self) -> Decimal:
        return self.cost / self.size if self.size else ZERO

    @property
    def sign(self) -> int:
        return 0 if self.side is None else (1 if self.side is Side.BUY else -1)

    def forget_exits(self) -> None:
        """Nothing is left to protect; the orders that stand for the exits go when they are synced."""
        self.take_profit = self.stop_loss = self.trailing_stop = self.active_price = None

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.sign * (mark * self.size - self.cost)
