"""Orders: those in doubt and what was sought, what others hold on the account, comparisons with the exchange."""

from __future__ import annotations

import streamlit as st

from client import ApiError, AtsClient
from client.models import ForeignView, OrderView, Page, ReconciliationView, UnknownOrdersView
from ui.comparing import show_compare_now
from ui.dialogs import show_notice
from ui.doubt_queue import OPENED, show_evidence, show_queue
from ui.exchange_tables import show_foreign, show_orders, show_reconciliations
from ui.halting import show_halt
from ui.session import ask, live
from ui.styling import apply_style

_ROWS = 200


def page() -> None:
    apply_style()
    st.header("Orders", anchor=False)
    opened = st.query_params.get(OPENED)
    if opened:
        show_evidence(opened)
        return
    show_notice()
    _halted()
    show_compare_now()
    _tables()


@st.fragment(run_every=10)
def _halted() -> None:
    halt = ask(lambda api: api.halt_status())
    if not isinstance(halt, ApiError):
        show_halt(halt)


@st.fragment(run_every=3)
def _tables() -> None:
    answer = live(_everything)
    if answer is None:
        return
    orders, doubts, foreign, comparisons = answer
    doubtful = len(doubts.in_doubt)
    queue, listed, others, compared = st.tabs(
        [f"In doubt ({doubtful})" if doubtful else "In doubt", "Orders", "Foreign", "Comparisons"]
    )
    with queue:
        show_queue(doubts)
    with listed:
        show_orders(orders.items)
    with others:
        show_foreign(foreign)
    with compared:
        show_reconciliations(comparisons.items)


def _everything(
    api: AtsClient,
) -> tuple[Page[OrderView], UnknownOrdersView, ForeignView, Page[ReconciliationView]]:
    return api.orders(limit=_ROWS), api.unknown_orders(), api.foreign(), api.reconciliations(limit=_ROWS)


page()
