"""Candle files looked at before a stack is started for them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def first_defect(files: Iterable[Path]) -> str | None:
    """What is wrong with the first file that can't be replayed, in one sentence with its row; None: all are good.

    A path may carry the prefix ``spot:`` or ``linear:``, and ``funding:`` if it has settled rates in place of candles.
    """
    from exchange.paper.feeds.candle_file import (  # pandas: only for those who have files
        read_candle_file,
        read_funding_file,
    )

    for file in files:
        name = str(file).removeprefix("spot:").removeprefix("linear:")
        path = Path(name.removeprefix("funding:"))
        try:
            if name.startswith("funding:"):
                read_funding_file(path)
            else:
                read_candle_file(path)
        except (ValueError, OSError) as error:
            return str(error)
    return None
