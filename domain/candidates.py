"""From an evaluation to what a scan works on: who wants to enter, who wants to leave, and every symbol's score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from domain.gate_facts import Microstructure
from domain.strategies.contract import Evaluation, Floats, Panel


@dataclass(frozen=True, slots=True)
class Scored:
    """A symbol's watchlist score (0 to 100) and the indicator values behind it, None where not known."""

    symbol: str
    score: float
    evidence: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Candidate(Scored):
    """A symbol whose entry signal fired, with what the gates are to judge on top of it."""

    microstructure: tuple[Microstructure, ...]


def candidates(evaluation: Evaluation, panel: Panel, bar: int = -1) -> list[Candidate]:
    """Symbols whose entry is true at ``bar`` (an index, -1 the last), best score first. None without bars."""
    if len(panel.open_time) == 0:
        return []
    found = [
        Candidate(
            symbol=panel.symbols[row],
            score=float(evaluation.score[row, bar]),
            evidence=_evidence(evaluation, row, bar),
            microstructure=_microstructure(evaluation, row, bar),
        )
        for row in np.flatnonzero(evaluation.entry[:, bar]).tolist()
    ]
    return sorted(found, key=lambda candidate: scan_order("", candidate))


def scan_order(strategy: str, candidate: Scored) -> tuple[float, str, str]:
    """Sort key of a scan over all strategies: best score first, then by strategy and symbol. No two are equal."""
    return (-candidate.score, strategy, candidate.symbol)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Whether a strategy lets a symbol go at a bar, and the indicator values it says so by, None where not known."""

    symbol: str
    exit: bool
    evidence: dict[str, float | None]


def leavings(evaluation: Evaluation, panel: Panel, held: Collection[str], bar: int = -1) -> list[Leaving]:
    """What is said of every symbol of ``held`` at ``bar``, in the panel's order."""
    if len(panel.open_time) == 0:
        return []
    return [
        Leaving(symbol=symbol, exit=bool(evaluation.exit[row, bar]), evidence=_evidence(evaluation, row, bar))
        for row, symbol in enumerate(panel.symbols)
        if symbol in held
    ]


def scores(evaluation: Evaluation, panel: Panel, bar: int = -1) -> list[Scored]:
    """Every symbol's score and evidence at ``bar``, in the panel's order."""
    if len(panel.open_time) == 0:
        return []
    return [
        Scored(symbol=symbol, score=float(evaluation.score[row, bar]), evidence=_evidence(evaluation, row, bar))
        for row, symbol in enumerate(panel.symbols)
    ]


def missing_bars(panels: Iterable[Panel]) -> dict[str, int]:
    """Bars of a strategy's windows that a symbol has no candle for, by symbol, where there are any."""
    absent: Counter[str] = Counter()
    for panel in panels:
        absent.update(dict(zip(panel.symbols, np.isnan(panel.close).sum(axis=1).tolist(), strict=True)))
    return {symbol: bars for symbol, bars in absent.items() if bars}


def _evidence(evaluation: Evaluation, row: int, bar: int) -> dict[str, float | None]:
    return {name: _known(values, row, bar) for name, values in evaluation.evidence.items()}


def _microstructure(evaluation: Evaluation, row: int, bar: int) -> tuple[Microstructure, ...]:
    return tuple(
        Microstructure(
            name=need.name,
            value=_known(need.value, row, bar),
            met=bool(need.met[row, bar]),
            threshold=need.threshold,
        )
        for need in evaluation.requirements
    )


def _known(values: Floats, row: int, bar: int) -> float | None:
    value = float(values[row, bar])
    return value if math.isfinite(value) else None
