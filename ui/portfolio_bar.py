"""The portfolio in figures: what it is worth, and what it brought. Every figure is the API's, none is summed here."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from client.models import AccountView, PortfolioView
from ui.formatting import age_text, gain_color, minute_text, money_text

PERIOD_NAMES = {"today": "Today", "7d": "7 days", "30d": "30 days", "180d": "180 days", "all": "All time"}
"""Periods of P&L as the API names them, and as a person reads them."""

_STALE_SECONDS = 60.0
_NARROWEST = 150


def show_portfolio(portfolio: PortfolioView, account: AccountView) -> None:
    """Value and balances, then net P&L by period, then how fresh it all is."""
    with st.grid(6, min_column_width=_NARROWEST, gap="xsmall", key="portfolio-values"):
        _amount("Portfolio value (USD)", portfolio.equity)
        _amount("Unified balance (USD)", portfolio.unified_balance)
        _amount("Funding balance (USD)", portfolio.funding_balance)
        _amount("Invested (USD)", portfolio.invested)
        show_gain("Unrealised P&L (USD)", portfolio.unrealised_pnl)
        st.metric("Open positions", portfolio.open_positions, border=True, height="stretch")
    with st.grid(5, min_column_width=_NARROWEST, gap="xsmall", key="portfolio-pnl"):
        for period, name in PERIOD_NAMES.items():
            show_gain(f"Net P&L · {name}", portfolio.pnl.get(period))
    st.caption(_freshness(portfolio, account))


def _amount(label: str, amount: Decimal | None) -> None:
    st.metric(label, money_text(amount), border=True, height="stretch")


def show_gain(label: str, amount: Decimal | None) -> None:
    """A metric whose figure is green for a gain and red for a loss."""
    with st.container(key=f"figure-{gain_color(amount)}-{label}"):
        st.metric(label, money_text(amount, signed=True), border=True, height="stretch")


def _freshness(portfolio: PortfolioView, account: AccountView) -> str:
    said = [
        _balances_age(account),
        f"net P&L is after fees and funding, in UTC days, at {minute_text(portfolio.as_of)}",
    ]
    if account.oldest_price_age_seconds is not None:
        said.insert(1, f"oldest price {age_text(account.oldest_price_age_seconds)}")
    if account.unpriced_symbols:
        said.insert(1, f":orange[no live price for {', '.join(account.unpriced_symbols)}: not in these sums]")
    if portfolio.snapshot_hour is not None:
        snapshot = f"{money_text(portfolio.snapshot_equity)} at {minute_text(portfolio.snapshot_hour)}"
        said.append(f"newest snapshot {snapshot}")
    else:
        said.append("no hourly snapshot yet: the first is taken at the next full hour of market time")
    return " · ".join(said)


def _balances_age(account: AccountView) -> str:
    if account.age_seconds is None:
        return ":orange[the exchange has told no balance yet: is the trading worker running?]"
    color = "orange" if account.age_seconds > _STALE_SECONDS else "gray"
    return f":{color}[balances told {age_text(account.age_seconds)} ago]"
