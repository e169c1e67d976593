"""The dialogs between a button and a trade: what will happen, why, and the API's own words if it refuses."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from pydantic import ValidationError

from client import ApiError, ApiProblem, AtsClient
from client.models import Category, CloseRequest, ExitPolicy, PositionView, TradeRequest
from ui.formatting import money_text, percent_text, price_text, quantity_text, words
from ui.session import ask, sentence
from ui.trade_ticket import Ticket

NOTICE = "notice"
"""Session key: the sentence the page shows after a command was accepted."""

_REASON_LENGTH = 3


@st.dialog("Confirm the trade")
def confirm_trade(ticket: Ticket) -> None:
    """Show what will be opened, ask why, and open it."""
    instrument = ticket.instrument
    side = "long" if ticket.side == "buy" else "short"
    color = "green" if ticket.side == "buy" else "red"
    st.markdown(
        f":{color}-badge[{ticket.side}] **{instrument.symbol}** for **{money_text(ticket.usd)} USD** "
        f"at market, {side} on {instrument.category}"
    )
    st.caption(" · ".join(f"{words(field.removesuffix('_pct'))} {value} %" for field, value in ticket.targets.items()))
    reason = st.text_input("Reason", key="trade-reason", placeholder="why this trade; it goes into the audit log")
    if not _confirmed(f"{ticket.side.capitalize()} {instrument.symbol}", reason):
        return
    try:
        request = _trade_request(ticket, reason)
    except ValidationError as error:
        st.error(_faults(error))
        return
    _carry_out(
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
    reason = st.text_input("Reason", key="close-reason", placeholder="why now; it goes into the audit log")
    if _confirmed(f"Close {position.symbol}", reason):
        request = CloseRequest(reason=reason.strip())
        _carry_out(lambda api: api.close_position(position.id, request), f"Closing {position.symbol}.")


def _confirmed(label: str, reason: str) -> bool:
    """The two buttons. Confirming needs a reason; Cancel leaves the dialog."""
    cancel, confirm = st.columns(2, gap="small")
    if cancel.button("Cancel", width="stretch", key="dialog-cancel"):
        st.rerun()
    pressed = confirm.button(label, type="primary", width="stretch", key="dialog-confirm")
    if pressed and len(reason.strip()) < _REASON_LENGTH:
        st.warning(f"Give a reason of at least {_REASON_LENGTH} characters.")
        return False
    return pressed


def _carry_out(command: Callable[[AtsClient], object], done: str) -> None:
    """Run the command; say it on the page when accepted, or stay and tell the refusal."""
    with st.spinner("Asking the trading system …"):
        answer = ask(command)
    if isinstance(answer, ApiError):
        title = f"**{answer.title}.** " if isinstance(answer, ApiProblem) else ""
        st.error(title + sentence(answer))
        return
    st.session_state[NOTICE] = done
    st.rerun()


def _faults(error: ValidationError) -> str:
    """Each broken rule of a form, in words."""
    lines = []
    for fault in error.errors():
        field = words(str(fault["loc"][-1])) if fault["loc"] else "targets"
        lines.append(f"{field}: {fault['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)
