"""The little CSS the pages need to be compact; colours come from the theme, so light and dark both work."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui.palette import palette

_RULES = """
<style>
[data-testid="stMainBlockContainer"] { padding: 2.2rem 2rem 2rem; max-width: 1700px; }
[data-testid="stMetricValue"] { font-size: 1.5rem; font-variant-numeric: tabular-nums; }
[data-testid="stToastContainer"] { top: auto; bottom: 1rem; } /* over the buttons that halt it would be in the way */
[class*="st-key-rows-"] { gap: 0.4rem; }
[class*="st-key-rows-"] p { margin: 0; line-height: 1.45; font-variant-numeric: tabular-nums; }
[class*="st-key-rows-"] [class*="st-key-row-"] { padding: 0.45rem 0.9rem; }
[class*="st-key-rows-"] [data-testid="stMarkdownContainer"] { margin-bottom: 0; }
[class*="st-key-headings-"] { padding: 0 0.9rem; }
[class*="st-key-headings-"] [data-testid="stCaptionContainer"] { margin-bottom: 0; }
@media (max-width: 1200px) {
  [class*="st-key-headings-"] { display: none; }
  [class*="st-key-row-"] [data-testid="stHorizontalBlock"] { flex-wrap: wrap; row-gap: 0.6rem; }
  [class*="st-key-row-"] [data-testid="stColumn"] { flex: 1 1 7.5rem; min-width: 7.5rem; }
  [class*="st-key-row-"] [data-testid="stColumn"] > * { height: auto; }
  [class*="st-key-row-"] [data-testid="stColumn"]::before { font-size: 0.75rem; opacity: 0.6; }
}
</style>
"""


def apply_style() -> None:
    tones = palette()
    st.html(f"{_RULES}<style>{_figures('green', tones.gain)} {_figures('red', tones.loss)}</style>")


def _figures(name: str, color: str) -> str:
    """The rule that colours a metric's figure inside a container whose key starts with ``figure-<name>-``."""
    return f'[class*="st-key-figure-{name}-"] [data-testid="stMetricValue"] {{ color: {color}; }}'


def show_headings(name: str, widths: Sequence[float], headings: Sequence[str]) -> None:
    """The headings of a table of rows; where it is too narrow for columns, each cell carries its own instead."""
    labels = "".join(
        f'.st-key-rows-{name} [data-testid="stColumn"]:nth-child({number})::before {{ content: "{heading}"; }}'
        for number, heading in enumerate(headings, start=1)
        if heading
    )
    st.html(f"<style>@media (max-width: 1200px) {{ {labels} }}</style>")
    with st.container(key=f"headings-{name}"):
        for column, heading in zip(st.columns(widths, gap="small"), headings, strict=True):
            column.caption(heading)
