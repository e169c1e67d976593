"""Candle files looked at before a stack is started for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def first_defect(files: Iterable[Path]) -> str | None:
    """What is wrong with the first file that can't be replayed, in one sentence with its row; None: all are good.

    A path may carry the prefix ``spot:`` or ``linear:``.
    """
    from exchange.paper.feeds.candle_file import read_candle_file  # pandas: only for those who have files

    for file in files:
        path = Path(str(file).removeprefix("spot:").removeprefix("linear:"))
        try:
            read_candle_file(path)
        except (ValueError, OSError) as error:
            return str(error)
    return None
