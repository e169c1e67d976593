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
    """Kinds of order; ``tpslOrder`` (which locks funds) is known by name only."""

    ORDER = "Order"
    STOP_ORDER = "StopOrder"
    TPSL_ORDER = "tpslOrder"


@dataclass(slots=True)
class Order:
    """An order and how far it got.

    ``qty`` is base coin, except for a spot market buy with ``market_unit`` quoteCoin. ``filled_qty`` is base and
    ``filled_value`` quote coin always. ``trigger_rises`` says whether the trigger is crossed from below. ``sequence``
    rises with every order made; ``received_wall_ms`` is when the request arrived (None: the exchange made it).
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
    stop_loss: Decimal | None = None
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: dict[str, Decimal] = field(default_factory=dict)
    closed_pnl: Decimal = ZERO
    received_wall_ms: float | None = None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def in_quote(self) -> bool:
        """Whether ``qty`` counts quote coin."""
        return self.market_unit == "quoteCoin"

    def snapshot(self) -> Order:
        """A copy that later fills don't touch."""
        return replace(self, fees=dict(self.fees))


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. ``fee`` is in ``fee_coin``; ``closed_size`` and ``pnl`` tell what it closed of a linear position."""

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


@dataclass(slots=True)
class Position:
    """A one-way linear position. ``cost`` is the entry value of what is open; flat is ``side`` None, ``size`` 0.

    Keeping the cost instead of the average price makes realised P&L exact: closing the rest releases the rest.
    """

    symbol: str
    side: Side | None = None
    size: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    stop_loss: Decimal | None = None
    stop_order_id: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    sequence: int = 0

    @property
    def avg_price(self) -> Decimal:
        return self.cost / self.size if self.size else ZERO

    @property
    def sign(self) -> int:
        return 0 if self.side is None else (1 if self.side is Side.BUY else -1)

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.sign * (mark * self.size - self.cost)
