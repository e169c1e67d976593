"""The button that compares the account with the exchange now."""

from __future__ import annotations

import streamlit as st

from client import new_key
from client.models import ReconcileNow
from ui.dialogs import carry_out, confirmed, reason_field


def show_compare_now() -> None:
    if st.button("Compare now", icon=":material/sync:", key="compare-now"):
        _compare(new_key())


@st.dialog("Compare with the exchange")
def _compare(key: str) -> None:
    st.markdown("Orders, positions, balances and executions at the exchange are held against our books now.")
    reason = reason_field("compare-reason", "why now")
    if confirmed("Compare", reason):
        request = ReconcileNow(reason=reason.strip())
        carry_out(lambda api: api.reconcile(request, key=key), "Compared with the exchange.")
