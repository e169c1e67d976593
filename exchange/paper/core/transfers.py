"""Moving coins between the trading (UNIFIED) and the funding (FUND) account."""

from __future__ import annotations

from decimal import Decimal

from exchange.paper.core.commands import Transfer
from exchange.paper.core.events import Event, WalletChanged
from exchange.paper.core.ledger import post_transfer
from exchange.paper.core.model import ZERO
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.core.state import AccountState, Market
from exchange.paper.core.wallet import available, view_wallet

SMALLEST = Decimal("1E-8")


def transfer(state: AccountState, market: Market, command: Transfer) -> list[Event]:
    """Do a transfer once. Raises Refusal (131214: its id was used), then nothing has changed."""
    if not command.transfer_id:
        raise params_error("transferId is required")
    if command.transfer_id in state.transfers:
        raise Refusal(131214, "TransferId exist")
    if command.amount <= 0:
        raise Refusal(131215, f"Amount error: {command.amount} must be above 0")
    if command.amount % SMALLEST:
        raise Refusal(131210, f"Amount accuracy error: {command.amount} has more than 8 decimals")
    if command.amount > transferable(state, market, command):
        raise Refusal(131212, "Insufficient balance")
    signed = -command.amount if command.to_funding else command.amount
    state.transfers.add(command.transfer_id)
    state.funding_balances[command.coin] = state.funding_balances.get(command.coin, ZERO) - signed
    logged = post_transfer(state, command.coin, signed, command.at, command.transfer_id)
    return [logged, WalletChanged(view_wallet(state, market, command.at))]


def transferable(state: AccountState, market: Market, command: Transfer) -> Decimal:
    """What the account that gives may give: of the trading account what no order or position holds."""
    if not command.to_funding:
        return state.funding_balances.get(command.coin, ZERO)
    return max(available(state, market, command.coin, command.at), ZERO)
