"""The regime's memory: a score moves the state with hysteresis, and a state counts when it is confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.regime import Regime

CUTS: Final = (-60.0, -20.0, 20.0, 60.0)
"""Scores between the five states, from falling to rising."""

BEYOND: Final = 5.0
"""Points beyond a cut from which a close calls for the state behind it."""

CONFIRMING: Final = 3
"""Closes in a state after which it counts."""


@dataclass(frozen=True, slots=True)
class RegimeState:
    """The regime after a 4h close.

    ``streak`` counts the closes in ``state``, this one included; ``pending`` is the state that this close called for
    without its being that yet. ``effective`` is the last state that was confirmed, None before the first one.
    """

    state: Regime
    effective: Regime | None
    streak: int
    pending: Regime | None

    @property
    def confirmed(self) -> bool:
        return self.streak >= CONFIRMING


def step(before: RegimeState | None, score: float) -> RegimeState:
    """The regime after one more close with this score.

    A close calls for the furthest state whose cut it is beyond by ``BEYOND`` points. Two in a row that call the same
    way move the state to the nearer of the two. The first of all takes the score as it is.
    """
    if before is None:
        return RegimeState(state=_between(score), effective=None, streak=1, pending=None)
    called = _called(before.state, score)
    state, streak = before.state, before.streak + 1
    if called is not None and before.pending is not None and _same_way(before.state, before.pending, called):
        state = min(before.pending, called, key=lambda each: abs(each.level - before.state.level))
        streak, called = 1, _called(state, score)
    effective = state if streak >= CONFIRMING else before.effective
    return RegimeState(state=state, effective=effective, streak=streak, pending=called)


def after_hole(before: RegimeState | None) -> RegimeState | None:
    """The regime after closes without a score: what was in force stays so, and closes in a row begin anew."""
    return before and replace(before, streak=0, pending=None)


def walk(
    before: RegimeState | None,
    scores: Sequence[float | None],
    known: Mapping[int, RegimeState] | None = None,
) -> list[RegimeState | None]:
    """The regime after each of these closes in a row; None where there is no score.

    ``known`` are states by place that are settled, whatever the scores say: the others follow from them.
    """
    settled = known or {}
    states: list[RegimeState | None] = []
    for place, score in enumerate(scores):
        if place in settled:
            before = settled[place]
        else:
            before = after_hole(before) if score is None else step(before, score)
        states.append(before if place in settled or score is not None else None)
    return states


def _between(score: float) -> Regime:
    """The state by the cuts alone; a score on a cut is in the state away from neutral."""
    above = sum(score >= cut if cut > 0 else score > cut for cut in CUTS)
    return Regime.of_level(above - 2)


def _called(state: Regime, score: float) -> Regime | None:
    """The furthest other state that a score calls for; None if it doesn't call for any."""
    up = Regime.of_level(sum(score >= cut + BEYOND for cut in CUTS) - 2)
    down = Regime.of_level(sum(score > cut - BEYOND for cut in CUTS) - 2)
    if up.level > state.level:
        return up
    return down if down.level < state.level else None


def _same_way(state: Regime, one: Regime, other: Regime) -> bool:
    return (one.level > state.level) == (other.level > state.level)
