"""Closing positions by force when what stands behind them has fallen to their maintenance margin.

Cross margin: the whole account answers for every position. First the open orders go, then the position with the largest
loss is closed, then the next, until what is left holds. A position is closed in the book like by any market order; what
the book can't take is taken over at the price reached. A debt that is left in the end is paid by the insurance.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from domain.market import Category
from exchange.paper.core.depth import Take
from exchange.paper.core.events import Event, Executed, OrderChanged, WalletChanged
from exchange.paper.core.fills import fill
from exchange.paper.core.ledger import post_insurance
from exchange.paper.core.margin import (
    DOLLARS,
    SETTLE_COIN,
    maintenance_margin,
    margin_balance,
    total_maintenance,
    usd_price,
)
from exchange.paper.core.matching import execute_market, follow_up
from exchange.paper.core.model import ZERO, Order, OrderStatus, Position
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import EXITS, deactivate
from exchange.paper.core.wallet import view_wallet
from exchange.paper.feed import Tick

_QUARTER_SECONDS = 900


class LiquidationWatch:
    """Looks after each trade whether it brings a liquidation about, without valuing the whole account anew each time.

    It keeps what each symbol adds to the margin balance less the maintenance margin, as of that symbol's last trade,
    and forgets it all when anything happened to the account or a quarter hour closed (the basis of marks may change).
    """

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None
        self._shares: dict[str, Decimal] = {}

    def after(self, state: AccountState, market: Market, tick: Tick) -> list[Event]:
        if not any(position.size for position in state.positions.values()):
            return []
        known = state.counter, int(tick.at.timestamp()) // _QUARTER_SECONDS
        if known != self._known:
            self._known, self._shares = known, _shares(state, market, tick.at)
        elif tick.symbol in self._shares:
            self._shares[tick.symbol] = _share(state, market, tick.symbol, tick.at)
        else:
            return []
        if sum(self._shares.values(), ZERO) > 0:
            return []
        return liquidate_if_due(state, market, tick.at)


def _shares(state: AccountState, market: Market, now: datetime) -> dict[str, Decimal]:
    symbols = {p.symbol for p in state.positions.values() if p.size}
    symbols |= {f"{coin}{SETTLE_COIN}" for coin, held in state.balances.items() if held and coin not in DOLLARS}
    dollars = sum((held for coin, held in state.balances.items() if coin in DOLLARS), ZERO)
    return {"": dollars} | {symbol: _share(state, market, symbol, now) for symbol in symbols}


def _share(state: AccountState, market: Market, symbol: str, now: datetime) -> Decimal:
    coin = symbol.removesuffix(SETTLE_COIN)
    held = state.balance(coin)
    share = held * usd_price(market, coin, now) if held else ZERO
    position = state.positions.get(symbol)
    if position is not None and position.size:
        mark = market.mark_price(symbol, now)
        share += position.unrealised(mark) - maintenance_margin(position, mark)
    return share


def liquidate_if_due(state: AccountState, market: Market, now: datetime) -> list[Event]:
    """Liquidate until the margin balance is above the maintenance margin again; [] when it is."""
    if not _due(state, market, now):
        return []
    events = _cancel_orders(state, now)
    while _due(state, market, now):
        events += _close(state, market, _largest_loss(state, market, now), now)
    debt = -margin_balance(state, market, now)
    if debt > 0 and not any(position.size for position in state.positions.values()):
        events.append(post_insurance(state, SETTLE_COIN, debt, now))
        events.append(WalletChanged(view_wallet(state, market, now)))
    return events


def _due(state: AccountState, market: Market, now: datetime) -> bool:
    if not any(position.size for position in state.positions.values()):
        return False
    return margin_balance(state, market, now) <= total_maintenance(state, market, now)


def _cancel_orders(state: AccountState, now: datetime) -> list[Event]:
    """Cancel all open orders but the exits of positions, which go with their position and protect it until then."""
    chosen = [order for order in state.orders.values() if order.stop_order_type not in EXITS]
    return [deactivate(state, order, "CancelAllBeforeLiq", now) for order in chosen]


def _largest_loss(state: AccountState, market: Market, now: datetime) -> Position:
    held = [position for position in state.positions.values() if position.size]
    return min(held, key=lambda p: (p.unrealised(market.mark_price(p.symbol, now)), p.symbol))


def _close(state: AccountState, market: Market, position: Position, now: datetime) -> list[Event]:
    """Close a whole position by orders of the exchange's own."""
    order = _order(state, market, position, "CreateByLiq", now)
    events = execute_market(state, market, order, now, exec_type="BustTrade")
    if not position.size:
        return events
    order = _order(state, market, position, "CreateByTakeOver_PassThrough", now)
    return [*events, *_take_over(state, market, order, _reached(events, order.last_price_on_created), now)]


def _reached(events: list[Event], last: Decimal) -> Decimal:
    prices = [event.execution.price for event in events if isinstance(event, Executed)]
    return prices[-1] if prices else last


def _take_over(state: AccountState, market: Market, order: Order, price: Decimal, now: datetime) -> list[Event]:
    instrument = tradable_instrument(market, Category.LINEAR, order.symbol)
    side = state.position(order.symbol).side
    take = Take(price, order.qty)
    events = fill(state, market, order, instrument, [take], now, is_maker=False, exec_type="BustTrade")
    order.status = OrderStatus.FILLED
    return [*events, OrderChanged(order.snapshot()), *follow_up(state, market, order, events, side, now)]


def _order(state: AccountState, market: Market, position: Position, create_type: str, now: datetime) -> Order:
    assert position.side is not None
    number = state.next_number()
    return Order(
        order_id=state.make_id(Category.LINEAR, number),
        link_id="",
        category=Category.LINEAR,
        symbol=position.symbol,
        side=position.side.opposite,
        order_type="Market",
        qty=position.size,
        market_unit="",
        time_in_force="IOC",
        status=OrderStatus.NEW,
        created_at=now,
        updated_at=now,
        sequence=number,
        last_price_on_created=market.last_price(Category.LINEAR, position.symbol, now),
        create_type=create_type,
        reduce_only=True,
    )
