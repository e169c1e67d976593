"""Scans, signals and what blocked them, as tables. A chosen signal is opened by its id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from client.models import BlockedSignalView, ScanView, SignalView
from ui.formatting import ABSENT, minute_text, price_text, time_text, words
from ui.paging import one_page, show_pages
from ui.palette import palette

OPENED = "signal"
"""Name in the page's address that holds the id of the signal opened."""

_SHOWN = "signal_ids_shown"
_ROUND = "signal_table_round"


def show_signals(signals: list[SignalView]) -> None:
    """Signals, newest first. Choosing a row opens it."""
    if not signals:
        st.info(
            "No signal fits. Signals come from scans of closed candles by strategies that are switched on: see the "
            "Strategies page, and the scans here."
        )
        return
    page = one_page(signals, "signals")
    _openable([_signal_row(signal) for signal in page], [signal.signal_id for signal in page], "signals")
    show_pages(signals, "signals")


def _signal_row(signal: SignalView) -> dict[str, Any]:
    return {
        "Candle close (UTC)": minute_text(signal.close_at),
        "Strategy": words(signal.strategy),
        "Symbol": signal.symbol,
        "Market": signal.category,
        "Side": signal.side,
        "Timeframe": signal.timeframe,
        "Score": round(signal.score, 1),
        "Price": price_text(signal.price),
        "Outcome": words(signal.outcome),
        "Blocked by": words(signal.blocked_by) if signal.blocked_by else "",
    }


def show_blocked(blocks: list[BlockedSignalView]) -> None:
    """Blocks, newest first, with what each gate measured and allows. Choosing a row opens its signal."""
    if not blocks:
        st.info("No signal that fits was blocked. What the gates stop shows here, with the reason.")
        return
    show_gate_counts(blocks)
    page = one_page(blocks, "blocked")
    rows = [
        {
            "Time (UTC)": time_text(block.at),
            "Strategy": words(block.strategy),
            "Symbol": block.symbol,
            "Gate": words(block.gate),
            "Value": block.value or ABSENT,
            "Threshold": block.threshold or ABSENT,
            "Stage": block.stage,
            "Detail": block.detail,
        }
        for block in page
    ]
    _openable(rows, [block.signal_id for block in page], "blocked")
    show_pages(blocks, "blocked")


def show_gate_counts(blocks: Sequence[BlockedSignalView]) -> None:
    """How often each gate was the reason, the most frequent first."""
    counts = Counter(words(block.gate) for block in blocks).most_common()
    frame = pd.DataFrame(counts, columns=["Gate", "Signals"])
    chart = (
        alt.Chart(frame)
        .mark_bar(color=palette().accent, cornerRadiusEnd=3)
        .encode(
            x=alt.X(
                "Signals:Q",
                axis=alt.Axis(tickMinStep=1, format="d"),
                title=f"reason of the newest {len(blocks):,} blocked signals",
            ),
            y=alt.Y("Gate:N", sort="-x", title=None, axis=alt.Axis(labelLimit=220)),
            tooltip=["Gate", "Signals"],
        )
        .properties(height=max(30 * len(counts), 30) + 40)
    )
    st.altair_chart(chart, width="stretch")


def show_scans(scans: list[ScanView]) -> None:
    """The latest scans, newest first."""
    if not scans:
        st.info("No candle close was scanned yet. A scan follows each close of a timeframe that a strategy uses.")
        return
    rows = [
        {
            "Candle close (UTC)": minute_text(scan.close_at),
            "Timeframes": ", ".join(scan.timeframes),
            "State": scan.state,
            "Symbols": scan.symbols,
            "Incomplete": scan.incomplete,
            "Candidates": scan.candidates,
            "Blocked": scan.blocked,
            "Accepted": scan.accepted,
            "Exits": scan.exits,
            "Took (s)": None if scan.seconds is None else round(scan.seconds, 2),
        }
        for scan in one_page(scans, "scans")
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height="content")
    show_pages(scans, "scans")


def evidence_text(evidence: dict[str, Any]) -> str:
    """Indicator values in one line."""
    return " · ".join(f"{words(name)} {value_text(value)}" for name, value in evidence.items())


def value_text(value: Any) -> str:
    """A value of an evidence or input document: floats to six significant digits, nested ones as JSON."""
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:,.6g}"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _openable(rows: list[dict[str, Any]], signal_ids: list[str], name: str) -> None:
    """A table whose chosen row opens its signal.

    The choice is a row number of the table as it was shown: it is looked up there, since this run's rows may have moved
    on. The table then gets another key, so that nothing stays chosen.
    """
    turn = st.session_state.setdefault(_ROUND, 0)
    key = f"{name}-{turn}"
    shown_before: list[str] = st.session_state.get(f"{_SHOWN}-{name}", signal_ids)
    chosen = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        height="content",
        key=key,
        on_select="rerun",
        selection_mode="single-row",
    )
    st.session_state[f"{_SHOWN}-{name}"] = signal_ids
    numbers = chosen["selection"]["rows"]
    if numbers and numbers[0] < len(shown_before):
        st.session_state[_ROUND] = turn + 1
        st.query_params[OPENED] = shown_before[numbers[0]]
        st.rerun()
