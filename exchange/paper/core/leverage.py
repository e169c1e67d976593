"""Setting the leverage of a symbol, within its risk tier and what the account can carry."""

from __future__ import annotations

from decimal import Decimal

from domain.market import Category
from exchange.paper.core.commands import SetLeverage
from exchange.paper.core.events import Event, WalletChanged
from exchange.paper.core.margin import SETTLE_COIN
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import position_event
from exchange.paper.core.wallet import available, view_wallet
from exchange.paper.instruments import risk_tier

STEP = Decimal("0.01")


def set_leverage(state: AccountState, market: Market, command: SetLeverage) -> list[Event]:
    """Raises Refusal (110013 beyond the tier, 110043 as it is, 110044 too little margin), then nothing has changed."""
    tradable_instrument(market, Category.LINEAR, command.symbol)
    most, before = risk_tier(command.symbol).max_leverage, state.leverage(command.symbol)
    if not 1 <= command.leverage <= most:
        raise Refusal(110013, f"cannot set leverage {command.leverage}: between 1 and {most} by risk limit")
    if command.leverage % STEP:
        raise params_error(f"leverage invalid: {command.leverage} is not a multiple of {STEP}")
    if command.leverage == before:
        raise Refusal(110043, "leverage not modified")
    had = dict(state.leverages)
    state.leverages[command.symbol] = command.leverage
    if command.leverage < before and available(state, market, SETTLE_COIN, command.at) < 0:
        state.leverages = had
        raise Refusal(110044, f"Insufficient available margin for leverage {command.leverage}")
    events = [position_event(state, market, command.symbol, command.at)]
    return [*events, WalletChanged(view_wallet(state, market, command.at))]
