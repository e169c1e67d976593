"""The watchlist: places with what moved since an earlier close, and what the list was worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from client.models import CaptureSideView, CaptureView, WatchlistEntryView, WatchlistView
from ui.formatting import ABSENT, minute_text, words
from ui.paging import one_page, show_pages
from ui.signal_tables import evidence_text

Earlier = dict[tuple[str, str], int]
"""Places at an earlier close, by side and symbol."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place at the close shown; ``scores`` by strategy, the highest first. ``listed``: one of the places kept."""

    side: str
    rank: int
    symbol: str
    composite: float
    listed: bool
    close_at: datetime
    scores: tuple[tuple[str, float], ...]
    evidence: str


def ranked_now(places: Iterable[WatchlistView]) -> list[Ranked]:
    return [
        Ranked(
            each.side,
            each.rank,
            each.symbol,
            each.composite,
            each.listed,
            each.close_at,
            tuple((score.strategy, score.score) for score in each.scores),
            " | ".join(evidence_text(score.evidence) for score in each.scores),
        )
        for each in places
    ]


def ranked_then(entries: Iterable[WatchlistEntryView]) -> list[Ranked]:
    """Kept places: of the past the scores are kept, not their evidence."""
    return [
        Ranked(
            each.side,
            each.rank,
            each.symbol,
            each.composite,
            True,
            each.close_at,
            tuple(sorted(each.scores.items(), key=lambda score: (-score[1], score[0]))),
            ABSENT,
        )
        for each in entries
    ]


def show_watchlist(places: Sequence[Ranked], earlier: Sequence[WatchlistEntryView], since: str) -> None:
    """Both sides by place; ``since`` names the close of ``earlier`` in words."""
    if not places:
        st.info("No symbol has a score: switch on a strategy's watchlist gate, and wait for the next scan.")
        return
    before: Earlier = {(each.side, each.symbol): each.rank for each in earlier}
    heading = f"Since {since}"
    shown = one_page(places, "watchlist", 30)
    rows = [
        {
            "Side": each.side,
            "Place": each.rank,
            heading: move_text(each, before) if earlier else ABSENT,
            "Symbol": each.symbol,
            "Composite": each.composite,
            "Best strategy": words(each.scores[0][0]) if each.scores else ABSENT,
            "Scores": " · ".join(f"{words(name)} {points:.1f}" for name, points in each.scores),
            "Kept": "yes" if each.listed else "no",
            "Evidence": each.evidence,
        }
        for each in shown
    ]
    bar = st.column_config.ProgressColumn("Composite", min_value=0, max_value=100, format="%.1f")
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch", height="content", column_config={"Composite": bar}
    )
    show_pages(places, "watchlist", 30)
    st.caption(_moved(places, earlier, since))


def move_text(place: Ranked, before: Earlier) -> str:
    """How a place changed: up, down, unchanged, new on the list, or not on it then nor now."""
    then = before.get((place.side, place.symbol))
    if then is None:
        return "new" if place.listed else ABSENT
    moved = then - place.rank
    if moved == 0:
        return "="
    return f"\N{BLACK UP-POINTING TRIANGLE} {moved}" if moved > 0 else f"\N{BLACK DOWN-POINTING TRIANGLE} {-moved}"


def _moved(places: Sequence[Ranked], earlier: Sequence[WatchlistEntryView], since: str) -> str:
    at = f"As of the close of {minute_text(places[0].close_at)} UTC."
    if not earlier:
        return f"{at} No list was kept at {since} to compare with."
    listed = {(each.side, each.symbol) for each in places if each.listed}
    gone = [f"{each.symbol} ({each.side})" for each in earlier if (each.side, each.symbol) not in listed]
    left = f"Left the list: {', '.join(gone)}." if gone else "Nothing left the list."
    return f"{at} Compared with the close of {minute_text(earlier[0].close_at)} UTC. {left}"


def show_capture(capture: CaptureView) -> None:
    """Precision, recall and lead time of each side, each seven days, and the movers of the newest."""
    st.caption(
        f"The kept lists against the top {capture.k} movers of each seven days, {minute_text(capture.since)} to "
        f"{minute_text(capture.until)} UTC. **Precision**: of the symbols listed, the share that became movers. "
        "**Recall**: of the movers, the share that was listed. **Lead**: hours from the listing of a captured mover "
        "to half of its move."
    )
    for side, column in zip(capture.sides, st.columns(max(len(capture.sides), 1), gap="medium"), strict=False):
        with column:
            _show_side(side)


def _show_side(side: CaptureSideView) -> None:
    st.subheader(side.side, anchor=False)
    figures = side.figures
    precision, recall, lead = st.columns(3)
    precision.metric(f"Precision, {side.side}", share_text(figures.precision))
    recall.metric(f"Recall, {side.side}", share_text(figures.recall))
    lead.metric(f"Lead, {side.side}", ABSENT if figures.lead_hours is None else f"{figures.lead_hours:.0f} h")
    if not side.windows:
        st.info("There are no seven days of lists and candles yet: it is measured as soon as there are.")
        return
    st.caption(f"{figures.listed} listed, {figures.movers} movers, {figures.captured} captured")
    _table(
        {
            "Seven days to (UTC)": minute_text(each.end),
            "Listed": each.figures.listed,
            "Precision": share_text(each.figures.precision),
            "Movers": each.figures.movers,
            "Recall": share_text(each.figures.recall),
            "Lead (h)": ABSENT if each.figures.lead_hours is None else f"{each.figures.lead_hours:.0f}",
        }
        for each in reversed(side.windows)
    )
    newest = side.windows[-1].movers
    if newest:
        st.caption(f"movers of the seven days to {minute_text(side.windows[-1].end)} UTC")
        _table(
            {
                "Mover": each.symbol,
                "Move (%)": round(each.move_pct, 1),
                "Listed (UTC)": minute_text(each.listed_at),
                "Half way (UTC)": minute_text(each.half_at),
                "Lead (h)": ABSENT if each.lead_hours is None else f"{each.lead_hours:.0f}",
            }
            for each in newest
        )


def share_text(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.0%}"


def _table(rows: Iterable[dict[str, Any]]) -> None:
    st.dataframe(pd.DataFrame(list(rows)), hide_index=True, width="stretch", height="content")
