"""What was traded lately: closed positions with what they brought, and every fill."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from client.models import ExecutionView, PositionView
from ui.formatting import money_text, price_text, quantity_text, time_text, words
from ui.palette import palette

_NET = "P&L (USD)"


def show_closed(positions: list[PositionView]) -> None:
    """Closed positions, newest first, gains green and losses red."""
    if not positions:
        st.info("No position was closed yet. What you buy or sell shows here once it is closed.")
        return
    table = pd.DataFrame([_closed_row(position) for position in positions])
    gains = [position.net_pnl for position in positions]
    colors = pd.DataFrame("", index=table.index, columns=table.columns)
    tones = palette()
    colors[_NET] = [f"color: {tones.gain if gain > 0 else tones.loss}" if gain else "" for gain in gains]
    st.dataframe(table.style.apply(lambda _: colors, axis=None), hide_index=True, width="stretch", height="content")


def _closed_row(position: PositionView) -> dict[str, str]:
    return {
        "Closed (UTC)": time_text(position.closed_at) if position.closed_at else words(position.state),
        "Symbol": position.symbol,
        "Side": position.side,
        "Quantity": quantity_text(position.entry_qty),
        "Entry": price_text(position.entry_price),
        "Exit": price_text(position.exit_price),
        "Gross (USD)": money_text(position.gross_pnl, signed=True),
        "Fees (USD)": money_text(position.fees),
        "Funding (USD)": money_text(position.funding, signed=True),
        _NET: money_text(position.net_pnl, signed=True),
        "Why": words(position.exit_reason),
        "Strategy": words(position.strategy),
    }


def show_executions(executions: list[ExecutionView]) -> None:
    """Fills, newest first."""
    if not executions:
        st.info("Nothing was traded yet. Open a position with the form on the left.")
        return
    st.dataframe(
        pd.DataFrame([_execution_row(each) for each in executions]), hide_index=True, width="stretch", height="content"
    )


def _execution_row(execution: ExecutionView) -> dict[str, str]:
    return {
        "Time (UTC)": time_text(execution.executed_at),
        "Symbol": execution.symbol,
        "Market": execution.category,
        "Side": execution.side,
        "Quantity": quantity_text(execution.qty),
        "Price": price_text(execution.price),
        "Value (USD)": money_text(execution.value),
        "Fee": f"{quantity_text(execution.fee)} {execution.fee_coin}",
        "Order": execution.order_link_id or "not ours",
    }
