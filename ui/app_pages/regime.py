"""Regime & watchlist: what the market is taken for, who is interesting, who is traded; now or as of an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from client import ApiError, ApiProblem, AtsClient
from client.models import CandleView, Category, Page, RegimeView, Timeframe, WatchlistEntryView
from ui.formatting import minute_text
from ui.regime_chart import cut_to, show_band, show_changes
from ui.regime_runs import Run, regime_runs
from ui.regime_score import show_regime, show_terms
from ui.session import ask, live, sentence
from ui.styling import apply_style
from ui.universe_tables import show_universe
from ui.watchlist_tables import Ranked, ranked_now, ranked_then, show_capture, show_watchlist

_CANDLES = {Timeframe.H4: 180, Timeframe.D1: 120}
_PAGE = 200
_PREVIOUS, _DAY_AGO = "the close before", "a day before"


def page() -> None:
    apply_style()
    st.header("Regime & watchlist", anchor=False)
    as_of = _as_of()
    _regime(as_of)
    watched, captured, traded = st.tabs(["Watchlist", "Capture", "Universe"])
    with watched:
        _watchlist(as_of)
    with captured:
        _capture(as_of)
    with traded:
        _universe()


def _as_of() -> datetime | None:
    """Outside the live parts, so that typing is never disturbed. None: now."""
    typed = st.text_input(
        "As of (UTC, market time)", key="regime-as-of", placeholder="now, or 2026-03-01 12:00", width=280
    )
    if not typed.strip():
        return None
    try:
        instant = datetime.fromisoformat(typed.strip())
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        st.error(f"{typed!r} is no date or instant such as 2026-03-01 or 2026-03-01 12:00.")
        st.stop()
    st.caption(f"Regime, watchlist and capture as they were known at {minute_text(instant)} UTC.")
    return instant


@st.fragment(run_every=15)
def _regime(as_of: datetime | None) -> None:
    chosen = st.segmented_control(
        "Candles", list(_CANDLES), default=Timeframe.H4, required=True, key="regime-candles", width="content"
    )
    timeframe = Timeframe(chosen or Timeframe.H4)
    now = live(lambda api: api.regime(as_of=as_of))
    if now is None:
        return
    answer = ask(lambda api: _charted(api, timeframe, as_of))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    candles, history = answer
    runs = regime_runs(history)
    show_regime(now, runs)
    _show_chart(candles, runs, timeframe)
    if now.newest is not None:
        show_terms(now.newest)
    if runs:
        st.subheader("Changes of the regime in force", anchor=False)
        show_changes(runs)


def _show_chart(candles: list[CandleView], runs: list[Run], timeframe: Timeframe) -> None:
    if candles:
        start, end = candles[-1].open_time, candles[0].open_time + timeframe.duration
        runs = cut_to(runs, start, max(end, runs[-1].end) if runs else end)
    show_band(candles, runs, int(timeframe.duration / timedelta(hours=1)))


def _charted(api: AtsClient, timeframe: Timeframe, as_of: datetime | None) -> tuple[list[CandleView], list[RegimeView]]:
    """Candles, newest first, and the regime at every 4h close of their time, in pages."""
    candles = api.candles("BTCUSDT", timeframe, category=Category.LINEAR, until=as_of, limit=_CANDLES[timeframe]).items
    since = candles[-1].open_time if candles else None
    found: list[RegimeView] = []
    page = Page[RegimeView](items=[], next_cursor=None)
    while not found or page.next_cursor is not None:
        page = api.regime_history(since=since, as_of=as_of, limit=_PAGE, cursor=page.next_cursor)
        found += page.items
        if not page.items or since is None:
            break
    return candles, found


@st.fragment(run_every=15)
def _watchlist(as_of: datetime | None) -> None:
    against = st.segmented_control(
        "Compared with", [_PREVIOUS, _DAY_AGO], default=_DAY_AGO, required=True, key="regime-against"
    )
    back = timedelta(hours=24) if against == _DAY_AGO else timedelta(seconds=1)
    answer = ask(lambda api: _places(api, as_of, back))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    places, earlier = answer
    show_watchlist(places, earlier, against or _DAY_AGO)


def _places(api: AtsClient, as_of: datetime | None, back: timedelta) -> tuple[list[Ranked], list[WatchlistEntryView]]:
    places = ranked_now(api.watchlist()) if as_of is None else ranked_then(api.watchlist_kept(as_of=as_of))
    earlier = api.watchlist_kept(as_of=places[0].close_at - back) if places else []
    return places, earlier


@st.fragment(run_every=60)
def _capture(as_of: datetime | None) -> None:
    answer = ask(lambda api: api.watchlist_capture(until=as_of))
    if isinstance(answer, ApiProblem) and answer.code == "nothing-watched":
        st.info("No candle close was decided yet. The list is measured against the movers of each seven days of scans.")
    elif isinstance(answer, ApiError):
        st.error(sentence(answer))
    else:
        show_capture(answer)


@st.fragment(run_every=60)
def _universe() -> None:
    answer = ask(lambda api: api.universe())
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    show_universe(answer)


page()
