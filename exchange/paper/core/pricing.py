"""Limit prices that an order names by the book instead of by a number."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from itertools import islice

from domain.market import Instrument, Side
from exchange.paper.core.commands import PlaceOrder, Slippage
from exchange.paper.core.depth import Take, ladder
from exchange.paper.core.model import ZERO
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import AccountState, Market

DEEPEST_LEVEL = 5
MOST_TICKS = 10_000
LEAST_PERCENT, MOST_PERCENT = Decimal("0.01"), Decimal(10)


def limit_price(state: AccountState, market: Market, instrument: Instrument, command: PlaceOrder) -> Decimal | None:
    """The order's limit price: its own, the book's, or where a market order's tolerance ends; None: no limit."""
    if command.slippage is not None:
        _check_slippage(command, command.slippage)
        best = _level(state, market, instrument, command, command.side, 1)
        return None if best is None else _worst(instrument, command.side, best.price, command.slippage)
    if command.book_price is None:
        return command.price
    if not 1 <= command.book_price.level <= DEEPEST_LEVEL:
        raise params_error(f"bboLevel {command.book_price.level} invalid: 1 to {DEEPEST_LEVEL}")
    side = command.side if command.book_price.counterparty else command.side.opposite
    found = _level(state, market, instrument, command, side, command.book_price.level)
    if found is None:
        raise params_error(f"the book has no level {command.book_price.level}")
    return found.price


def _level(
    state: AccountState, market: Market, instrument: Instrument, command: PlaceOrder, side: Side, number: int
) -> Take | None:
    """The ``number``-th level that a taker on ``side`` would meet now."""
    last = market.last_price(command.category, command.symbol, command.at)
    liquidity = market.liquidity(command.category, command.symbol, command.at)
    taken = state.taken.get((command.category, command.symbol, side), ZERO)
    return next(islice(ladder(instrument, side, last, liquidity, taken), number - 1, None), None)


def _check_slippage(command: PlaceOrder, slippage: Slippage) -> None:
    if command.order_type != "Market" or command.trigger_price is not None:
        raise params_error("slippageTolerance is for market orders without a trigger")
    if slippage.in_percent:
        if not LEAST_PERCENT <= slippage.value <= MOST_PERCENT:
            raise params_error(f"slippageTolerance {slippage.value} invalid: {LEAST_PERCENT} to {MOST_PERCENT} percent")
    elif slippage.value % 1 or not 1 <= slippage.value <= MOST_TICKS:
        raise params_error(f"slippageTolerance {slippage.value} invalid: 1 to {MOST_TICKS} whole ticks")


def _worst(instrument: Instrument, side: Side, best: Decimal, slippage: Slippage) -> Decimal:
    """The worst price within a tolerance from the best one, on the tick grid."""
    away = best * slippage.value / 100 if slippage.in_percent else slippage.value * instrument.tick_size
    if side is Side.BUY:
        return instrument.round_price(best + away, ROUND_DOWN)
    return max(instrument.round_price(best - away, ROUND_UP), instrument.tick_size)
