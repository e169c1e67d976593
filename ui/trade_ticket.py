"""The Buy / Sell form: what to open, how much of it, and when to leave it. It only asks; the confirmation trades."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import streamlit as st

from client import new_key
from client.models import Category, ExitPolicy, InstrumentView

ORDERING = "trade_to_confirm"
"""Session key: the ticket whose Buy or Sell button was pressed."""

_PERCENT_FIELDS = (
    ("stop_loss_pct", "Stop loss %", "Leave when this far in loss. Every position has one."),
    ("take_profit_pct", "Take profit %", "Leave when this far in profit. Empty: none."),
    ("trailing_activation_pct", "Trail from %", "Once this far in profit, the stop follows the best price."),
    ("trailing_distance_pct", "Trail distance %", "How far behind the best price the trailing stop stays."),
    ("trailing_stop_pct", "Trailing stop %", "A stop that follows the best price from entry on. Empty: none."),
    ("break_even_at_pct", "Break even at %", "Once this far in profit, the stop moves to the entry price."),
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A trade to be confirmed. ``key`` makes the confirmation safe to press twice; ``targets`` as typed, in percent."""

    side: Literal["buy", "sell"]
    instrument: InstrumentView
    usd: Decimal
    targets: dict[str, str]
    key: str


def show_ticket(instruments: list[InstrumentView], defaults: ExitPolicy) -> None:
    """The form. A pressed button leaves a Ticket in the session and runs the page again."""
    st.subheader("Trade", anchor=False)
    tradable = [instrument for instrument in instruments if instrument.tradable]
    if not tradable:
        st.info("No instrument is known yet. The market worker reads them from the exchange at its start.")
        return
    markets = [category for category in Category if any(each.category is category for each in tradable)]
    market = st.segmented_control("Market", markets, default=markets[0], required=True, key="ticket-market")
    listed = {each.symbol: each for each in tradable if each.category is market}
    symbol = st.selectbox("Symbol", list(listed), key=f"ticket-symbol-{market}")
    usd = amount_field("ticket")
    targets = target_fields(defaults, "ticket")
    buy, sell = st.columns(2, gap="small")
    bought = buy.button("Buy", type="primary", width="stretch", key="ticket-buy", help="Open a long position")
    short_help = "Open a short position" if market is Category.LINEAR else "A short position needs the linear market"
    sold = sell.button(
        "Sell", width="stretch", key="ticket-sell", disabled=market is not Category.LINEAR, help=short_help
    )
    if bought or sold:
        side: Literal["buy", "sell"] = "buy" if bought else "sell"
        st.session_state[ORDERING] = Ticket(side, listed[symbol], usd, targets, new_key())


def amount_field(form: str) -> Decimal:
    """How much, in quote coin. ``form`` keeps the widgets of two forms apart."""
    usd = st.number_input("Amount (USD)", min_value=1.0, value=100.0, step=50.0, format="%.2f", key=f"{form}-usd")
    return Decimal(str(usd))


def target_fields(defaults: ExitPolicy, form: str) -> dict[str, str]:
    """The exit fields as typed, filled in with the defaults in force."""
    typed: dict[str, str] = {}
    st.caption("Exit targets, in percent of the entry price")
    columns = st.columns(2, gap="small")
    for number, (field, label, explanation) in enumerate(_PERCENT_FIELDS):
        default = getattr(defaults, field)
        typed[field] = columns[number % 2].text_input(
            label, value="" if default is None else f"{default:f}", help=explanation, key=f"{form}-{field}"
        )
    return {field: value.strip() for field, value in typed.items() if value.strip()}
