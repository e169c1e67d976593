"""Short digests of the numbers a decision was made on, by which a later look tells which input has changed since.

A digest is 16 hexadecimal digits, and where values were not known ``?`` and how many: what only came in later can then
be told from what became another number.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import numpy as np

from domain.regime import NO_REGIME
from domain.strategies.contract import Floats, Panel

Digests = Mapping[str, Mapping[str, str]]
"""Of one panel: {symbol: {part: digest}}; what is the market's and no symbol's is under ``MARKET``."""

MARKET: Final = "*"
_BYTES = 8
_UNKNOWN = "?"


class Part(StrEnum):
    """What a panel holds, as far as it changes on its own."""

    CANDLES = "candles"
    TAKER_BUY_SHARE = "taker_buy_share"
    OPEN_INTEREST = "open_interest"
    LONG_SHORT_RATIO = "long_short_ratio"
    FUNDING_RATE = "funding_rate"
    REGIME = "regime"


def digest(values: Floats) -> str:
    """The digest of an array: the same for the same numbers in the same order, on any machine, in any process.

    Every NaN is the same NaN, and 0 has no sign.
    """
    unknown = np.isnan(values)
    canonical = np.where(unknown, np.nan, values + 0.0).astype("<f8")
    told = blake2b(np.ascontiguousarray(canonical).tobytes(), digest_size=_BYTES).hexdigest()
    missing = int(unknown.sum())
    return f"{told}{_UNKNOWN}{missing}" if missing else told


def unknown_in(told: str) -> int:
    """How many values were not known when the digest was taken."""
    return int(told.partition(_UNKNOWN)[2] or 0)


def panel_digests(panel: Panel) -> dict[str, dict[str, str]]:
    """The digests of every symbol's row of ``panel``, part by part; parts that nobody asked for are left out."""
    candles = np.stack((panel.open, panel.high, panel.low, panel.close, panel.volume), axis=1)
    columns: dict[Part, Floats | None] = {
        Part.CANDLES: candles,
        Part.TAKER_BUY_SHARE: panel.taker_buy_share,
        Part.OPEN_INTEREST: panel.open_interest,
        Part.LONG_SHORT_RATIO: panel.long_short_ratio,
        Part.FUNDING_RATE: panel.funding_rate,
    }
    asked = {part: values for part, values in columns.items() if values is not None}
    digests = {
        symbol: {str(part): digest(values[row]) for part, values in asked.items()}
        for row, symbol in enumerate(panel.symbols)
    }
    if panel.regime is not None:
        levels = np.where(panel.regime == NO_REGIME, np.nan, panel.regime.astype(np.float64))
        digests[MARKET] = {str(Part.REGIME): digest(levels)}
    return digests
