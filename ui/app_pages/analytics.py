"""Analytics: equity, net P&L, volume and fees over a period, by strategy and by symbol."""

from __future__ import annotations

import streamlit as st

from client.models import PnlView
from ui.exporting import snapshots_csv
from ui.formatting import minute_text
from ui.pnl_charts import (
    show_daily_pnl,
    show_drawdown,
    show_equity,
    show_fees,
    show_running_pnl,
    show_shares,
    show_volume,
)
from ui.portfolio_bar import PERIOD_NAMES, show_gain
from ui.session import live
from ui.styling import apply_style

_NO_TRADE = "Nothing was closed in this period. Choose a longer one, or trade on the Assets page."


def page() -> None:
    apply_style()
    st.header("Analytics", anchor=False)
    period = st.segmented_control(
        "Period",
        list(PERIOD_NAMES),
        default="7d",
        required=True,
        format_func=PERIOD_NAMES.__getitem__,
        key="analytics-period",
        label_visibility="collapsed",
    )
    _figures(period)


@st.fragment(run_every=30)
def _figures(period: str) -> None:
    pnl = live(lambda api: api.pnl(period))
    if pnl is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width=260):
            show_gain(f"Net P&L · {PERIOD_NAMES[period]} (USD)", pnl.net_pnl)
        st.caption(f"after fees and funding, in UTC days, at {minute_text(pnl.as_of)} UTC")
        _exports(pnl)
    _hours(pnl)
    _shares(pnl)


def _hours(pnl: PnlView) -> None:
    if not pnl.hours:
        st.info(
            "No hourly snapshot falls into this period yet. One is taken at each full hour of market time; choose a "
            "longer period, or come back after the next hour."
        )
        return
    with st.grid(2, min_column_width=420, gap="small"):
        with st.container(border=True):
            st.markdown("**Equity** :small[:gray[hourly, USD]]")
            show_equity(pnl.hours)
        with st.container(border=True):
            st.markdown("**Drawdown** :small[:gray[of equity, transfers taken out]]")
            show_drawdown(pnl.hours)
        with st.container(border=True):
            st.markdown("**Running net P&L** :small[:gray[of each day, from 00:00 UTC]]")
            show_running_pnl(pnl.hours)
        with st.container(border=True):
            st.markdown("**Net P&L by day** :small[:gray[USD]]")
            show_daily_pnl(pnl.days)
        with st.container(border=True):
            st.markdown("**Volume** :small[:gray[hourly, bought up, sold down]]")
            show_volume(pnl.hours)
        with st.container(border=True):
            st.markdown("**Fees and funding** :small[:gray[hourly, paid down, received up]]")
            show_fees(pnl.hours)


def _shares(pnl: PnlView) -> None:
    with st.grid(2, min_column_width=420, gap="small"):
        with st.container(border=True):
            st.markdown("**By strategy**")
            show_shares(pnl.by_strategy, _NO_TRADE)
        with st.container(border=True):
            st.markdown("**By symbol**")
            show_shares(pnl.by_symbol, _NO_TRADE)


def _exports(pnl: PnlView) -> None:
    if not pnl.hours:
        return
    st.download_button(
        "Export CSV",
        snapshots_csv(pnl.hours),
        file_name=f"ats-hourly-{pnl.period}-{pnl.as_of:%Y%m%dT%H%M}Z.csv",
        mime="text/csv",
        icon=":material/download:",
        key="analytics-csv",
        on_click="ignore",
    )


page()
