"""Strategies: what each may do and does, the switches and numbers that decide it, and every version they had."""

from __future__ import annotations

import streamlit as st

from client import ApiError
from ui.dialogs import show_notice
from ui.halting import show_halt
from ui.session import ask, live
from ui.strategy_cards import EDITING, SWITCHING, confirm_gate, show_card
from ui.strategy_form import edit_strategy
from ui.strategy_history import show_history
from ui.styling import apply_style


def page() -> None:
    apply_style()
    st.header("Strategies", anchor=False)
    _cards()
    _history()
    _dialogs()


@st.fragment(run_every=5)
def _cards() -> None:
    answer = live(lambda api: (api.strategies(), api.halt_status()))
    if answer is None:
        return
    strategies, halt = answer
    show_halt(halt)
    if not strategies:
        st.info("No strategy is configured yet. They are stored when the stack starts: run make up.")
    for strategy in strategies:
        show_card(strategy)


def _history() -> None:
    """Outside the live part, so that choosing in it is never disturbed."""
    strategies = ask(lambda api: api.strategies())
    if strategies and not isinstance(strategies, ApiError):
        show_history(strategies)


def _dialogs() -> None:
    """Opened here, outside the live part: its refresh would close one it had opened itself."""
    show_notice()
    switch = st.session_state.pop(SWITCHING, None)
    strategy = st.session_state.pop(EDITING, None)
    if switch is not None:
        confirm_gate(switch)
    elif strategy is not None:
        edit_strategy(strategy)


page()
