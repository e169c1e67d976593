"""Setups: strategies with several ways to enter, each in its own regimes of the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.regime import NO_REGIME, Regime
from domain.strategies.conditions import Condition, entry_edge, watchlist_score
from domain.strategies.contract import Bools, Floats, Panel, Regimes


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to enter: its conditions of prices and volumes, and the regimes in which it counts."""

    name: str
    conditions: Sequence[Condition]
    regimes: frozenset[Regime]

    def fires(self, panel: Panel) -> Bools:
        """Where the conditions begin to hold (an edge of them alone) in one of its regimes."""
        return entry_edge(self.conditions) & self._counts(panel)

    def score(self, panel: Panel) -> Floats:
        """The watchlist score of its conditions, 0 in every other regime."""
        return np.where(self._counts(panel), watchlist_score(self.conditions), 0.0)

    def _counts(self, panel: Panel) -> Bools:
        return np.isin(regime_levels(panel), [regime.level for regime in self.regimes])


def entry_of(setups: Sequence[Setup], panel: Panel) -> Bools:
    """Where any of them fires."""
    return np.logical_or.reduce([setup.fires(panel) for setup in setups])


def score_of(setups: Sequence[Setup], panel: Panel) -> Floats:
    """The best of their scores."""
    return np.maximum.reduce([setup.score(panel) for setup in setups])


def told(setups: Sequence[Setup], panel: Panel) -> dict[str, Floats]:
    """Evidence by the setup's name: 1 where it fires, else 0."""
    return {setup.name: setup.fires(panel).astype(np.float64) for setup in setups}


def regime_levels(panel: Panel) -> Regimes:
    """The regime's level at every bar, ``NO_REGIME`` where none is known or nobody asked for it."""
    return np.full(len(panel.open_time), NO_REGIME, np.int8) if panel.regime is None else panel.regime
