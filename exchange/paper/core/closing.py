"""Booking a fill against a linear position: what it closes, what it opens, and the profit of the order that closes.

Everything is exact: a position keeps its cost and its opening fees as sums, closing a part releases that part of both
(rounded to ten decimals), closing the rest releases what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from domain.costs import BYBIT_BASE_FEES
from domain.market import Category, Instrument, Side
from exchange.paper.core.depth import Take
from exchange.paper.core.events import Event, Executed, PnlClosed
from exchange.paper.core.executions import make_execution
from exchange.paper.core.ledger import post_trade
from exchange.paper.core.model import ZERO, ClosedPnl, Execution, Order, Position
from exchange.paper.core.state import AccountState

COST_QUANTUM = Decimal("1E-10")


@dataclass(frozen=True, slots=True)
class Closed:
    """What a fill closed: its size, entry value, the opening fees that go with it and its share of the fill's own fee.

    ``pnl`` is the profit before fees.
    """

    size: Decimal
    entry_value: Decimal
    open_fee: Decimal
    close_fee: Decimal
    pnl: Decimal


NOTHING_CLOSED = Closed(ZERO, ZERO, ZERO, ZERO, ZERO)


def book_linear(
    state: AccountState,
    order: Order,
    instrument: Instrument,
    take: Take,
    mark: Decimal,
    is_maker: bool,
    now: datetime,
    exec_type: str = "Trade",
) -> list[Event]:
    """Book one fill of ``order``, already counted in its filled quantity, at the maker's or the taker's fee."""
    position = state.positions.setdefault(order.symbol, Position(order.symbol))
    rate = BYBIT_BASE_FEES[Category.LINEAR].rate(is_maker)
    fee = take.price * take.qty * rate
    done = net(position, order.side, take.qty, take.price, fee, now)
    coin = instrument.quote_coin
    fill = make_execution(
        state,
        order,
        take,
        now,
        mark=mark,
        fee=fee,
        coin=coin,
        rate=rate,
        is_maker=is_maker,
        exec_type=exec_type,
        closed=done.size,
        pnl=done.pnl,
    )
    position.realised += done.pnl - fee
    position.sequence = fill.sequence
    state.realised[coin] = state.realised.get(coin, ZERO) + done.pnl - fee
    events: list[Event] = [
        Executed(fill),
        post_trade(state, fill, coin, done.pnl, fee, position.sign * position.size),
    ]
    if done.size:
        order.closed = add_closed(order.closed, fill, done, state.leverage(order.symbol), order.created_at)
        order.closed_pnl = order.closed.pnl
        events.append(PnlClosed(order.closed))
    return events


def net(position: Position, side: Side, qty: Decimal, price: Decimal, fee: Decimal, now: datetime) -> Closed:
    """Put a fill into a one-way position; what is left over of what it closes opens the other side."""
    size = min(qty, position.size) if position.side is side.opposite else ZERO
    done = _close(position, size, price, fee if size == qty else _share(fee, size, qty)) if size else NOTHING_CLOSED
    opened = qty - size
    if opened:
        if position.side is None:
            position.created_at = now
            position.realised_before = position.realised + done.pnl - done.close_fee
        position.side = side
        position.size += opened
        position.cost += price * opened
        position.open_fee += fee - done.close_fee
    position.updated_at = now
    return done


def add_closed(
    sofar: ClosedPnl | None, fill: Execution, done: Closed, leverage: Decimal, ordered_at: datetime
) -> ClosedPnl:
    """What the order of ``fill`` has closed with it."""
    pnl = done.pnl - done.open_fee - done.close_fee
    if sofar is not None:
        return replace(
            sofar,
            closed_size=sofar.closed_size + done.size,
            entry_value=sofar.entry_value + done.entry_value,
            exit_value=sofar.exit_value + fill.price * done.size,
            open_fee=sofar.open_fee + done.open_fee,
            close_fee=sofar.close_fee + done.close_fee,
            pnl=sofar.pnl + pnl,
            fill_count=sofar.fill_count + 1,
            updated_at=fill.at,
        )
    return ClosedPnl(
        sequence=fill.sequence,
        order_id=fill.order_id,
        symbol=fill.symbol,
        side=fill.side,
        order_type=fill.order_type,
        exec_type=fill.exec_type,
        order_price=fill.order_price,
        qty=fill.order_qty,
        closed_size=done.size,
        entry_value=done.entry_value,
        exit_value=fill.price * done.size,
        open_fee=done.open_fee,
        close_fee=done.close_fee,
        pnl=pnl,
        fill_count=1,
        leverage=leverage,
        created_at=ordered_at,
        updated_at=fill.at,
    )


def _close(position: Position, size: Decimal, price: Decimal, fee: Decimal) -> Closed:
    """Take ``size`` off the position; ``fee`` is what closing it costs."""
    whole = size == position.size
    cost = position.cost if whole else _share(position.cost, size, position.size)
    open_fee = position.open_fee if whole else _share(position.open_fee, size, position.size)
    pnl = position.sign * (price * size - cost)
    position.size -= size
    position.cost -= cost
    position.open_fee -= open_fee
    if whole:
        position.side = None
        position.forget_exits()  # whatever opens from here on is another position
    return Closed(size, cost, open_fee, fee, pnl)


def _share(value: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (value * part / whole).quantize(COST_QUANTUM, ROUND_HALF_EVEN)
