"""The exits of a position, kept as orders of the exchange's own: made, resized, moved and ended as it changes.

Take profit, stop loss and trailing stop of a whole position (mode Full) are one order each and follow its size. Exits
of a part (mode Partial) carry their own quantity, and are clipped to the position when they trigger. Whatever closes
the position ends them all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.market import Category, Side
from exchange.paper.core.events import Event, OrderChanged, PositionChanged
from exchange.paper.core.margin import liquidation_price
from exchange.paper.core.model import ZERO, Exit, Order, OrderFilter, OrderStatus, Position
from exchange.paper.core.refusal import params_error
from exchange.paper.core.state import AccountState, Market
from exchange.paper.feed import Tick

STOP_LOSS, TAKE_PROFIT, TRAILING_STOP = "StopLoss", "TakeProfit", "TrailingStop"
PARTIAL_STOP_LOSS, PARTIAL_TAKE_PROFIT = "PartialStopLoss", "PartialTakeProfit"
PARTIALS = frozenset({PARTIAL_STOP_LOSS, PARTIAL_TAKE_PROFIT})
EXITS = PARTIALS | {STOP_LOSS, TAKE_PROFIT, TRAILING_STOP}

_PROFITS = frozenset({TAKE_PROFIT, PARTIAL_TAKE_PROFIT})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The order that a position's exit should be; ``trigger_price`` None waits for ``active_price``."""

    qty: Decimal
    trigger_price: Decimal | None
    trigger_by: str = "LastPrice"
    trailing: Decimal | None = None
    active_price: Decimal | None = None


def reference_price(market: Market, category: Category, symbol: str, trigger_by: str, now: datetime) -> Decimal:
    """The price a trigger is compared with."""
    if trigger_by == "MarkPrice":
        return market.mark_price(symbol, now)
    if trigger_by == "IndexPrice":
        return market.index_price(symbol, now)
    return market.last_price(category, symbol, now)


def check_stop_side(side: Side, stop_loss: Decimal, last: Decimal) -> None:
    """Refuse a stop loss that a position on ``side`` would already have crossed."""
    if side is Side.BUY and stop_loss >= last:
        raise params_error(f"StopLoss:{stop_loss} set for Buy position should be lower than base_price:{last}")
    if side is Side.SELL and stop_loss <= last:
        raise params_error(f"StopLoss:{stop_loss} set for Sell position should be higher than base_price:{last}")


def check_profit_side(side: Side, take_profit: Decimal, last: Decimal) -> None:
    """Refuse a take profit that a position on ``side`` would already have reached."""
    if side is Side.BUY and take_profit <= last:
        raise params_error(f"TakeProfit:{take_profit} set for Buy position should be higher than base_price:{last}")
    if side is Side.SELL and take_profit >= last:
        raise params_error(f"TakeProfit:{take_profit} set for Sell position should be lower than base_price:{last}")


def sync_position_exits(state: AccountState, market: Market, symbol: str, now: datetime) -> list[Event]:
    """Make the exit orders follow the position: made, resized, moved, or ended when nothing is left to protect."""
    position = state.positions[symbol]
    events = [
        deactivate(state, order, "CancelByTpSlTsClear", now)
        for order in open_partials(state, symbol)
        if not position.size or order.side is position.side
    ]
    position.profit_order_id, told = _sync(
        state, market, position, TAKE_PROFIT, position.profit_order_id, _whole(position, position.take_profit), now
    )
    events += told
    position.stop_order_id, told = _sync(
        state, market, position, STOP_LOSS, position.stop_order_id, _whole(position, position.stop_loss), now
    )
    events += told
    position.trailing_order_id, told = _sync(
        state, market, position, TRAILING_STOP, position.trailing_order_id, _trail(state, market, position, now), now
    )
    return events + told


def follow_trailing(state: AccountState, market: Market, tick: Tick) -> list[Event]:
    """Move the trailing stop of the ticked perpetual: it begins at its active price and only ever tightens."""
    if tick.category is not Category.LINEAR:
        return []
    position = state.positions.get(tick.symbol)
    order = state.orders.get(position.trailing_order_id) if position and position.trailing_order_id else None
    if position is None or order is None or order.trailing is None or order.status is not OrderStatus.UNTRIGGERED:
        return []
    if order.trigger_price is None and not _reached(position, order.active_price, tick.price):
        return []
    moved = tick.price - position.sign * order.trailing
    if order.trigger_price is not None and position.sign * (moved - order.trigger_price) <= 0:
        return []
    order.trigger_price, order.updated_at = moved, tick.at
    state.add_open(order)
    return [OrderChanged(order.snapshot())]


def add_partial_exits(
    state: AccountState,
    market: Market,
    symbol: str,
    take_profit: Exit | None,
    stop_loss: Exit | None,
    now: datetime,
    parent_id: str = "",
) -> list[Event]:
    """Add exits for a part of the position (their ``qty``; None: all of it); of two, one's trigger ends the other."""
    position = state.positions[symbol]
    made = [
        _make(state, market, position, kind, _wanted_of(position, wanted), wanted.limit_price, parent_id, now)
        for kind, wanted in ((PARTIAL_TAKE_PROFIT, take_profit), (PARTIAL_STOP_LOSS, stop_loss))
        if wanted is not None
    ]
    if len(made) == 2:
        made[0].pair_id, made[1].pair_id = made[1].order_id, made[0].order_id
    return [OrderChanged(order.snapshot()) for order in made]


def open_partials(state: AccountState, symbol: str) -> list[Order]:
    """Open exits for a part of the symbol's position."""
    return [o for o in state.orders.values() if o.symbol == symbol and o.stop_order_type in PARTIALS]


def forget_exit(state: AccountState, order: Order) -> bool:
    """Take an exit order that was cancelled off its position; whether there was one to take it off."""
    position = state.positions.get(order.symbol)
    if position is None or order.category is not Category.LINEAR:
        return False
    if order.order_id == position.stop_order_id:
        position.stop_loss, position.stop_order_id = None, ""
    elif order.order_id == position.profit_order_id:
        position.take_profit, position.profit_order_id = None, ""
    elif order.order_id == position.trailing_order_id:
        position.trailing_stop, position.active_price, position.trailing_order_id = None, None, ""
    else:
        return False
    return True


def deactivate(state: AccountState, order: Order, cancel_type: str, now: datetime) -> Event:
    """Take away an open order: Deactivated when it waited for its trigger, Cancelled otherwise.

    On spot a cancelled order that was filled in part is told apart.
    """
    if order.status is OrderStatus.UNTRIGGERED:
        order.status = OrderStatus.DEACTIVATED
    elif order.category is Category.SPOT and order.filled_qty:
        order.status = OrderStatus.PARTIALLY_FILLED_CANCELED
    else:
        order.status = OrderStatus.CANCELLED
    order.cancel_type = cancel_type
    order.updated_at = now
    state.drop_open(order)
    return OrderChanged(order.snapshot())


def crossed(order: Order, market: Market, tick: Tick) -> bool:
    """Whether a tick triggers a waiting order: its own trades, or the mark or index price they moved."""
    trigger = order.trigger_price
    if order.status is not OrderStatus.UNTRIGGERED or trigger is None:
        return False
    if order.trigger_by == "LastPrice":
        if tick.category is not order.category:
            return False
        price = tick.price
    else:
        price = reference_price(market, order.category, order.symbol, order.trigger_by, tick.at)
    return price >= trigger if order.trigger_rises else price <= trigger


def position_event(state: AccountState, market: Market, symbol: str, now: datetime) -> Event:
    position = replace(state.position(symbol))
    liquidation = liquidation_price(state, market, position, now)
    return PositionChanged(position, market.mark_price(symbol, now), state.leverage(symbol), liquidation)


def clip_to_position(state: AccountState, order: Order) -> Decimal:
    """The quantity a reduce-only order may still have: nothing that would open or turn the position."""
    position = state.position(order.symbol)
    return min(order.qty, position.size) if position.side is order.side.opposite else ZERO


def _whole(position: Position, wanted: Exit | None) -> _Wanted | None:
    return None if wanted is None else _wanted_of(position, replace(wanted, qty=None))


def _wanted_of(position: Position, wanted: Exit) -> _Wanted:
    return _Wanted(wanted.qty or position.size, wanted.trigger_price, wanted.trigger_by)


def _trail(state: AccountState, market: Market, position: Position, now: datetime) -> _Wanted | None:
    """The trailing stop where it stands; a new one, or one with other terms, begins at the last price."""
    distance, active = position.trailing_stop, position.active_price
    if distance is None:
        return None
    order = state.orders.get(position.trailing_order_id)
    same = order is not None and (order.trailing, order.active_price) == (distance, active)
    if order is not None and same and order.side is not position.side:
        trigger = order.trigger_price
    else:
        last = market.last_price(Category.LINEAR, position.symbol, now)
        trigger = last - position.sign * distance if _reached(position, active, last) else None
    return _Wanted(position.size, trigger, "LastPrice", distance, active)


def _reached(position: Position, active: Decimal | None, price: Decimal) -> bool:
    return active is None or position.sign * (price - active) >= 0


def _sync(
    state: AccountState,
    market: Market,
    position: Position,
    kind: str,
    order_id: str,
    wanted: _Wanted | None,
    now: datetime,
) -> tuple[str, list[Event]]:
    """(id, what changed) of the order that stands for one exit of the whole position."""
    order = state.orders.get(order_id)
    events: list[Event] = []
    # an order on the position's own side is of the position before it turned: it protects nothing
    if order is not None and (wanted is None or order.side is position.side):
        events.append(deactivate(state, order, "CancelByTpSlTsClear", now))
        order = None
    if wanted is None:
        return "", events
    if order is None:
        order = _make(state, market, position, kind, wanted, None, "", now)
        return order.order_id, [*events, OrderChanged(order.snapshot())]
    stands = _Wanted(order.qty, order.trigger_price, order.trigger_by, order.trailing, order.active_price)
    if stands == wanted:
        return order_id, events
    if order.trigger_by != wanted.trigger_by:
        state.drop_open(order)
    order.qty, order.trigger_price, order.trigger_by = wanted.qty, wanted.trigger_price, wanted.trigger_by
    order.trailing, order.active_price, order.updated_at = wanted.trailing, wanted.active_price, now
    state.add_open(order)
    return order_id, [*events, OrderChanged(order.snapshot())]


def _make(
    state: AccountState,
    market: Market,
    position: Position,
    kind: str,
    wanted: _Wanted,
    limit_price: Decimal | None,
    parent_id: str,
    now: datetime,
) -> Order:
    assert position.side is not None
    number = state.next_number()
    order = Order(
        order_id=state.make_id(Category.LINEAR, number),
        link_id="",
        category=Category.LINEAR,
        symbol=position.symbol,
        side=position.side.opposite,
        order_type="Market" if limit_price is None else "Limit",
        qty=wanted.qty,
        market_unit="",
        time_in_force="IOC" if limit_price is None else "GTC",
        status=OrderStatus.UNTRIGGERED,
        created_at=now,
        updated_at=now,
        sequence=number,
        last_price_on_created=market.last_price(Category.LINEAR, position.symbol, now),
        create_type=f"CreateBy{kind}",
        order_filter=OrderFilter.STOP_ORDER,
        stop_order_type=kind,
        trigger_price=wanted.trigger_price,
        trigger_rises=(position.side is Side.BUY) == (kind in _PROFITS),
        trigger_by=wanted.trigger_by,
        reduce_only=True,
        close_on_trigger=True,
        price=limit_price,
        tpsl_mode="Partial" if kind in PARTIALS else "Full",
        parent_id=parent_id,
        trailing=wanted.trailing,
        active_price=wanted.active_price,
    )
    state.add_open(order)
    return order
