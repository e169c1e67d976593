"""Short digests of the numbers a decision was made on, by which a later look tells which input has changed since.

A digest is 16 hexadecimal digits, and where values were not known ``?`` and how many: what only came in later can then
be told from what became another number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import numpy as np

from domain.regime import NO_REGIME
from domain.strategies.contract import CANDLE_COLUMNS, Floats, Panel

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
    return row_digests(values[np.newaxis])[0]


def row_digests(values: Floats) -> list[str]:
    """The digest of ``values[0]``, ``values[1]`` and so on."""
    unknown = np.isnan(values)
    canonical = np.ascontiguousarray(np.where(unknown, np.nan, values + 0.0).astype("<f8", copy=False))
    missing = unknown.reshape(len(values), -1).sum(axis=1).tolist()
    told = [blake2b(row.data, digest_size=_BYTES).hexdigest() for row in canonical]
    return [f"{each}{_UNKNOWN}{count}" if count else each for each, count in zip(told, missing, strict=True)]


def unknown_in(told: str) -> int:
    """How many values were not known when the digest was taken."""
    return int(told.partition(_UNKNOWN)[2] or 0)


def candle_digests(panel: Panel) -> list[str]:
    """The digests of the candles of every row of ``panel``."""
    return row_digests(np.stack([getattr(panel, name) for name in CANDLE_COLUMNS], axis=1))


def panel_digests(panel: Panel, candles: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """The digests of every symbol's row of ``panel``, part by part; parts that nobody asked for are left out.

    ``candles`` are those of the same candles, where they are known.
    """
    columns: dict[Part, Floats | None] = {
        Part.TAKER_BUY_SHARE: panel.taker_buy_share,
        Part.OPEN_INTEREST: panel.open_interest,
        Part.LONG_SHORT_RATIO: panel.long_short_ratio,
        Part.FUNDING_RATE: panel.funding_rate,
    }
    parts = {Part.CANDLES: candle_digests(panel) if candles is None else candles}
    parts |= {part: row_digests(values) for part, values in columns.items() if values is not None}
    digests = {
        symbol: {str(part): told[row] for part, told in parts.items()} for row, symbol in enumerate(panel.symbols)
    }
    if panel.regime is not None:
        levels = np.where(panel.regime == NO_REGIME, np.nan, panel.regime.astype(np.float64))
        digests[MARKET] = {str(Part.REGIME): digest(levels)}
    return digests
