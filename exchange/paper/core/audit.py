"""Whether the books balance: the wallet told three ways, from executions, from the log, and as the state has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.closing import add_closed, net
from exchange.paper.core.model import ZERO, ClosedPnl, Execution, LogRow, Position
from exchange.paper.core.state import AccountState, Market

Books = Mapping[str, Decimal]

TRANSFERS = frozenset({"TRANSFER_IN", "TRANSFER_OUT"})


@dataclass(frozen=True)
class Audit:
    """``problems`` is empty when the books balance to the last digit."""

    from_log: Books
    from_executions: Books
    in_state: Books
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def audit(
    state: AccountState,
    market: Market,
    executions: Iterable[Execution],
    rows: Iterable[LogRow],
    closed: Iterable[ClosedPnl] | None = None,
) -> Audit:
    """Add everything up again. ``executions``, ``rows`` and ``closed`` are all there ever were, in order.

    ``closed`` None leaves the closed P&L unchecked.
    """
    fills, log = list(executions), list(rows)
    trades = [fill for fill in fills if fill.exec_type != "Funding"]
    from_log, log_problems = _sum_log(log)
    # what came and went without an execution: transfers, and what the insurance paid
    from_fills = _sum_fills(state, market, fills, [r for r in log if not r.trade_id])
    problems = [
        *log_problems,
        *_size_problems(state, trades),
        *_row_problems(fills, log),
        *_funding_account_problems(state, log),
        *_position_problems(state, fills, closed),
    ]
    for coin in sorted({*from_log, *from_fills, *state.balances}):
        told = {from_log[coin], from_fills[coin], state.balance(coin)}
        if len(told) > 1:
            problems.append(
                f"{coin}: log {from_log[coin]}, executions {from_fills[coin]}, wallet {state.balance(coin)}"
            )
    return Audit(dict(from_log), dict(from_fills), dict(state.balances), tuple(problems))


def _sum_log(log: Iterable[LogRow]) -> tuple[defaultdict[str, Decimal], list[str]]:
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    problems: list[str] = []
    for row in log:
        total[row.coin] += row.change
        if row.change != row.cash_flow + row.funding - row.fee:
            problems.append(f"log row {row.row_id}: change {row.change} is not cash flow + funding - fee")
        if row.cash_balance != total[row.coin]:
            problems.append(f"log row {row.row_id}: balance {row.cash_balance}, rows add up to {total[row.coin]}")
    return total, problems


def _sum_fills(
    state: AccountState, market: Market, fills: Iterable[Execution], others: Iterable[LogRow]
) -> defaultdict[str, Decimal]:
    """The wallet from what was traded: money moves with every fill, and what a position holds is still in it."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in others:
        total[row.coin] += row.change
    for fill in fills:
        total[fill.fee_coin] -= fill.fee
        if fill.exec_type == "Funding":
            continue
        instrument = _instrument(market, fill)
        sign = -1 if fill.side is Side.BUY else 1
        total[instrument.quote_coin] += sign * fill.value
        if fill.category is Category.SPOT:
            total[instrument.base_coin] -= sign * fill.qty
    for position in state.positions.values():
        if position.size:
            instrument = market.instrument(Category.LINEAR, position.symbol)
            assert instrument is not None
            total[instrument.quote_coin] += position.sign * position.cost
    return total


def _instrument(market: Market, fill: Execution) -> Instrument:
    instrument = market.instrument(fill.category, fill.symbol)
    assert instrument is not None, f"execution {fill.exec_id} is of an unknown symbol {fill.symbol}"
    return instrument


def _size_problems(state: AccountState, trades: Iterable[Execution]) -> list[str]:
    signed: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in trades:
        if fill.category is Category.LINEAR:
            signed[fill.symbol] += fill.qty if fill.side is Side.BUY else -fill.qty
    problems: list[str] = []
    for symbol in sorted({*signed, *state.positions}):
        position = state.positions.get(symbol, Position(symbol))
        if signed[symbol] != position.sign * position.size:
            problems.append(f"{symbol}: executions net {signed[symbol]}, position {position.sign * position.size}")
        if not position.size and position.cost != ZERO:
            problems.append(f"{symbol}: flat, but holds cost {position.cost}")
    return problems


def _row_problems(fills: Iterable[Execution], log: Iterable[LogRow]) -> list[str]:
    """Each execution has its log rows and no other; a settlement's row tells what its execution does."""
    by_trade: defaultdict[str, list[LogRow]] = defaultdict(list)
    for row in log:
        if row.trade_id:
            by_trade[row.trade_id].append(row)
    problems: list[str] = []
    for fill in fills:
        rows = by_trade.pop(fill.exec_id, [])
        wanted = 2 if fill.category is Category.SPOT else 1
        if len(rows) != wanted:
            problems.append(f"execution {fill.exec_id}: {len(rows)} log rows, not {wanted}")
        elif fill.exec_type == "Funding" and (rows[0].type, rows[0].funding) != ("SETTLEMENT", -fill.fee):
            problems.append(f"settlement {fill.exec_id}: paid {fill.fee}, its log row tells {rows[0].funding}")
    return problems + [f"log rows of {trade_id}, which was never executed" for trade_id in by_trade]


def _funding_account_problems(state: AccountState, log: Iterable[LogRow]) -> list[str]:
    """The funding account has what transfers brought there; a row without a transfer's id is a deposit from outside."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in log:
        if row.type in TRANSFERS and row.order_id:
            total[row.coin] -= row.change
    coins = sorted({*total, *state.funding_balances})
    return [
        f"{coin}: transfers leave {total[coin]} in the funding account, it has {state.funding_balances.get(coin, ZERO)}"
        for coin in coins
        if total[coin] != state.funding_balances.get(coin, ZERO)
    ]


def _position_problems(
    state: AccountState, fills: Sequence[Execution], closed: Iterable[ClosedPnl] | None
) -> list[str]:
    """Positions and the closed P&L of orders, made again from the executions alone."""
    positions: dict[str, Position] = {}
    orders: dict[str, ClosedPnl] = {}
    for fill in fills:
        if fill.category is not Category.LINEAR:
            continue
        position = positions.setdefault(fill.symbol, Position(fill.symbol))
        if fill.exec_type == "Funding":
            position.realised -= fill.fee
            continue
        done = net(position, fill.side, fill.qty, fill.price, fill.fee, fill.at)
        position.realised += done.pnl - fill.fee
        if done.size:
            # the leverage and when the order was made are not in an execution, and are no part of what is compared
            orders[fill.order_id] = add_closed(orders.get(fill.order_id), fill, done, ZERO, fill.at)
    problems = [
        f"{symbol}: executions make {_figures(made)}, the position is {_figures(state.position(symbol))}"
        for symbol, made in sorted(positions.items())
        if _figures(made) != _figures(state.position(symbol))
    ]
    if closed is not None:
        problems += _closed_problems(orders, {row.order_id: row for row in closed})
    return problems


def _figures(position: Position) -> tuple[Decimal, ...]:
    return position.size, position.cost, position.open_fee, position.realised


def _closed_problems(made: Mapping[str, ClosedPnl], told: Mapping[str, ClosedPnl]) -> list[str]:
    return [
        f"closed P&L of order {order_id}: executions make {_sums(made.get(order_id))}, told {_sums(told.get(order_id))}"
        for order_id in sorted({*made, *told})
        if _sums(made.get(order_id)) != _sums(told.get(order_id))
    ]


def _sums(closed: ClosedPnl | None) -> tuple[Decimal, ...]:
    if closed is None:
        return ()
    return (
        closed.closed_size,
        closed.entry_value,
        closed.exit_value,
        closed.open_fee,
        closed.close_fee,
        closed.pnl,
        Decimal(closed.fill_count),
    )
