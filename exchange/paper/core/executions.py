"""An execution as the account records it, made of an order and what it took."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from exchange.paper.core.depth import Take
from exchange.paper.core.model import ZERO, Execution, Order
from exchange.paper.core.state import AccountState


def make_execution(
    state: AccountState,
    order: Order,
    take: Take,
    now: datetime,
    *,
    mark: Decimal,
    fee: Decimal,
    coin: str,
    rate: Decimal,
    is_maker: bool = False,
    exec_type: str = "Trade",
    closed: Decimal = ZERO,
    pnl: Decimal = ZERO,
) -> Execution:
    """The execution of ``take``, already counted in the order's filled quantity; its fee is added to the order's."""
    number = state.next_number()
    order.fees[coin] = order.fees.get(coin, ZERO) + fee
    return Execution(
        sequence=number,
        exec_id=state.make_id(order.category, number),
        order_id=order.order_id,
        link_id=order.link_id,
        category=order.category,
        symbol=order.symbol,
        side=order.side,
        qty=take.qty,
        price=take.price,
        fee=fee,
        fee_coin=coin,
        fee_rate=rate,
        exec_type=exec_type,
        order_type=order.order_type,
        order_qty=order.qty,
        leaves_qty=ZERO if order.in_quote else order.qty - order.filled_qty,
        stop_order_type=order.stop_order_type,
        create_type=order.create_type,
        market_unit=order.market_unit,
        is_maker=is_maker,
        closed_size=closed,
        pnl=pnl,
        mark_price=mark,
        at=now,
        order_price=order.price,
    )
