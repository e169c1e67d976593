"""How many of the symbols scanned became candidates, passed the gates and are positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from client.models import Page, ScanView, SignalView
from ui.formatting import minute_text


@dataclass(frozen=True, slots=True)
class Funnel:
    """Counts over ``scans`` scans: symbols times scans looked at, and what was left of them step by step."""

    scans: list[ScanView]
    looked_at: int
    candidates: int
    accepted: int
    positions: int


def funnel_of(scans: Sequence[ScanView], recent: Page[SignalView]) -> Funnel:
    """Counts over ``scans``, of which ``recent`` holds the newest signals.

    Where it does not hold all of them, only the scans are counted whose signals it has completely.
    """
    counted = list(scans)
    if recent.next_cursor is not None:
        oldest = recent.items[-1].close_at
        counted = [scan for scan in scans if scan.close_at > oldest]
    closes = {scan.close_at for scan in counted}
    return Funnel(
        scans=counted,
        looked_at=sum(scan.symbols for scan in counted),
        candidates=sum(scan.candidates for scan in counted),
        accepted=sum(scan.accepted for scan in counted),
        positions=sum(each.position_id is not None and each.close_at in closes for each in recent.items),
    )


def show_funnel(scans: Sequence[ScanView], recent: Page[SignalView]) -> None:
    """The counts as figures; each says which share of the step before it is left."""
    funnel = funnel_of(scans, recent)
    steps = (
        ("Symbols looked at", funnel.looked_at, None),
        ("Candidates", funnel.candidates, funnel.looked_at),
        ("Accepted", funnel.accepted, funnel.candidates),
        ("Positions", funnel.positions, funnel.accepted),
    )
    with st.grid(len(steps) + 1, min_column_width=140, gap="xsmall"):
        st.metric("Scans", len(funnel.scans), border=True, height="stretch")
        for label, count, before in steps:
            share = f"{count / before:.1%} of {before:,}" if before else None
            st.metric(
                label, f"{count:,}", delta=share, delta_color="off", delta_arrow="off", border=True, height="stretch"
            )
    if funnel.scans:
        closes = f"{minute_text(funnel.scans[-1].close_at)} to {minute_text(funnel.scans[0].close_at)} UTC"
        st.caption(f"over the newest scans, of candle closes {closes}; not filtered")
