"""The markets of the portfolio, one row each: owned, traded or watched, with a Buy and a Sell."""

from __future__ import annotations

import streamlit as st

from client.models import AssetRow, Category, ExitPolicy, InstrumentView
from ui.confirmations import Wish
from ui.dialogs import remember
from ui.formatting import age_text, gain_color, money_text, price_text, quantity_text, two_lines, words
from ui.paging import one_page, show_pages
from ui.styling import show_headings

WISHED = "wish_to_confirm"
"""Session key: the wish of the row whose Buy or Sell button was pressed."""

_PER_PAGE = 12
_STALE_SECONDS = 10.0
_KINDS = ("all", "owned", "traded", "watched")
_COLORS = {"owned": "blue", "traded": "violet", "watched": "gray"}
_WIDTHS = (1.9, 1.3, 1.3, 1.3, 1.1, 1.3, 1.5, 1.7)
_HEADINGS = (
    "Market",
    "Held / balance",
    "Price",
    "Invested / today",
    "Value",
    "P&L / realised",
    "Protection / score",
    "",
)


def show_assets(assets: list[AssetRow], instruments: list[InstrumentView], defaults: ExitPolicy | None) -> None:
    """The table with its filter. A pressed button leaves a Wish in the session and runs the page again."""
    if not assets:
        st.info(
            "No market is owned, traded or watched yet. Buy or sell one with the form on the left, or switch on a "
            "strategy's watchlist gate on the Strategies page."
        )
        return
    chosen = _filtered(assets)
    if not chosen:
        st.caption("No market fits this filter.")
        return
    known = {(each.category, each.symbol): each for each in instruments if each.tradable}
    with st.container(key="rows-assets"):
        show_headings("assets", _WIDTHS, _HEADINGS)
        for asset in one_page(chosen, "assets", _PER_PAGE):
            _row(asset, known.get((asset.category, asset.symbol)), defaults)
    show_pages(chosen, "assets", _PER_PAGE)


def _filtered(assets: list[AssetRow]) -> list[AssetRow]:
    """What the kind chosen and the text typed leave."""
    counts = {kind: sum(kind in ("all", each.kind) for each in assets) for kind in _KINDS}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        kind = st.segmented_control(
            "Markets",
            _KINDS,
            default="all",
            required=True,
            format_func=lambda each: f"{each.capitalize()} ({counts[each]})",
            key="assets-kind",
            label_visibility="collapsed",
        )
        typed = st.text_input(
            "Symbol", key="assets-symbol", placeholder="symbol", width=180, label_visibility="collapsed"
        )
    wanted = typed.strip().upper()
    return [each for each in assets if kind in ("all", each.kind) and wanted in each.symbol]


def _row(asset: AssetRow, instrument: InstrumentView | None, defaults: ExitPolicy | None) -> None:
    name = f"{asset.category}-{asset.symbol}"
    with st.container(border=True, key=f"row-{name}"):
        cells = st.columns(_WIDTHS, gap="small", vertical_alignment="center")
        cells[0].markdown(_identity(asset))
        cells[1].markdown(two_lines(quantity_text(asset.qty), f":small[:gray[{quantity_text(asset.balance)}]]"))
        cells[2].markdown(_price(asset))
        invested_today = f":small[:gray[{money_text(asset.invested_today)} today]]"
        cells[3].markdown(two_lines(money_text(asset.invested), invested_today))
        cells[4].markdown(money_text(asset.value))
        cells[5].markdown(_gains(asset))
        cells[6].markdown(_watch(asset))
        with cells[7].container(horizontal=True, gap="xsmall", horizontal_alignment="right"):
            _buttons(asset, name, instrument, defaults)


def _buttons(asset: AssetRow, name: str, instrument: InstrumentView | None, defaults: ExitPolicy | None) -> None:
    """Buy opens a long, Sell a short position, which only the linear market has."""
    if instrument is None or defaults is None:
        st.button("Buy", key=f"buy-{name}", disabled=True, width="stretch")
        st.button("Sell", key=f"sell-{name}", disabled=True, width="stretch")
        return
    buy, sell = Wish.of("buy", instrument, defaults), Wish.of("sell", instrument, defaults)
    st.button("Buy", key=f"buy-{name}", width="stretch", on_click=remember, args=(WISHED, buy))
    shorts = asset.category is Category.LINEAR
    help_text = None if shorts else "A short position needs the linear market"
    st.button(
        "Sell",
        key=f"sell-{name}",
        disabled=not shorts,
        width="stretch",
        help=help_text,
        on_click=remember,
        args=(WISHED, sell),
    )


def _identity(asset: AssetRow) -> str:
    watchers = f" · {', '.join(words(each) for each in asset.watched_by)}" if asset.watched_by else ""
    return two_lines(
        f"**{asset.symbol}** :{_COLORS[asset.kind]}-badge[{asset.kind}]", f":small[:gray[{asset.category}{watchers}]]"
    )


def _price(asset: AssetRow) -> str:
    if asset.price is None or asset.price_age_seconds is None:
        return ":orange[no live price]"
    color = "orange" if asset.price_age_seconds > _STALE_SECONDS else "gray"
    return two_lines(price_text(asset.price), f":small[:{color}[{age_text(asset.price_age_seconds)} old]]")


def _gains(asset: AssetRow) -> str:
    unrealised, realised = asset.unrealised_pnl, asset.realised_pnl
    return two_lines(
        f":{gain_color(unrealised)}[{money_text(unrealised, signed=True)}]",
        f":small[:{gain_color(realised)}[{money_text(realised, signed=True)} realised]]",
    )


def _watch(asset: AssetRow) -> str:
    score = f":small[:gray[score {asset.score:.1f}]]" if asset.score is not None else ":small[:gray[no score]]"
    if asset.protected is None:
        return score
    return two_lines(_protection(asset), score)


def _protection(asset: AssetRow) -> str:
    if not asset.protected:
        return ":red-badge[:material/warning: unprotected]"
    if asset.watch == "stale":
        return ":orange-badge[stop rests, prices stale]"
    if asset.watch == "none":
        return ":orange-badge[stop rests, no guard]"
    return ":green-badge[protected]"
