"""Entry of the UI (``streamlit run ui/app.py``): navigation only."""

from __future__ import annotations

import streamlit as st

st.set_page_config(page_title="ATS", page_icon=":material/candlestick_chart:", layout="wide")
st.navigation(
    [
        st.Page("app_pages/assets.py", title="Assets", icon=":material/account_balance_wallet:"),
        st.Page("app_pages/analytics.py", title="Analytics", icon=":material/monitoring:"),
        st.Page("app_pages/orders.py", title="Orders", icon=":material/receipt_long:"),
        st.Page("app_pages/strategies.py", title="Strategies", icon=":material/tune:"),
        st.Page("app_pages/signals.py", title="Signals", icon=":material/filter_alt:"),
        st.Page("app_pages/regime.py", title="Regime & watchlist", icon=":material/thermostat:"),
    ]
).run()
