"""Orders, what others hold on the account, and comparisons with the exchange, as tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from client.models import ForeignOrderView, ForeignView, OrderView, ReconciliationView
from ui.formatting import ABSENT, price_text, quantity_text, time_text, words
from ui.paging import one_page, show_pages


def _table(rows: list[dict[str, Any]]) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")


def show_orders(orders: list[OrderView]) -> None:
    """Orders of ours, newest first."""
    if not orders:
        st.info("No order yet. Orders come from strategies whose buy or sell gate is on, and from trades by hand.")
        return
    _table([_order_row(order) for order in one_page(orders, "orders")])
    show_pages(orders, "orders")


def _order_row(order: OrderView) -> dict[str, Any]:
    return {
        "Created (UTC)": time_text(order.created_at),
        "Order": order.order_link_id,
        "Role": words(order.role),
        "Symbol": order.symbol,
        "Market": order.category,
        "Side": order.side,
        "Quantity": quantity_text(order.qty),
        "Filled": quantity_text(order.filled_qty),
        "Average": price_text(order.average_price),
        "Trigger": price_text(order.trigger_price),
        "State": words(order.state),
        "Error": order.error or "",
    }


def show_foreign(foreign: ForeignView) -> None:
    """Orders, positions and coins that none of ours explains. They are seen, shown and never touched."""
    st.caption(
        "What is on the account and not ours: somebody's own trades, another program, a deposit. It is counted, so "
        f"that our figures reconcile, and never touched. What went is shown for {foreign.gone_hours} hours."
    )
    if not (foreign.orders or foreign.positions or foreign.coins):
        st.info("Nothing foreign is on the account.")
        return
    if foreign.positions:
        st.subheader("Positions", anchor=False)
        _table(
            [
                {
                    "Symbol": position.symbol,
                    "Side": position.side,
                    "Size": quantity_text(position.size),
                    "Entry": price_text(position.entry_price),
                    "First seen (UTC)": time_text(position.first_seen_at),
                    "Gone (UTC)": time_text(position.gone_at),
                }
                for position in foreign.positions
            ]
        )
    if foreign.orders:
        st.subheader("Orders", anchor=False)
        _table([_foreign_order(order) for order in foreign.orders])
    if foreign.coins:
        st.subheader("Coins", anchor=False)
        _table(
            [
                {
                    "Coin": coin.coin,
                    "Balance": quantity_text(coin.balance),
                    "Ours": quantity_text(coin.ours),
                    "Dust": quantity_text(coin.dust),
                    "Foreign": quantity_text(coin.foreign),
                }
                for coin in foreign.coins
            ]
        )


def _foreign_order(order: ForeignOrderView) -> dict[str, Any]:
    return {
        "Symbol": order.symbol,
        "Market": order.category,
        "Side": order.side,
        "Kind": words(order.stop_order_type) if order.stop_order_type else order.order_type,
        "Quantity": quantity_text(order.qty),
        "Filled": quantity_text(order.filled_qty),
        "Price": price_text(order.price),
        "Trigger": price_text(order.trigger_price),
        "Status": order.status,
        "Its id": order.order_link_id or order.order_id,
        "First seen (UTC)": time_text(order.first_seen_at),
        "Gone (UTC)": time_text(order.gone_at),
    }


def show_reconciliations(comparisons: list[ReconciliationView]) -> None:
    """Comparisons, newest first; what the newest could not explain stands above."""
    if not comparisons:
        st.info("No comparison yet. The first is made when the trading worker starts.")
        return
    for drift in comparisons[0].drift:
        st.error(f"{drift.subject}: {drift.sentence}", icon=":material/warning:")
    page = one_page(comparisons, "comparisons")
    _table([_comparison_row(each) for each in page])
    show_pages(comparisons, "comparisons")
    st.caption("Written when something was done or found, and once an hour.")


def _comparison_row(each: ReconciliationView) -> dict[str, Any]:
    return {
        "Finished (UTC)": time_text(each.finished_at),
        "Took": f"{(each.finished_at - each.started_at).total_seconds():.1f} s",
        "Orders": each.orders_compared,
        "Positions": each.positions_compared,
        "Coins": each.balances_compared,
        "Executions fetched": each.executions_fetched,
        "Workflows brought back": each.workflows_started,
        "Stops repaired": each.stops_repaired,
        "Foreign": each.foreign_orders + each.foreign_positions,
        "Unexplained": "; ".join(f"{drift.subject} {quantity_text(drift.amount)}" for drift in each.drift) or ABSENT,
        "Halted entries": "yes" if each.halted else "",
    }
