"""Funding of open perpetual positions, paid between longs and shorts at 00, 08 and 16 h market time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from domain.market import Category
from exchange.paper.core.events import Event, Executed, WalletChanged
from exchange.paper.core.ledger import post_funding
from exchange.paper.core.model import ZERO, Execution, Position
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import position_event
from exchange.paper.core.wallet import view_wallet

INTERVAL = timedelta(hours=8)
QUANTUM = Decimal("1E-8")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_settlement(after: datetime) -> datetime:
    """The first funding instant after ``after``."""
    return _EPOCH + ((after - _EPOCH) // INTERVAL + 1) * INTERVAL


def settle(state: AccountState, market: Market, at: datetime) -> list[Event]:
    """Settle every open position at the funding instant ``at``: its value at the mark price, times the rate.

    A positive rate is paid by longs and received by shorts, a negative one the other way round. Rounded to 8 decimals.
    """
    held = [position for _, position in sorted(state.positions.items()) if position.size]
    if not held:
        return []
    events = [event for position in held for event in _settle_one(state, market, position, at)]
    events += [position_event(state, market, position.symbol, at) for position in held]
    return [*events, WalletChanged(view_wallet(state, market, at))]


def _settle_one(state: AccountState, market: Market, position: Position, at: datetime) -> list[Event]:
    assert position.side is not None
    coin = tradable_instrument(market, Category.LINEAR, position.symbol).quote_coin
    mark, rate = market.mark_price(position.symbol, at), market.funding_rate(position.symbol, at)
    paid = (position.sign * position.size * mark * rate).quantize(QUANTUM, ROUND_HALF_EVEN)
    number = state.next_number()
    settlement = Execution(
        sequence=number,
        exec_id=state.make_id(Category.LINEAR, number),
        order_id=f"{(at - _EPOCH) // timedelta(milliseconds=1)}-{position.symbol}-{number}",
        link_id="",
        category=Category.LINEAR,
        symbol=position.symbol,
        side=position.side,
        qty=position.size,
        price=mark,
        fee=paid,
        fee_coin=coin,
        fee_rate=rate,
        exec_type="Funding",
        order_type="UNKNOWN",
        order_qty=ZERO,
        leaves_qty=ZERO,
        stop_order_type="",
        create_type="",
        market_unit="",
        is_maker=False,
        closed_size=ZERO,
        pnl=ZERO,
        mark_price=mark,
        at=at,
    )
    position.realised -= paid
    position.sequence = number
    position.updated_at = at
    state.realised[coin] = state.realised.get(coin, ZERO) - paid
    return [Executed(settlement), post_funding(state, settlement, coin, position.sign * position.size)]
