"""An account reckoned anew from what the exchange tells: a second opinion that shares no arithmetic with it.

It knows the rules of spot and of USDT perpetuals with one-way positions, and only hears what any client hears:
executions, orders, transaction-log rows. Whatever disagrees is an AssertionError with the figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.core.events import Event, Executed, Logged, OrderChanged
from exchange.paper.core.model import Execution, LogRow, Order, OrderFilter, OrderStatus
from exchange.paper.core.state import AccountState

D = Decimal
ZERO = D(0)
QUOTE = "USDT"
TAKER = {Category.SPOT: D("0.001"), Category.LINEAR: D("0.00055")}
MAKER = {Category.SPOT: D("0.001"), Category.LINEAR: D("0.0002")}
FINAL = {
    OrderStatus.FILLED,
    OrderStatus.CANCELLED,
    OrderStatus.REJECTED,
    OrderStatus.PARTIALLY_FILLED_CANCELED,
    OrderStatus.DEACTIVATED,
}
ROUNDING = D("1E-9")  # a released share of a position's cost is cut to ten places, a fill at a time


@dataclass
class ModelPosition:
    """``signed`` size, and what it cost with the sign of the size; ``realised`` before fees and funding."""

    signed: Decimal = ZERO
    cash: Decimal = ZERO
    realised: Decimal = ZERO
    average: Decimal = ZERO


@dataclass
class AccountModel:
    """What the account must be, from everything told so far."""

    deposits: dict[str, Decimal]
    from_fills: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    from_log: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    outside: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positions: defaultdict[str, ModelPosition] = field(default_factory=lambda: defaultdict(ModelPosition))
    orders: dict[str, Order] = field(default_factory=dict)
    filled: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    executions: list[Execution] = field(default_factory=list)
    rows: list[LogRow] = field(default_factory=list)

    def hear(self, events: Iterable[Event]) -> list[Execution]:
        """Take in what was told, in order; the executions among it."""
        fills: list[Execution] = []
        for event in events:
            match event:
                case Executed(execution=fill):
                    fills.append(fill)
                    self._hear_fill(fill)
                case OrderChanged(order=order):
                    self._hear_order(order)
                case Logged(row=row):
                    self._hear_row(row)
        return fills

    def _hear_fill(self, fill: Execution) -> None:
        self.executions.append(fill)
        if fill.exec_type == "Funding":
            self.from_fills[QUOTE] -= fill.fee
            return
        rate = (MAKER if fill.is_maker else TAKER)[fill.category]
        value = fill.price * fill.qty
        buys = fill.side is Side.BUY
        if fill.category is Category.SPOT:
            base = fill.symbol.removesuffix(QUOTE)
            assert fill.fee_coin == (base if buys else QUOTE)
            assert fill.fee == (fill.qty if buys else value) * rate
            self.from_fills[base] += fill.qty if buys else -fill.qty
            self.from_fills[QUOTE] += -value if buys else value
        else:
            assert (fill.fee_coin, fill.fee) == (QUOTE, value * rate)
            self._hear_linear(fill, value if buys else -value)
            self.from_fills[QUOTE] += fill.pnl
        self.from_fills[fill.fee_coin] -= fill.fee
        self.filled[fill.order_id] += fill.qty

    def _hear_linear(self, fill: Execution, signed_value: Decimal) -> None:
        position = self.positions[fill.symbol]
        signed = fill.qty if fill.side is Side.BUY else -fill.qty
        closes = min(abs(position.signed), fill.qty) if position.signed * signed < 0 else ZERO
        assert fill.closed_size == closes
        direction = 1 if position.signed > 0 else -1
        gain = direction * (fill.price - position.average) * closes
        assert abs(gain - fill.pnl) <= ROUNDING * 10, f"closed {closes} for {fill.pnl}, at the average it makes {gain}"
        position.cash += signed_value
        position.realised += fill.pnl
        position.signed += signed
        if not position.signed:
            assert position.cash + position.realised == 0 or abs(position.cash + position.realised) < ROUNDING
            position.cash = position.realised = position.average = ZERO
        else:
            # what is open cost what went out for it, less what closing gave back beyond its profit
            position.average = abs(position.cash + position.realised) / abs(position.signed)

    def _hear_order(self, order: Order) -> None:
        before = self.orders.get(order.order_id)
        if before is not None:
            assert before.status not in FINAL, f"{order.order_id} was {before.status} and is told again"
            assert order.filled_qty >= before.filled_qty
        assert order.filled_qty == self.filled[order.order_id]
        assert order.in_quote or order.filled_qty <= order.qty
        if order.status is OrderStatus.FILLED and not order.in_quote:
            assert order.filled_qty == order.qty
        self.orders[order.order_id] = order

    def _hear_row(self, row: LogRow) -> None:
        self.rows.append(row)
        self.from_log[row.coin] += row.change
        assert row.change == row.cash_flow + row.funding - row.fee
        assert row.cash_balance == self.from_log[row.coin]
        if row.type not in ("TRADE", "SETTLEMENT") and not row.trade_id:  # deposits, transfers, what the insurance paid
            self.outside[row.coin] += row.change

    def agree(self, state: AccountState) -> None:
        """Wallet, positions and open orders are what the telling adds up to, to the last digit."""
        coins = {*self.from_fills, *self.from_log, *state.balances}
        for coin in sorted(coins):
            told = self.from_fills[coin] + self.outside[coin], self.from_log[coin], state.balance(coin)
            assert len(set(told)) == 1, f"{coin}: executions, log, wallet say {told}"
        for symbol in {*self.positions, *state.positions}:
            mine, position = self.positions[symbol], state.position(symbol)
            assert mine.signed == position.sign * position.size, f"{symbol}: {mine.signed} against {position}"
            assert abs(mine.cash + mine.realised - position.sign * position.cost) < ROUNDING
        assert {o.order_id for o in self.orders.values() if o.status not in FINAL} == set(state.orders)

    def locked(self, coin: str) -> Decimal:
        """What open spot orders hold of a coin: limits what they would pay, stops that lock what they would send."""
        total = ZERO
        for order in self.orders.values():
            if order.status in FINAL or order.category is not Category.SPOT:
                continue
            waits = order.status is OrderStatus.UNTRIGGERED
            if waits and order.order_filter is not OrderFilter.TPSL_ORDER:
                continue
            base = order.symbol.removesuffix(QUOTE)
            if order.side is Side.SELL and coin == base:
                total += order.left
            elif order.side is Side.BUY and coin == QUOTE:
                total += order.qty if order.in_quote else (order.price or order.trigger_price or ZERO) * order.left
        return total
