"""Whether the books balance: the wallet told three ways, from executions, from the log, and as the state has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.model import ZERO, Execution, LogRow, Position
from exchange.paper.core.state import AccountState, Market

Books = Mapping[str, Decimal]


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


def audit(state: AccountState, market: Market, executions: Iterable[Execution], rows: Iterable[LogRow]) -> Audit:
    """Add everything up again. ``executions`` and ``rows`` are all there ever were, in order."""
    fills, log = list(executions), list(rows)
    from_log, log_problems = _sum_log(log)
    from_fills = _sum_fills(state, market, fills, [r for r in log if r.type != "TRADE"])
    problems = [*log_problems, *_size_problems(state, fills)]
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
    state: AccountState, market: Market, fills: Iterable[Execution], transfers: Iterable[LogRow]
) -> defaultdict[str, Decimal]:
    """The wallet from what was traded: money moves with every fill, and what a position holds is still in it."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in transfers:
        total[row.coin] += row.change
    for fill in fills:
        instrument = _instrument(market, fill)
        sign = -1 if fill.side is Side.BUY else 1
        total[instrument.quote_coin] += sign * fill.value
        if fill.category is Category.SPOT:
            total[instrument.base_coin] -= sign * fill.qty
        total[fill.fee_coin] -= fill.fee
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


def _size_problems(state: AccountState, fills: Iterable[Execution]) -> list[str]:
    net: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        if fill.category is Category.LINEAR:
            net[fill.symbol] += fill.qty if fill.side is Side.BUY else -fill.qty
    problems: list[str] = []
    for symbol in sorted({*net, *state.positions}):
        position = state.positions.get(symbol, Position(symbol))
        if net[symbol] != position.sign * position.size:
            problems.append(f"{symbol}: executions net {net[symbol]}, position {position.sign * position.size}")
        if not position.size and position.cost != ZERO:
            problems.append(f"{symbol}: flat, but holds cost {position.cost}")
    return problems
