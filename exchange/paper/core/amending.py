"""Changing an open order. What was not asked to change stays, and a refusal leaves the order as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.market import Category, Instrument
from exchange.paper.core.bands import price_in_band
from exchange.paper.core.checks import (
    check_exits,
    check_price,
    check_quantity,
    check_trigger_by,
    check_trigger_direction,
    reducible,
)
from exchange.paper.core.commands import AmendOrder
from exchange.paper.core.events import Event, OrderChanged, WalletChanged
from exchange.paper.core.funds import affordable, lockable
from exchange.paper.core.locks import lock_of
from exchange.paper.core.matching import match, takes_of
from exchange.paper.core.model import Exit, Order, OrderStatus
from exchange.paper.core.refusal import Refusal, by_category, insufficient_funds, params_error, unknown_order
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import (
    check_profit_side,
    check_stop_side,
    position_event,
    reference_price,
    sync_position_exits,
)
from exchange.paper.core.wallet import view_wallet


def amend(state: AccountState, market: Market, command: AmendOrder) -> tuple[Order, list[Event]]:
    """The order as amended and what came of it. Raises Refusal, then nothing has changed."""
    instrument = tradable_instrument(market, command.category, command.symbol)
    if not command.order_id and not command.link_id:
        raise params_error("orderId or orderLinkId is required")
    order = state.find(command.category, command.order_id, command.link_id)
    if order is None or order.symbol != command.symbol:
        raise unknown_order(command.category)
    changes = _changes(order, command)
    if not changes:
        raise params_error("The order remains unchanged as the parameters entered match the existing ones.")
    draft = replace(order.snapshot(), **changes, updated_at=command.at)
    if _is_exit_of_position(state, order):
        return _move_exit(state, market, draft, instrument, changes)
    _check(market, draft, instrument, changes)
    if draft.reduce_only and not reducible(state, draft):
        raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
    return draft, _replace(state, market, order, draft, instrument, crosses="price" in changes)


def _changes(order: Order, command: AmendOrder) -> dict[str, Any]:
    """The order's fields that would become other than they are."""
    wanted: dict[str, Any] = {
        "qty": command.qty,
        "price": command.price,
        "trigger_price": command.trigger_price,
        "trigger_by": command.trigger_by,
        "tpsl_mode": command.tpsl_mode if order.category is Category.LINEAR else None,
    }
    changes = {name: value for name, value in wanted.items() if value is not None and value != getattr(order, name)}
    take_profit = _exit(order.take_profit, command.take_profit_price, command.tp_trigger_by, command.tp_limit_price)
    stop_loss = _exit(order.stop_loss, command.stop_loss_price, command.sl_trigger_by, command.sl_limit_price)
    if take_profit != order.take_profit:
        changes["take_profit"] = take_profit
    if stop_loss != order.stop_loss:
        changes["stop_loss"] = stop_loss
    if not (take_profit or stop_loss):
        changes.pop("tpsl_mode", None)  # says how exits are, and there are none
    elif order.category is Category.LINEAR:
        changes.setdefault("tpsl_mode", order.tpsl_mode or "Full")
        if changes["tpsl_mode"] == order.tpsl_mode:
            del changes["tpsl_mode"]
    return changes


def _exit(known: Exit | None, price: Any, trigger_by: str | None, limit_price: Any) -> Exit | None:
    if price == 0:
        return None
    if known is None:
        return None if price is None else Exit(price, trigger_by or "LastPrice", limit_price or None)
    return replace(
        known,
        trigger_price=known.trigger_price if price is None else price,
        trigger_by=trigger_by or known.trigger_by,
        limit_price=known.limit_price if limit_price is None else limit_price or None,
    )


def _check(market: Market, draft: Order, instrument: Instrument, changes: dict[str, Any]) -> None:
    if "price" in changes:
        if draft.order_type == "Market":
            raise params_error("a Market order has no price to amend")
        check_price(instrument, "price", changes["price"])
        if draft.status is not OrderStatus.UNTRIGGERED:
            draft.price = price_in_band(market, instrument, draft.side, changes["price"], draft.updated_at)
    if "qty" in changes:
        _check_qty(market, draft, instrument)
    if "trigger_price" in changes or "trigger_by" in changes:
        _check_trigger(market, draft, instrument)
    if {"take_profit", "stop_loss", "tpsl_mode"} & set(changes):
        if draft.tpsl_mode not in ("", "Full", "Partial"):
            raise params_error(f"tpslMode {draft.tpsl_mode!r} invalid: Full or Partial")
        if draft.filled_qty:
            text = "a partially filled order's takeProfit and stopLoss can't be amended"
            raise by_category(draft.category, spot=(10001, f"params error: {text}"), linear=(110059, text))
        check_exits(draft, instrument, market.last_price(draft.category, draft.symbol, draft.updated_at))


def _check_qty(market: Market, draft: Order, instrument: Instrument) -> None:
    if not draft.in_quote and draft.qty <= draft.filled_qty:
        text = f"qty {draft.qty} must be above the filled quantity {draft.filled_qty}"
        raise by_category(draft.category, spot=(10001, f"params error: {text}"), linear=(110064, text))
    check_quantity(draft, instrument, market.last_price(draft.category, draft.symbol, draft.updated_at))


def _check_trigger(market: Market, draft: Order, instrument: Instrument) -> None:
    if draft.status is not OrderStatus.UNTRIGGERED or draft.trigger_price is None:
        raise params_error("only a conditional order that waits has a trigger to amend")
    check_price(instrument, "triggerPrice", draft.trigger_price)
    check_trigger_by("triggerBy", draft.trigger_by)
    if draft.category is Category.SPOT:
        draft.trigger_by = "LastPrice"
    # on spot the direction stays: a stop moved beyond the price is still a stop, and fires with the next trade
    check_trigger_direction(market, draft, draft.updated_at)


def _replace(
    state: AccountState, market: Market, order: Order, draft: Order, instrument: Instrument, *, crosses: bool
) -> list[Event]:
    """Put ``draft`` in the place of ``order``; an amended price may take what the book offers."""
    now = draft.updated_at
    waits = draft.status is OrderStatus.UNTRIGGERED
    if draft.reduce_only and not waits:
        draft.qty = draft.filled_qty + reducible(state, draft)
    shrinks = not crosses and draft.left <= order.left and draft.trigger_price == order.trigger_price
    state.drop_open(order)
    takes = takes_of(state, market, draft, instrument, now) if crosses and not waits else []
    pays = lockable(state, market, draft, now) if waits else affordable(state, market, draft, instrument, takes, now)
    if not (pays or shrinks):  # what asks for less is never refused for want of money
        state.add_open(order)
        raise insufficient_funds(draft.category)
    if crosses and not waits:
        return match(state, market, draft, instrument, now)
    state.add_open(draft)
    events: list[Event] = [OrderChanged(draft.snapshot())]
    if not waits or lock_of(draft) is not None:
        events.append(WalletChanged(view_wallet(state, market, now)))
    return events


def _is_exit_of_position(state: AccountState, order: Order) -> bool:
    position = state.positions.get(order.symbol)
    if position is None or order.category is not Category.LINEAR:
        return False
    return order.order_id in (position.profit_order_id, position.stop_order_id, position.trailing_order_id)


def _move_exit(
    state: AccountState, market: Market, draft: Order, instrument: Instrument, changes: dict[str, Any]
) -> tuple[Order, list[Event]]:
    """Move the take profit or stop loss of a whole position, which is the position's own."""
    position = state.positions[draft.symbol]
    if set(changes) - {"trigger_price", "trigger_by"} or draft.order_id == position.trailing_order_id:
        raise params_error("of an order that covers the whole position only the trigger can be amended")
    assert position.side is not None
    assert draft.trigger_price is not None
    _check_trigger(market, draft, instrument)
    current = reference_price(market, draft.category, draft.symbol, draft.trigger_by, draft.updated_at)
    moved = Exit(draft.trigger_price, draft.trigger_by)
    if draft.order_id == position.profit_order_id:
        check_profit_side(position.side, draft.trigger_price, current)
        position.take_profit = moved
    else:
        check_stop_side(position.side, draft.trigger_price, current)
        position.stop_loss = moved
    position.updated_at = draft.updated_at
    events = sync_position_exits(state, market, draft.symbol, draft.updated_at)
    return draft, [*events, position_event(state, market, draft.symbol, draft.updated_at)]
