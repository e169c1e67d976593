"""The account in one line of figures, its balances, and how fresh everything is."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from client.models import AccountView, BalanceView, StatusView
from ui.formatting import age_text, money_text, quantity_text

_STALE_SECONDS = 60.0


def show_account(account: AccountView) -> None:
    """Equity by the exchange's word, and open positions at live prices, each with its age."""
    equity, gain, value, count = st.columns(4, gap="small")
    equity.metric("Equity (USD)", money_text(account.equity), border=True, height="stretch")
    gain.metric(
        "Unrealised P&L (USD)",
        money_text(account.unrealised_pnl, signed=True),
        delta=_share(account),
        delta_color="normal" if account.unrealised_pnl else "off",
        border=True,
        height="stretch",
    )
    value.metric("In positions (USD)", money_text(account.positions_value), border=True, height="stretch")
    count.metric("Open positions", account.open_positions, border=True, height="stretch")
    st.caption(_freshness(account))


def _share(account: AccountView) -> str | None:
    """The unrealised gain as a share of equity. A plain hyphen: the arrow's direction is read from it."""
    if not account.equity or not account.unrealised_pnl:
        return None
    share = round(account.unrealised_pnl / account.equity * 100, 2)
    return f"{share:.2f} % of equity" if share else None


def _freshness(account: AccountView) -> str:
    if account.age_seconds is None:
        said = ":orange[the exchange has told no balance yet: is the trading worker running?]"
    else:
        color = "orange" if account.age_seconds > _STALE_SECONDS else "gray"
        said = f":{color}[balances told {age_text(account.age_seconds)} ago]"
    if account.oldest_price_age_seconds is not None:
        said += f" · oldest price {age_text(account.oldest_price_age_seconds)}"
    if account.unpriced_symbols:
        said += f" · :orange[no live price for {', '.join(account.unpriced_symbols)}: not in these sums]"
    return said


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
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


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
