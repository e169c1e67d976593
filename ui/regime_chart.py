"""BTC's candles with the regime that was in force behind them, and when it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from client.models import CandleView, Regime
from ui.formatting import age_text, minute_text, words
from ui.paging import one_page, show_pages
from ui.palette import palette
from ui.regime_runs import Run

_HEIGHT = 340
_NONE = "none"
_AXIS_FORMAT = "%m-%d %H:%M"
_TIME_FORMAT = "%Y-%m-%d %H:%M"


def show_band(candles: Sequence[CandleView], runs: Sequence[Run], hours: int) -> None:
    """Candles of ``hours`` each, the regimes as a band over the chart's full height."""
    if not candles:
        st.info(
            "No BTCUSDT candle of this length is stored up to then. The market worker fetches them by itself; "
            "`ats data backfill BTCUSDT` fetches more."
        )
        return
    layers = [_regimes(runs)] if runs else []
    chart = alt.layer(*layers, *_candles(candles, hours)).resolve_scale(color="independent")
    st.altair_chart(chart.properties(height=_HEIGHT), width="stretch")


def cut_to(runs: Sequence[Run], start: datetime, end: datetime) -> list[Run]:
    """What of ``runs`` lies in [start, end)."""
    return [
        Run(each.regime, max(each.start, start), min(each.end, end), each.score)
        for each in runs
        if each.start < end and each.end > start
    ]


def _regimes(runs: Sequence[Run]) -> alt.Chart:
    names = [str(each) for each in Regime]
    shown = [words(each) for each in names]
    frame = pd.DataFrame(
        {
            "from": [_plain(run.start) for run in runs],
            "to": [_plain(run.end) for run in runs],
            "regime": [words(run.regime) if run.regime else _NONE for run in runs],
        }
    )
    scale = alt.Scale(domain=[*shown, _NONE], range=[*palette().regimes, "transparent"])
    return (
        alt.Chart(frame)
        .mark_rect(opacity=0.28)
        .encode(
            x=_time_axis("from"),
            x2="to:T",
            color=alt.Color("regime:N", scale=scale, legend=alt.Legend(orient="top", title="in force", values=shown)),
            tooltip=[
                "regime",
                alt.Tooltip("from:T", title="from (UTC)", format=_TIME_FORMAT),
                alt.Tooltip("to:T", title="to (UTC)", format=_TIME_FORMAT),
            ],
        )
    )


def _candles(candles: Sequence[CandleView], hours: int) -> list[alt.Chart]:
    tones = palette()
    frame = pd.DataFrame(
        {
            "from": [_plain(each.open_time) for each in candles],
            "middle": [_plain(each.open_time + timedelta(hours=hours / 2)) for each in candles],
            **{name: [getattr(each, name) for each in candles] for name in ("open", "high", "low", "close")},
        }
    )
    color: Any = alt.condition("datum.close < datum.open", alt.value(tones.loss), alt.value(tones.gain))
    prices = alt.Scale(zero=False, nice=True)
    base = alt.Chart(frame).encode(
        x=_time_axis("middle"),
        color=color,
        tooltip=[
            alt.Tooltip("from:T", title="open (UTC)", format=_TIME_FORMAT),
            *(alt.Tooltip(f"{name}:Q", format=",.2f") for name in ("open", "high", "low", "close")),
        ],
    )
    wide = max(min(int(900 / len(candles)), 12), 2)
    wicks = base.mark_rule().encode(y=alt.Y("low:Q", title="BTCUSDT", scale=prices), y2="high:Q")
    bodies = base.mark_bar(size=wide).encode(y=alt.Y("open:Q", scale=prices), y2="close:Q")
    return [wicks, bodies]


def show_changes(runs: Sequence[Run]) -> None:
    """Each change of the regime in force, newest first."""
    newest = list(reversed(runs))
    rows = [
        {
            "From (UTC)": minute_text(run.start),
            "To (UTC)": minute_text(run.end),
            "In force": words(run.regime) if run.regime else _NONE,
            "For": age_text((run.end - run.start).total_seconds()),
            "Score at the change": round(run.score, 1),
        }
        for run in one_page(newest, "regimes", 10)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")
    show_pages(newest, "regimes", 10)


def _time_axis(name: str) -> alt.X:
    return alt.X(f"{name}:T", title=None, axis=alt.Axis(format=_AXIS_FORMAT, tickCount=8, labelOverlap=True))


def _plain(instant: datetime) -> str:
    """UTC told as local time, since the browser would otherwise move it to its own zone."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S")
