"""The account as a function: a command or a tick goes in, the events that came of it come out.

The state given is changed in place. ``apply`` either returns its events or raises ``Refusal`` with the state as it was;
the same state, market and input always give the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exchange.paper.core.amending import amend
from exchange.paper.core.cancelling import cancel, cancel_all
from exchange.paper.core.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Deposit,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
    Transfer,
)
from exchange.paper.core.events import Event, WalletChanged
from exchange.paper.core.ledger import post_deposit
from exchange.paper.core.leverage import set_leverage
from exchange.paper.core.model import Order
from exchange.paper.core.placing import place
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.ticking import apply_tick
from exchange.paper.core.trading_stop import set_trading_stop
from exchange.paper.core.transfers import transfer
from exchange.paper.core.wallet import view_wallet

__all__ = ["Applied", "apply", "apply_tick"]


@dataclass(frozen=True)
class Applied:
    """What a command did. ``orders`` are the orders it was about, as accepted or cancelled."""

    events: list[Event]
    orders: list[Order] = field(default_factory=list)


def apply(state: AccountState, market: Market, command: Command) -> Applied:
    """Do one command. Raises Refusal, and then nothing has changed."""
    match command:
        case PlaceOrder():
            order, events = place(state, market, command)
            return Applied(events, [order.snapshot()])
        case AmendOrder():
            order, events = amend(state, market, command)
            return Applied(events, [order.snapshot()])
        case CancelOrder():
            order, events = cancel(state, market, command)
            return Applied(events, [order.snapshot()])
        case CancelAll():
            orders, events = cancel_all(state, market, command)
            return Applied(events, [order.snapshot() for order in orders])
        case SetLeverage():
            return Applied(set_leverage(state, market, command))
        case SetTradingStop():
            return Applied(set_trading_stop(state, market, command))
        case Deposit():
            if command.amount <= 0:
                raise params_error(f"amount {command.amount} must be above 0")
            logged = post_deposit(state, command.coin, command.amount, command.at)
            return Applied([logged, WalletChanged(view_wallet(state, market, command.at))])
        case Transfer():
            return Applied(transfer(state, market, command))
