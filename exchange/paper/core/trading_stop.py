"""``position/trading-stop``: the exits of a position set, moved and taken away; everything refused is refused first."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.market import Category, Instrument, Side
from exchange.paper.core.commands import SetTradingStop
from exchange.paper.core.events import Event
from exchange.paper.core.model import Exit, Position
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.core.state import AccountState, Market, tradable_instrument
from exchange.paper.core.stops import (
    PARTIAL_STOP_LOSS,
    PARTIAL_TAKE_PROFIT,
    add_partial_exits,
    check_profit_side,
    check_stop_side,
    open_partials,
    position_event,
    reference_price,
    sync_position_exits,
)

MAX_PARTIALS = 20
TRIGGERS = frozenset({"LastPrice", "MarkPrice", "IndexPrice"})


@dataclass(frozen=True, slots=True)
class _Terms:
    """The exits a position is to have."""

    take_profit: Exit | None
    stop_loss: Exit | None
    trailing_stop: Decimal | None
    active_price: Decimal | None


def set_trading_stop(state: AccountState, market: Market, command: SetTradingStop) -> list[Event]:
    """Set the exits of the whole position, or add a pair for a part of it. Raises Refusal, then nothing has changed."""
    instrument = tradable_instrument(market, Category.LINEAR, command.symbol)
    if command.mode not in ("Full", "Partial"):
        raise params_error(f"tpslMode {command.mode!r} invalid: Full or Partial")
    position = state.position(command.symbol)
    if position.side is None:
        raise params_error("can not set tp/sl/ts for zero position")
    partial = command.mode == "Partial"
    given = [e for e in (command.take_profit, command.stop_loss) if e is not None]
    _check_terms(instrument, position, given, partial=partial)
    _check_sides(market, command, position.side)
    wanted = _Terms(
        position.take_profit if partial else _changed(position.take_profit, command.take_profit),
        position.stop_loss if partial else _changed(position.stop_loss, command.stop_loss),
        *_trailing(market, instrument, position, command),
    )
    present = _Terms(position.take_profit, position.stop_loss, position.trailing_stop, position.active_price)
    if wanted == present and not (partial and given):
        raise Refusal(34040, "not modified")
    if partial:
        _check_room(state, command)
    position.take_profit, position.stop_loss = wanted.take_profit, wanted.stop_loss
    position.trailing_stop, position.active_price = wanted.trailing_stop, wanted.active_price
    position.updated_at = command.at
    events = sync_position_exits(state, market, command.symbol, command.at)
    if partial:
        events += add_partial_exits(state, market, command.symbol, command.take_profit, command.stop_loss, command.at)
    return [*events, position_event(state, market, command.symbol, command.at)]


def check_exit(instrument: Instrument, name: str, wanted: Exit) -> None:
    """Refuse an exit whose prices are off the tick grid or whose trigger is of an unknown kind (10001)."""
    if wanted.trigger_by not in TRIGGERS:
        raise params_error(f"{name}: trigger price type {wanted.trigger_by!r} is none of {', '.join(sorted(TRIGGERS))}")
    for price in (wanted.trigger_price, wanted.limit_price):
        if price is not None:
            _check_on_grid(instrument, name, price)


def _check_on_grid(instrument: Instrument, name: str, price: Decimal) -> None:
    if price <= 0 or price % instrument.tick_size:
        raise params_error(f"{name} invalid: {price} is not a positive multiple of {instrument.tick_size}")


def _check_terms(instrument: Instrument, position: Position, given: list[Exit], *, partial: bool) -> None:
    for wanted in given:
        if wanted.trigger_price == 0 and not partial:
            continue
        check_exit(instrument, "takeProfit or stopLoss", wanted)
        if not partial and (wanted.limit_price is not None or wanted.qty is not None):
            raise params_error("a limit price or a size of takeProfit or stopLoss needs tpslMode Partial")
        if wanted.qty is not None and (wanted.qty < instrument.min_order_qty or wanted.qty % instrument.qty_step):
            raise params_error(f"tpSize or slSize invalid: {wanted.qty} is not a multiple of {instrument.qty_step}")
        if wanted.qty is not None and wanted.qty > position.size:
            raise Refusal(110058, f"tpSize or slSize {wanted.qty} is more than the position's {position.size}")
    if len({wanted.qty for wanted in given}) > 1:
        raise params_error("tpSize and slSize must be equal")


def _check_sides(market: Market, command: SetTradingStop, side: Side) -> None:
    for wanted, check in ((command.take_profit, check_profit_side), (command.stop_loss, check_stop_side)):
        if wanted is not None and wanted.trigger_price:
            price = reference_price(market, Category.LINEAR, command.symbol, wanted.trigger_by, command.at)
            check(side, wanted.trigger_price, price)


def _check_room(state: AccountState, command: SetTradingStop) -> None:
    kinds = [o.stop_order_type for o in open_partials(state, command.symbol)]
    for kind, wanted in ((PARTIAL_TAKE_PROFIT, command.take_profit), (PARTIAL_STOP_LOSS, command.stop_loss)):
        if wanted is not None and kinds.count(kind) >= MAX_PARTIALS:
            raise Refusal(110061, f"there are {MAX_PARTIALS} {kind} orders already")


def _changed(present: Exit | None, wanted: Exit | None) -> Exit | None:
    """An exit after a command: None leaves it, a price of 0 takes it away."""
    if wanted is None:
        return present
    return wanted if wanted.trigger_price else None


def _trailing(
    market: Market, instrument: Instrument, position: Position, command: SetTradingStop
) -> tuple[Decimal | None, Decimal | None]:
    """(distance, active price) of the trailing stop after the command."""
    distance, active = command.trailing_stop, command.active_price
    if distance is None and active is None:
        return position.trailing_stop, position.active_price
    if distance == 0:
        return None, None
    wanted = position.trailing_stop if distance is None else distance
    if wanted is None:
        raise params_error("activePrice needs a trailingStop")
    last = market.last_price(Category.LINEAR, command.symbol, command.at)
    _check_on_grid(instrument, "trailingStop", wanted)
    if wanted >= last:
        raise params_error(f"trailingStop invalid: {wanted} is not below the last price {last}")
    if not active:
        # a distance alone keeps the active price it had; 0 begins at once
        return wanted, position.active_price if active is None and position.trailing_stop is not None else None
    _check_on_grid(instrument, "activePrice", active)
    if position.sign * (active - last) <= 0 and active != position.active_price:
        raise params_error(f"TrailingProfit:{active} set for {position.side} position is already passed by {last}")
    return wanted, active
