"""Statements of many rows, in pieces: PostgreSQL takes at most 32,767 values in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Row = TypeVar("Row")

ROWS_A_STATEMENT = 500


def in_chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """``rows`` in order, at most ``ROWS_A_STATEMENT`` at a time."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        yield rows[start : start + ROWS_A_STATEMENT]
