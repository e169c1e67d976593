"""Open positions, one row each: what is held, what it is worth, when it is left, and who watches over it."""

from __future__ import annotations

import streamlit as st

from client.models import PositionView, ProtectionView, RatchetView
from ui.dialogs import remember
from ui.formatting import age_text, gain_color, money_text, percent_text, price_text, quantity_text, two_lines, words
from ui.styling import show_headings

CLOSING = "position_to_close"
"""Session key: the position whose Close button was pressed."""

_STALE_SECONDS = 10.0
_WIDTHS = (2.0, 1.25, 2.1, 1.15, 1.2, 1.4, 1.6, 0.9)
_HEADINGS = ("Position", "Quantity", "Entry → now", "P&L (USD)", "Profit / stop", "Best price", "Protection", "")


def show_positions(positions: list[PositionView]) -> None:
    """The table. A pressed Close button leaves its position in the session."""
    with st.container(key="rows-positions"):
        show_headings("positions", _WIDTHS, _HEADINGS)
        for position in positions:
            _row(position)


def _row(position: PositionView) -> None:
    with st.container(border=True, key=f"row-{position.id}"):
        cells = st.columns(_WIDTHS, gap="small", vertical_alignment="center")
        cells[0].markdown(_identity(position))
        cells[1].markdown(_quantity(position))
        cells[2].markdown(_prices(position))
        cells[3].markdown(_gain(position))
        cells[4].markdown(_levels(position))
        cells[5].markdown(_ratchet(position.ratchet))
        cells[6].markdown(_protection(position))
        cells[7].button(
            "Close",
            key=f"close-{position.id}",
            disabled=position.state != "open",
            width="stretch",
            on_click=remember,
            args=(CLOSING, position),
        )


def _identity(position: PositionView) -> str:
    color = "green" if position.side == "long" else "red"
    return two_lines(
        f"**{position.symbol}** :{color}-badge[{position.side}]",
        f":small[:gray[{position.category} · {words(position.strategy)} · {age_text(position.age_seconds)}]]",
    )


def _quantity(position: PositionView) -> str:
    if position.qty == 0:
        return two_lines(quantity_text(position.planned_qty), f":small[:orange[{words(position.state)}]]")
    state = "" if position.state == "open" else f":orange[{words(position.state)}] · "
    return two_lines(quantity_text(position.qty), f":small[{state}:gray[{money_text(position.value)} USD]]")


def _prices(position: PositionView) -> str:
    now = position.price
    if now is None:
        return two_lines(price_text(position.entry_price), ":small[:orange[no live price]]")
    color = "orange" if now.age_seconds > _STALE_SECONDS else "gray"
    return two_lines(
        f"{price_text(position.entry_price)} → **{price_text(now.last_price)}**",
        f":small[:{color}[price {age_text(now.age_seconds)} old]]",
    )


def _gain(position: PositionView) -> str:
    color = gain_color(position.unrealised_pnl)
    return two_lines(
        f":{color}[**{money_text(position.unrealised_pnl, signed=True)}**]",
        f":small[:{color}[{percent_text(position.unrealised_percent)}]]",
    )


def _levels(position: PositionView) -> str:
    return two_lines(
        f":green[▲] {price_text(position.take_profit_price)}" if position.take_profit_price else ":gray[no target]",
        f":red[▼] {price_text(position.stop_price)}",
    )


def _ratchet(ratchet: RatchetView | None) -> str:
    if ratchet is None:
        return ":gray[not watched yet]"
    armed = ":green-badge[trailing armed]" if ratchet.armed else ":gray-badge[not armed]"
    return two_lines(price_text(ratchet.best_price), armed)


def _protection(position: PositionView) -> str:
    protection = position.protection
    if protection is None:
        return f":gray[{words(position.state)}]"
    if not protection.guard_live and not protection.resting_stop:
        return ":red-badge[:material/warning: unprotected]"
    stop = (
        f":green-badge[rests {price_text(protection.resting_stop_price)}]"
        if protection.resting_stop
        else ":orange-badge[no resting stop]"
    )
    return two_lines(_guard(position, protection), stop)


def _guard(position: PositionView, protection: ProtectionView) -> str:
    if position.watch == "stale":
        return f":orange-badge[prices stale {age_text(position.price_age_seconds)}]"
    if protection.guard_live:
        return f":green-badge[guard {age_text(protection.guard_age_seconds)}]"
    return ":orange-badge[no live guard]"
