"""The little CSS the page needs to be compact; colours come from the theme, so light and dark both work."""

from __future__ import annotations

import streamlit as st

_RULES = """
<style>
[data-testid="stMainBlockContainer"] { padding: 2.2rem 2rem 2rem; max-width: 1700px; }
[data-testid="stMetricValue"] { font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.st-key-positions p { margin: 0; line-height: 1.45; font-variant-numeric: tabular-nums; }
.st-key-positions [class*="st-key-position-"] { padding: 0.45rem 0.9rem; }
.st-key-positions [data-testid="stMarkdownContainer"] { margin-bottom: 0; }
.st-key-positions { gap: 0.4rem; }
.st-key-position-headings { padding: 0 0.9rem; }
</style>
"""


def apply_style() -> None:
    st.html(_RULES)
