"""One signal: every gate's verdict on it, what it was decided on, and where it led."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from client import ApiError
from client.models import GateVerdictView, SignalView
from ui.formatting import ABSENT, minute_text, price_text, time_text, words
from ui.palette import palette
from ui.session import ask, sentence
from ui.signal_tables import OPENED, value_text

_OUTCOME_COLORS = {"blocked": "orange", "accepted": "blue", "open": "green"}


def show_signal(signal_id: str) -> None:
    """The signal in place of the tables, with the way back to them."""
    if st.button("All signals", icon=":material/arrow_back:", key="signals-back"):
        st.query_params.pop(OPENED, None)
        st.rerun()
    answer = ask(lambda api: api.signal(signal_id))
    if isinstance(answer, ApiError):
        st.error(sentence(answer))
        return
    _story(answer)
    st.subheader("Gates", anchor=False)
    st.caption("In the order they are asked. All are; the first that blocks is the reason.")
    _verdicts(answer.verdicts)
    evidence, inputs = st.columns(2, gap="medium")
    with evidence:
        st.subheader("Evidence", anchor=False)
        _document(answer.evidence, "No evidence was stored.")
    with inputs:
        st.subheader("Decided on", anchor=False)
        _document(answer.inputs, "No inputs were stored.")


def _story(signal: SignalView) -> None:
    color = "green" if signal.side == "long" else "red"
    outcome = f":{_OUTCOME_COLORS.get(signal.outcome, 'gray')}-badge[{words(signal.outcome)}]"
    by = f", blocked by **{words(signal.blocked_by)}**" if signal.blocked_by else ""
    st.markdown(
        f"### {signal.symbol} :{color}-badge[{signal.side}] {outcome}\n"
        f"**{words(signal.strategy)}** on {signal.category}, {signal.timeframe} candle closed "
        f"{minute_text(signal.close_at)} UTC, decided {time_text(signal.decided_at)} UTC{by}. "
        f"Score {signal.score:.1f}, price {price_text(signal.price)}."
    )
    position = f"position {signal.position_id} · " if signal.position_id else ""
    trace = f" · trace {signal.trace_id}" if signal.trace_id else ""
    st.caption(f"signal {signal.signal_id} · {position}configuration version {signal.config_version}{trace}")


def _verdicts(verdicts: list[GateVerdictView]) -> None:
    if not verdicts:
        st.info("No gate was asked about this signal.")
        return
    rows = [
        {
            "Gate": words(verdict.gate),
            "Verdict": "passed" if verdict.passed else "blocked",
            "Value": verdict.value or ABSENT,
            "Threshold": verdict.threshold or ABSENT,
            "Detail": verdict.detail,
        }
        for verdict in verdicts
    ]
    frame, tones = pd.DataFrame(rows), palette()
    shades = [f"color: {tones.gain if verdict.passed else tones.loss}" for verdict in verdicts]
    styled = frame.style.apply(lambda _: shades, subset=["Verdict"])
    st.dataframe(styled, hide_index=True, width="stretch", height="content")


def _document(document: dict[str, Any], nothing: str) -> None:
    if not document:
        st.caption(nothing)
        return
    rows = [(name, value) for name, value in _flat(document)]
    st.dataframe(pd.DataFrame(rows, columns=["Name", "Value"]), hide_index=True, width="stretch", height="content")


def _flat(document: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in document.items():
        path = f"{prefix}{words(str(name))}"
        if isinstance(value, dict) and value:
            lines += _flat(value, f"{path} · ")
        else:
            lines.append((path, value_text(value)))
    return lines
