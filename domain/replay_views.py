"""Wire models of decisions asked again, shared by server and client. The rules of ``domain.views`` hold here too."""

from __future__ import annotations

from typing import Any, Literal

from domain.candle import Timeframe
from domain.decision_views import GateVerdictView, SignalView
from domain.market import Category
from domain.regime_views import RegimeView
from domain.views import Answer, Instant


class StrategyScanView(Answer):
    """What one strategy decided on at one close. ``decision`` asks for it again; ``symbols`` had a row in its panels,
    ``incomplete`` of them lacked a candle (``missing`` counts them by symbol: who lacks one of late can't signal);
    ``candidates`` it wanted to enter. ``windows`` are its candles, ``held`` {symbol: {exit, evidence}} of what it had
    positions in, None where that was not kept.
    """

    decision: str
    epoch: str
    close_at: Instant
    strategy: str
    category: Category
    timeframe: Timeframe
    config_version: int
    settings_version: int
    regime_id: int | None
    symbols: int
    incomplete: int
    missing: dict[str, int]
    candidates: int
    windows: dict[str, Any]
    held: dict[str, Any] | None


class SignalDetail(SignalView):
    """The whole record of a signal: what the gates saw (``facts``), the strategy's scan, and the regime it knew. Empty
    or None of a signal from before they were kept."""

    facts: dict[str, Any]
    settings_version: int
    scan: StrategyScanView | None
    regime: RegimeView | None


class ChangedInput(Answer):
    """Numbers of a panel that are others now. ``symbol`` None: the market's. ``how`` is arrived where fewer of them are
    unknown now than then, else changed."""

    timeframe: Timeframe
    symbol: str | None
    part: str
    how: Literal["arrived", "changed"]


class Difference(Answer):
    """Something that came out otherwise: what it ``was`` and what it is ``now``. ``symbol`` None: of the strategy."""

    symbol: str | None
    name: str
    was: Any
    now: Any


class VerdictDifference(Answer):
    """A gate that says something else about the facts of then; None: it wasn't, or isn't, asked."""

    symbol: str
    gate: str
    was: GateVerdictView | None
    now: GateVerdictView | None


class ReplayView(Answer):
    """A decision asked again from its stored inputs: ``same`` when nothing at all is different.

    ``decision`` is a signal's id, or STRATEGY@CLOSE for all of a strategy's scan; ``signals`` were compared. The
    versions are those it was decided by, and asked again with.
    """

    decision: str
    same: bool
    epoch: str
    close_at: Instant
    strategy: str
    timeframe: Timeframe
    signals: int
    config_version: int
    settings_version: int
    regime_id: int | None
    changed_inputs: list[ChangedInput]
    differences: list[Difference]
    verdicts: list[VerdictDifference]
