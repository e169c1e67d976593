"""Long tables a page at a time, so that the page itself is the only thing that scrolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

Row = TypeVar("Row")


def one_page(rows: Sequence[Row], name: str, size: int = 20) -> Sequence[Row]:
    """The rows of the page chosen with ``show_pages(rows, name, size)`` beneath the table."""
    first = (min(st.session_state.get(_key(name), 1), _pages(rows, size)) - 1) * size
    return rows[first : first + size]


def show_pages(rows: Sequence[Row], name: str, size: int = 20) -> None:
    """The choice of a page; nothing where one is enough."""
    pages = _pages(rows, size)
    if pages > 1:
        st.pagination(pages, key=_key(name))


def _pages(rows: Sequence[Row], size: int) -> int:
    return max(-(-len(rows) // size), 1)


def _key(name: str) -> str:
    return f"page-of-{name}"
