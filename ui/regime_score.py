"""The regime in force and the score behind it, term by term."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from client.models import RegimeNowView, RegimeView
from ui.formatting import ABSENT, age_text, minute_text, words
from ui.palette import palette
from ui.regime_runs import Run


def show_regime(now: RegimeNowView, runs: Sequence[Run]) -> None:
    """What is in force and since when, and how sure that is. ``runs`` are what was read of the past, oldest first."""
    newest = now.newest
    if newest is None:
        st.info(
            "No regime was known yet. The scan of each 4h close computes it, once 250 daily candles of BTCUSDT are "
            "stored; `ats regime rebuild` computes the past. Until then the gates block what needs a regime."
        )
        return
    if now.in_force is None:
        st.warning(
            f"No regime is in force: the last 4h close has none that is confirmed. The newest is of "
            f"{minute_text(newest.valid_from)} UTC. `ats status` says whether scans go on.",
            icon=":material/warning:",
        )
    in_force, score, state, closes = st.columns(4)
    in_force.metric("In force", words(now.in_force))
    score.metric("Score (-100 to 100)", f"{newest.score:+.1f}")
    state.metric("State of the newest close", words(newest.state))
    closes.metric("Closes in that state", f"{newest.streak}")
    st.caption(_story(now, newest, runs))


def _story(now: RegimeNowView, newest: RegimeView, runs: Sequence[Run]) -> str:
    told = [
        "confirmed" if newest.confirmed else "not confirmed yet: three closes confirm, until then the last one rules"
    ]
    if runs and now.in_force is not None:
        further = "" if len(runs) > 1 else " at least"  # the oldest stretch may go on before what was read
        told.append(f"in force since {minute_text(runs[-1].start)} UTC{further}")
    if newest.pending is not None:
        told.append(f"this close called for {words(newest.pending)}")
    age = ABSENT if now.as_of is None else age_text(max((now.as_of - newest.valid_from).total_seconds(), 0))
    told.append(f"newest close {minute_text(newest.valid_from)} UTC, {age} old in market time")
    return " · ".join(told)


def show_terms(newest: RegimeView) -> None:
    """Each term's points within the most its weight allows, and the figures behind them."""
    tones = palette()
    frame = pd.DataFrame(
        [
            {
                "Term": words(each.name),
                "Measured (%)": round(each.value, 2),
                "Counts (-1 to 1)": round(each.term, 3),
                "Weight": each.weight,
                "Points": round(each.term * each.weight, 2),
            }
            for each in sorted(newest.terms, key=lambda term: (-term.weight, term.name))
        ]
    )
    drawn = frame.assign(least=-frame["Weight"])
    order = alt.Y("Term:N", sort=None, title=None, axis=alt.Axis(labelLimit=220))
    tooltip = list(frame.columns)
    base = alt.Chart(drawn).encode(y=order, tooltip=tooltip)
    room = base.mark_bar(color=tones.muted, opacity=0.25, height=20).encode(
        x=alt.X("least:Q", title="points of the score, within what the weight allows"), x2="Weight:Q"
    )
    points = base.mark_bar(height=12).encode(
        x=alt.X("Points:Q"),
        color=alt.condition("datum.Points < 0", alt.value(tones.loss), alt.value(tones.gain)),
    )
    bars, figures = st.columns([3, 2], gap="medium")
    bars.altair_chart((room + points).properties(height=34 * len(frame) + 50), width="stretch")
    figures.dataframe(frame, hide_index=True, width="stretch", height="content")
    halved = "halved, since the 4h candles disagree with its sign" if newest.factor != 1 else "not halved"
    figures.caption(
        f"Sum {frame['Points'].sum():+.1f}, {halved}: score {newest.score:+.1f}. "
        f"The 4h close is {newest.confirmation_pct:+.2f} % over its EMA-50."
    )
