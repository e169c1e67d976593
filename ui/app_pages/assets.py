"""Assets: what the portfolio is worth and brought, what is open and how it is protected, and the buttons for it."""

from __future__ import annotations

import streamlit as st

from client import ApiError, AtsClient
from client.models import AccountView, ExecutionView, PositionView
from ui.account_status import show_balances, show_status
from ui.asset_rows import WISHED, show_assets
from ui.confirmations import confirm_close, confirm_trade, confirm_wish
from ui.dialogs import asked, open_what_was_asked, show_notice
from ui.halting import show_halt, show_halt_buttons, show_halt_dialog
from ui.portfolio_bar import show_portfolio
from ui.position_rows import CLOSING, show_positions
from ui.session import ask, live
from ui.styling import apply_style
from ui.trade_history import show_closed, show_executions
from ui.trade_ticket import ORDERING, show_ticket

_MOST_OPEN = 100
_RECENT = 20


def page() -> None:
    apply_style()
    _ticket()
    _dialogs()
    _head()
    _figures()
    _positions()
    _markets()
    _trades()


def _ticket() -> None:
    """The form, in the sidebar: outside the live parts, so that typing in it is never disturbed."""
    with st.sidebar:
        form = ask(lambda api: (api.instruments(), api.trade_defaults()))
        if isinstance(form, ApiError):
            st.caption("The trade form comes back with the API.")
            return
        instruments, defaults = form
        show_ticket(instruments, defaults.exit_policy)


@st.fragment(run_every=5)
def _head() -> None:
    """The title, the buttons over the whole system, and what stands in its way. The live part tells an outage."""
    open_what_was_asked()
    title, buttons = st.columns((1, 1), vertical_alignment="bottom")
    title.header("Assets", anchor=False)
    answer = ask(lambda api: (api.status(), api.halt_status()))
    if isinstance(answer, ApiError):
        return
    status, halt = answer
    with buttons:
        show_halt_buttons(halt)
    show_status(status)
    show_halt(halt)


@st.fragment(run_every=5)
def _figures() -> None:
    answer = ask(lambda api: (api.portfolio(), api.account()))
    if not isinstance(answer, ApiError):
        show_portfolio(*answer)


@st.fragment(run_every=2)
def _positions() -> None:
    """What is open. An outage is told here, in one sentence; the first answer after it brings the page back."""
    open_what_was_asked()
    answer = live(lambda api: api.positions(state="active", limit=_MOST_OPEN))
    if answer is None:
        return
    st.subheader("Open positions", anchor=False)
    if answer.items:
        show_positions(answer.items)
    else:
        st.info("No position is open. Choose a market, a symbol and an amount on the left, then Buy or Sell.")


@st.fragment(run_every=5)
def _markets() -> None:
    open_what_was_asked()
    answer = ask(lambda api: (api.portfolio(), api.instruments(), api.trade_defaults()))
    if isinstance(answer, ApiError):
        return
    portfolio, instruments, defaults = answer
    st.subheader("Markets", anchor=False)
    show_assets(portfolio.assets, instruments, defaults.exit_policy)


@st.fragment(run_every=5)
def _trades() -> None:
    answer = ask(_recent)
    if isinstance(answer, ApiError):
        return
    account, closed, executions = answer
    trades, fills, balances = st.tabs(["Closed positions", "Executions", "Balances"])
    with trades:
        show_closed(closed)
    with fills:
        show_executions(executions)
    with balances:
        show_balances(account.balances)


def _recent(api: AtsClient) -> tuple[AccountView, list[PositionView], list[ExecutionView]]:
    return (
        api.account(),
        api.positions(state="closed", limit=_RECENT).items,
        api.executions(limit=_RECENT).items,
    )


def _dialogs() -> None:
    """A dialog is opened here, outside the live parts, whose refresh would close one they had opened themselves; and
    before them: nothing that stops one of them keeps it from opening."""
    show_notice()
    ticket, wish, position = asked(ORDERING), asked(WISHED), asked(CLOSING)
    if ticket is not None:
        confirm_trade(ticket)
    elif wish is not None:
        confirm_wish(wish)
    elif position is not None:
        confirm_close(position)
    else:
        show_halt_dialog()


page()
