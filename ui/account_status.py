"""The balances of the account, and which parts of the system run."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from client.models import BalanceView, StatusView
from ui.formatting import money_text, quantity_text


def show_balances(balances: list[BalanceView]) -> None:
    """The coins of the unified account."""
    if not balances:
        st.caption("No coin is held, or the exchange has told no balance yet.")
        return
    rows = [
        {
            "Coin": balance.coin,
            "Balance": quantity_text(balance.wallet_balance),
            "Equity": quantity_text(balance.equity),
            "Locked": quantity_text(balance.locked),
            "Worth (USD)": money_text(balance.usd_value),
        }
        for balance in balances
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")


def show_status(status: StatusView) -> None:
    """One line: which exchange, what is down, which stream is cut."""
    color = "red" if status.mode == "live" else "blue"
    parts = [f":{color}-badge[{status.mode}]"]
    down = [part for part in [*status.components, *status.workers] if not part.ok]
    parts += [f":orange-badge[{part.name}: {part.detail}]" for part in down]
    parts += [f":orange-badge[stream {stream.name} is cut]" for stream in status.streams if not stream.connected]
    if len(parts) == 1:
        parts.append(":green-badge[all parts running]")
    st.markdown(" ".join(parts))
