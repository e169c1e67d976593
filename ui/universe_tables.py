"""Which of the symbols listed are traded, and which rule leaves the others out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import streamlit as st

from client.models import UniverseView
from ui.formatting import ABSENT, minute_text, money_text
from ui.paging import one_page, show_pages

_REASONS: Final = {
    "included": "on the list of those included",
    "chosen": "chosen by its turnover",
    "excluded": "on the list of those excluded",
    "not_named": "not one of the symbols named",
    "not_tradable": "not tradable at the exchange",
    "quote": "not quoted in USDT",
    "turnover": "turnover too small or unknown",
    "age": "listed too lately or age unknown",
    "spread": "spread too wide or unknown",
    "size": "places are taken by larger turnover",
}


def show_universe(symbols: Sequence[UniverseView]) -> None:
    """Members first; then those left out, each with its reason."""
    if not symbols:
        st.info("No universe was chosen yet: the market worker does it as it starts; `ats status` says if it runs.")
        return
    members = [each for each in symbols if each.member]
    others = [each for each in symbols if not each.member]
    chosen = max(each.chosen_at for each in symbols)
    st.caption(f"As of the last choice, {minute_text(chosen)} UTC; settings named universe change the rules.")
    traded, left_out = st.columns(2, gap="medium")
    with traded:
        st.subheader(f"{len(members)} traded", anchor=False)
        _show(members, "members", "No symbol passes the rules: see what is left out, and why.")
    with left_out:
        st.subheader(f"{len(others)} left out", anchor=False)
        counts = Counter(reason_text(each.reason) for each in others).most_common()
        if counts:
            st.caption(" · ".join(f"{count} {reason}" for reason, count in counts))
        _show(others, "left-out", "Every symbol listed is traded.")


def reason_text(reason: str) -> str:
    return _REASONS[reason]


def _show(symbols: Sequence[UniverseView], name: str, nothing: str) -> None:
    if not symbols:
        st.info(nothing)
        return
    rows = [_row(each) for each in one_page(symbols, name)]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")
    show_pages(symbols, name)


def _row(each: UniverseView) -> dict[str, Any]:
    return {
        "Symbol": each.symbol,
        "Market": each.category,
        "Place": ABSENT if each.rank is None else str(each.rank),
        "Why": reason_text(each.reason),
        "Turnover 24 h (USD)": money_text(each.turnover_usd),
        "Spread (bps)": ABSENT if each.spread_bps is None else f"{each.spread_bps:.1f}",
        "Age (d)": ABSENT if each.age_days is None else f"{each.age_days:.0f}",
        "Since (UTC)": minute_text(each.since),
    }
