"""Prices turned upside down: a rise of so much becomes a fall of so much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from domain.strategies.contract import Panel
from tests.domain.strategy_cases import random_panel

_GRID = 2.0**-10
_CEILING = 2.0**14


def mirrored(panel: Panel, about: float) -> Panel:
    """Every price as far under ``about`` as it was over it; highs become lows. Microstructure stays."""
    turned = {"open": panel.open, "high": panel.low, "low": panel.high, "close": panel.close}
    return replace(panel, **{name: 2 * about - prices for name, prices in turned.items()})


def exact_pair(seed: int, symbols: int, bars: int, *, swing: float = 0.01, holes: float = 0.0) -> tuple[Panel, Panel]:
    """A random panel and its mirror image, on a grid on which both are exact."""
    panel = random_panel(seed, symbols, bars, swing=swing, holes=holes)
    prices = {name: np.round(getattr(panel, name) / _GRID) * _GRID for name in ("open", "high", "low", "close")}
    on_grid = replace(panel, **prices)
    assert np.nanmax(on_grid.high) < _CEILING
    return on_grid, mirrored(on_grid, _CEILING)
