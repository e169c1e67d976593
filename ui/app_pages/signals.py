"""Signals: from the symbols scanned to positions, what stopped the others, and one decision with all it was made of."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from client import ApiError, AtsClient
from client.models import BlockedSignalView, GateCode, Page, ScanView, SignalView
from ui.formatting import words
from ui.halting import show_halt
from ui.session import ask, live
from ui.signal_detail import show_signal
from ui.signal_funnel import show_funnel
from ui.signal_tables import OPENED, show_blocked, show_scans, show_signals
from ui.styling import apply_style

_SCANS = 96
_ROWS = 200
_ANY = "any"
_SHORTEST_SYMBOL = 2


@dataclass(frozen=True, slots=True)
class Filters:
    """What the tables are limited to; None: not limited."""

    symbol: str | None
    strategy: str | None
    gate: str | None


def page() -> None:
    apply_style()
    st.header("Signals", anchor=False)
    opened = st.query_params.get(OPENED)
    if opened:
        show_signal(opened)
        return
    filters = _filters()
    _halted()
    _tables(filters)


def _filters() -> Filters:
    """Outside the live part, so that typing is never disturbed."""
    strategies = ask(lambda api: api.strategies())
    names = [] if isinstance(strategies, ApiError) else [each.strategy for each in strategies]
    with st.container(horizontal=True, gap="small"):
        symbol = st.text_input("Symbol", key="signals-symbol", placeholder="any, or BTCUSDT", width=180)
        strategy = st.selectbox("Strategy", [_ANY, *names], key="signals-strategy", format_func=words, width=220)
        gates = [_ANY, *(str(gate) for gate in GateCode)]
        gate = st.selectbox("Blocked by gate", gates, key="signals-gate", format_func=words, width=240)
    return Filters(
        symbol=_symbol(symbol),
        strategy=None if strategy == _ANY else strategy,
        gate=None if gate == _ANY else gate,
    )


def _symbol(typed: str) -> str | None:
    """What is typed as the API takes a symbol; None while it is too short to be one."""
    symbol = "".join(each for each in typed.upper() if each.isascii() and each.isalnum())
    return symbol if len(symbol) >= _SHORTEST_SYMBOL else None


@st.fragment(run_every=10)
def _halted() -> None:
    halt = ask(lambda api: api.halt_status())
    if not isinstance(halt, ApiError):
        show_halt(halt)


@st.fragment(run_every=5)
def _tables(filters: Filters) -> None:
    answer = live(lambda api: _everything(api, filters))
    if answer is None:
        return
    scans, recent, signals, blocks = answer
    show_funnel(scans, recent)
    listed, blocked, scanned = st.tabs(["Signals", "Blocked", "Scans"])
    with listed:
        show_signals([each for each in signals if filters.gate in (None, each.blocked_by)])
    with blocked:
        show_blocked(blocks)
    with scanned:
        show_scans(scans)


def _everything(
    api: AtsClient, filters: Filters
) -> tuple[list[ScanView], Page[SignalView], list[SignalView], list[BlockedSignalView]]:
    symbol, strategy = filters.symbol, filters.strategy
    scans = api.scans(limit=_SCANS).items
    recent = api.signals(since=scans[-1].close_at, limit=_ROWS) if scans else Page[SignalView](items=[])
    return (
        scans,
        recent,
        api.signals(symbol=symbol, strategy=strategy, limit=_ROWS).items,
        api.blocked_signals(symbol=symbol, strategy=strategy, gate=filters.gate, limit=_ROWS).items,
    )


page()
