"""Assets: what the account is worth, what is open, how it is protected, and the buttons to change it."""

from __future__ import annotations

import streamlit as st

from client import ApiError, AtsClient
from client.models import AccountView, ExecutionView, PositionView
from ui.account_bar import show_account, show_balances, show_status
from ui.confirmations import NOTICE, confirm_close, confirm_trade
from ui.position_rows import CLOSING, show_positions
from ui.session import ask, recovered, show_outage
from ui.styling import apply_style
from ui.trade_history import show_closed, show_executions
from ui.trade_ticket import ORDERING, show_ticket

_MOST_OPEN = 100
_RECENT = 20


def page() -> None:
    apply_style()
    _ticket()
    st.header("Assets", anchor=False)
    _status()
    _live()
    _dialogs()


def _ticket() -> None:
    """The form, in the sidebar: outside the live parts, so that typing in it is never disturbed."""
    with st.sidebar:
        form = ask(lambda api: (api.instruments(), api.trade_defaults()))
        if isinstance(form, ApiError):
            st.caption("The trade form comes back with the API.")
            return
        instruments, defaults = form
        show_ticket(instruments, defaults.exit_policy)


@st.fragment(run_every=10)
def _status() -> None:
    status = ask(lambda api: api.status())
    if not isinstance(status, ApiError):  # an outage is told once, by the live part
        show_status(status)


@st.fragment(run_every=2)
def _live() -> None:
    """Everything that moves. An outage is told in one sentence; the first answer after it brings the page back."""
    answer = ask(_everything)
    if isinstance(answer, ApiError):
        show_outage(answer)
        return
    if recovered():
        st.rerun()
    account, open_positions, closed, executions = answer
    show_account(account)
    st.subheader("Open positions", anchor=False)
    if open_positions:
        show_positions(open_positions)
    else:
        st.info("No position is open. Choose a market, a symbol and an amount on the left, then Buy or Sell.")
    trades, fills, balances = st.tabs(["Closed positions", "Executions", "Balances"])
    with trades:
        show_closed(closed)
    with fills:
        show_executions(executions)
    with balances:
        show_balances(account.balances)


def _everything(api: AtsClient) -> tuple[AccountView, list[PositionView], list[PositionView], list[ExecutionView]]:
    return (
        api.account(),
        api.positions(state="active", limit=_MOST_OPEN).items,
        api.positions(state="closed", limit=_RECENT).items,
        api.executions(limit=_RECENT).items,
    )


def _dialogs() -> None:
    """A dialog is opened here, outside the live parts: their refresh would close one they had opened themselves."""
    notice = st.session_state.pop(NOTICE, None)
    if notice:
        st.toast(notice, icon=":material/check_circle:")
    ticket = st.session_state.pop(ORDERING, None)
    position = st.session_state.pop(CLOSING, None)
    if ticket is not None:
        confirm_trade(ticket)
    elif position is not None:
        confirm_close(position)


page()
