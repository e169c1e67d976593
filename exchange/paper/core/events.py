"""What came of a command or a tick, in order. Events carry values of their own: later changes don't touch them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from exchange.paper.core.model import ClosedPnl, Execution, LogRow, Order, Position


@dataclass(frozen=True, slots=True)
class Executed:
    execution: Execution


@dataclass(frozen=True, slots=True)
class OrderChanged:
    order: Order


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """``mark`` is the mark price, ``leverage`` the symbol's leverage, ``liquidation`` the price at which the account is
    liquidated (None: at none), at the change."""

    position: Position
    mark: Decimal
    leverage: Decimal
    liquidation: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    row: LogRow


@dataclass(frozen=True, slots=True)
class PnlClosed:
    """What an order has closed so far; each told again as it goes on replaces the one before (same ``order_id``)."""

    closed: ClosedPnl


@dataclass(frozen=True, slots=True)
class CoinView:
    """One coin of the wallet. ``locked`` is what open spot orders hold, ``position_margin`` what positions hold,
    ``order_margin`` what open linear orders hold."""

    coin: str
    balance: Decimal
    equity: Decimal
    usd_value: Decimal
    unrealised: Decimal
    realised: Decimal
    locked: Decimal
    position_margin: Decimal
    order_margin: Decimal = Decimal(0)
    maintenance_margin: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class WalletView:
    """The wallet at an instant; totals are in USD. ``available`` is what new orders may use."""

    at: datetime
    coins: tuple[CoinView, ...]
    equity: Decimal
    balance: Decimal
    available: Decimal
    position_margin: Decimal
    maintenance_margin: Decimal
    unrealised: Decimal
    order_margin: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class WalletChanged:
    wallet: WalletView


Event = Executed | OrderChanged | PositionChanged | PnlClosed | Logged | WalletChanged
