"""Colours where the theme's names can't be used: charts and table cells. Each readable on its own background."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True)
class Palette:
    """Hex colours of one theme."""

    gain: str
    loss: str
    accent: str
    muted: str
    regimes: tuple[str, str, str, str, str]
    """Of the five regimes, from strong bear to strong bull."""


_LIGHT = Palette(
    gain="#15803d",
    loss="#dc2626",
    accent="#2563eb",
    muted="#94a3b8",
    regimes=("#b91c1c", "#fb923c", "#94a3b8", "#4ade80", "#15803d"),
)
_DARK = Palette(
    gain="#4ade80",
    loss="#f87171",
    accent="#60a5fa",
    muted="#64748b",
    regimes=("#ef4444", "#fdba74", "#94a3b8", "#86efac", "#22c55e"),
)


def palette() -> Palette:
    """The colours of the theme this session shows now."""
    return _DARK if st.context.theme.type == "dark" else _LIGHT
