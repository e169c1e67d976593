"""The dialogs between a button and a trade: what will happen, why, and the API's own words if it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import streamlit as st
from pydantic import ValidationError

from client import new_key
from client.models import (
    Category,
    CloseRequest,
    ExitPolicy,
    InstrumentView,
    PositionView,
    TradeRequest,
)
from ui.dialogs import carry_out, confirmed, faults, reason_field
from ui.formatting import money_text, percent_text, price_text, quantity_text, words
from ui.trade_ticket import Ticket, amount_field, target_fields


@dataclass(frozen=True, slots=True)
class Wish:
    """A Buy or Sell pressed beside an instrument: how much of it and when to leave is asked in the dialog."""

    side: Literal["buy", "sell"]
    instrument: InstrumentView
    defaults: ExitPolicy
    key: str

    @classmethod
    def of(cls, side: Literal["buy", "sell"], instrument: InstrumentView, defaults: ExitPolicy) -> Wish:
        return cls(side, instrument, defaults, new_key())


@st.dialog("Confirm the trade")
def confirm_trade(ticket: Ticket) -> None:
    """Show what will be opened, ask why, and open it."""
    st.markdown(f"{_intent(ticket.side, ticket.instrument)} for **{money_text(ticket.usd)} USD** at market")
    st.caption(" · ".join(f"{words(field.removesuffix('_pct'))} {value} %" for field, value in ticket.targets.items()))
    _trade(ticket)


@st.dialog("Trade")
def confirm_wish(wish: Wish) -> None:
    """Ask how much and when to leave, then why, and open it."""
    st.markdown(f"{_intent(wish.side, wish.instrument)} at market")
    usd = amount_field("wish")
    targets = target_fields(wish.defaults, "wish")
    _trade(Ticket(wish.side, wish.instrument, usd, targets, wish.key))


def _intent(side: str, instrument: InstrumentView) -> str:
    direction, color = ("long", "green") if side == "buy" else ("short", "red")
    return f":{color}-badge[{side}] **{instrument.symbol}** ({direction}, {instrument.category})"


def _trade(ticket: Ticket) -> None:
    """The reason, the buttons, and the trade."""
    instrument = ticket.instrument
    reason = reason_field("trade-reason", "why this trade")
    if not confirmed(f"{ticket.side.capitalize()} {instrument.symbol}", reason):
        return
    try:
        request = _trade_request(ticket, reason)
    except ValidationError as error:
        st.error(faults(error))
        return
    carry_out(
        lambda api: api.trade(request, key=ticket.key),
        f"{ticket.side.capitalize()} of {instrument.symbol} accepted.",
    )


def _trade_request(ticket: Ticket, reason: str) -> TradeRequest:
    policy = ExitPolicy.model_validate(ticket.targets)
    return TradeRequest(
        side=ticket.side,
        category=Category(ticket.instrument.category),
        symbol=ticket.instrument.symbol,
        usd=ticket.usd,
        exit_policy=policy,
        reason=reason,
    )


@st.dialog("Close the position")
def confirm_close(position: PositionView) -> None:
    """Show what will be closed, ask why, and close it."""
    price = position.price.last_price if position.price else None
    st.markdown(
        f"Close **{quantity_text(position.qty)} {position.symbol}** ({position.side}, {position.category}) at market. "
        f"Entered at {price_text(position.entry_price)}, last price {price_text(price)}: "
        f"{money_text(position.unrealised_pnl, signed=True)} USD "
        f"({percent_text(position.unrealised_percent)}) before fees."
    )
    reason = reason_field("close-reason", "why now")
    if confirmed(f"Close {position.symbol}", reason):
        request = CloseRequest(reason=reason.strip())
        carry_out(lambda api: api.close_position(position.id, request), f"Closing {position.symbol}.")
