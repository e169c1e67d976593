"""Asking a decision again: the strategy with the inputs and configuration of then, the gates with the facts of then.

Pure: panels and rows come in, what is different comes out. Numbers are the same within ``TOLERANCE``, of values over 1
relative to them; the digests of inputs (``domain.digests``) know no tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from domain.candidates import Candidate, Leaving, candidates, leavings, missing_bars
from domain.candle import Timeframe
from domain.decision_views import GateVerdictView
from domain.digests import MARKET, Digests, panel_digests, unknown_in
from domain.gate_facts import GateFacts, Limits, MarketRegime
from domain.gates import first_block, judge
from domain.replay_views import ChangedInput, Difference, ReplayView, VerdictDifference
from domain.strategies.contract import Panel, Strategy
from domain.strategy_config import StrategyConfig

TOLERANCE: Final = 1e-6
_FACTS = TypeAdapter(GateFacts)


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """A signal as it was written down; ``facts`` and ``verdicts`` as JSON."""

    symbol: str
    score: float
    evidence: Mapping[str, float | None]
    facts: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]
    blocked_by: str | None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """What one strategy decided at one close, as it was written down: all its signals (``whole``), or one of them.

    ``config`` is the configuration of then as the history has it, ``regime`` the row that the decision named; symbols
    ``observed`` could not be entered. ``held`` is {symbol: {exit, evidence}} of what it had positions in, None where
    that was not kept. ``limits`` are the settings of then that the gates compare with, None where nobody knows them.
    """

    decision: str
    epoch: str
    close_at: datetime
    timeframe: Timeframe
    config: StrategyConfig
    settings_version: int
    regime_id: int | None
    regime: MarketRegime | None
    digests: Mapping[str, Digests]
    observed: frozenset[str]
    signals: Sequence[StoredSignal]
    whole: bool
    held: Mapping[str, Mapping[str, Any]] | None = None
    limits: Limits | None = None


def replay(stored: StoredDecision, strategy: Strategy, panels: Mapping[Timeframe, Panel]) -> ReplayView:
    """Everything that is different now. ``panels`` are of the windows and symbols of then."""
    changed = changed_inputs(stored.digests, {str(frame): panel_digests(panel) for frame, panel in panels.items()})
    differences = [*_answer_differs(stored, strategy, panels)]
    missing = missing_bars(panels.values())
    verdicts: list[VerdictDifference] = []
    for signal in stored.signals:
        found, said = _judged_again(signal, stored, missing.get(signal.symbol, 0))
        differences += found
        verdicts += said
    return ReplayView(
        decision=stored.decision,
        same=not (changed or differences or verdicts),
        epoch=stored.epoch,
        close_at=stored.close_at,
        strategy=stored.config.strategy,
        timeframe=stored.timeframe,
        signals=len(stored.signals),
        config_version=stored.config.version,
        settings_version=stored.settings_version,
        regime_id=stored.regime_id,
        changed_inputs=changed,
        differences=differences,
        verdicts=verdicts,
    )


def changed_inputs(then: Mapping[str, Digests], now: Mapping[str, Digests]) -> list[ChangedInput]:
    """Parts whose digest is another one, or that are there on one side only; by timeframe, symbol and part."""
    before, after = _flat(then), _flat(now)
    return [
        ChangedInput(
            timeframe=Timeframe(timeframe),
            symbol=None if symbol == MARKET else symbol,
            part=part,
            how=_how(before.get((timeframe, symbol, part)), after.get((timeframe, symbol, part))),
        )
        for timeframe, symbol, part in sorted(before.keys() | after.keys())
        if before.get((timeframe, symbol, part)) != after.get((timeframe, symbol, part))
    ]


def same_number(was: float | None, now: float | None) -> bool:
    """Whether two numbers are the same within the tolerance; what is not known is the same as itself alone."""
    if was is None or now is None:
        return was is now
    return abs(was - now) <= TOLERANCE * max(1.0, abs(was), abs(now))


def _flat(digests: Mapping[str, Digests]) -> dict[tuple[str, str, str], str]:
    return {
        (timeframe, symbol, part): told
        for timeframe, rows in digests.items()
        for symbol, parts in rows.items()
        for part, told in parts.items()
    }


def _how(then: str | None, now: str | None) -> Any:
    arrived = then is not None and now is not None and unknown_in(now) < unknown_in(then)
    return "arrived" if arrived else "changed"


def _answer_differs(
    stored: StoredDecision, strategy: Strategy, panels: Mapping[Timeframe, Panel]
) -> Iterator[Difference]:
    """The strategy's answer against what was written down: who wants to enter, how much, on what evidence; and whom it
    lets go of what it held."""
    try:
        parameters = strategy.parameters.model_validate(stored.config.parameters)
        evaluation = strategy.evaluate(panels, stored.timeframe, parameters)
    except Exception as error:  # whatever the code of today says to the inputs of then
        yield Difference(symbol=None, name="evaluation", was="made", now=f"{type(error).__name__}: {error}")
        return
    own = panels[stored.timeframe]
    yield from _leavings_differ(stored, {each.symbol: each for each in leavings(evaluation, own, stored.held or ())})
    found = {each.symbol: each for each in candidates(evaluation, own)}
    for signal in stored.signals:
        candidate = found.get(signal.symbol)
        if candidate is None:
            yield Difference(symbol=signal.symbol, name="entry", was=True, now=False)
        else:
            yield from _candidate_differs(signal, candidate)
    if stored.whole:
        known = {signal.symbol for signal in stored.signals} | stored.observed
        for symbol in sorted(found.keys() - known):
            yield Difference(symbol=symbol, name="entry", was=False, now=True)


def _leavings_differ(stored: StoredDecision, found: Mapping[str, Leaving]) -> Iterator[Difference]:
    """Of a whole decision; a signal alone has no exits."""
    for symbol, said in sorted((stored.held or {}).items()) if stored.whole else ():
        now = found[symbol]
        if said["exit"] != now.exit:
            yield Difference(symbol=symbol, name="exit", was=said["exit"], now=now.exit)
        for name in sorted(said["evidence"].keys() | now.evidence.keys()):
            was, told = said["evidence"].get(name), now.evidence.get(name)
            if not same_number(was, told):
                yield Difference(symbol=symbol, name=f"evidence.{name}", was=was, now=told)


def _candidate_differs(signal: StoredSignal, candidate: Candidate) -> Iterator[Difference]:
    if not same_number(signal.score, candidate.score):
        yield Difference(symbol=signal.symbol, name="score", was=signal.score, now=candidate.score)
    for name in sorted(signal.evidence.keys() | candidate.evidence.keys()):
        was, now = signal.evidence.get(name), candidate.evidence.get(name)
        if not same_number(was, now):
            yield Difference(symbol=signal.symbol, name=f"evidence.{name}", was=was, now=now)
    needs = {each["name"]: each for each in signal.facts.get("microstructure", ())}
    again = {each.name: asdict(each) for each in candidate.microstructure}
    for name in sorted(needs.keys() | again.keys()):
        was, now = needs.get(name), again.get(name)
        if not _same_need(was, now):
            yield Difference(symbol=signal.symbol, name=f"microstructure.{name}", was=was, now=now)


def _same_need(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    if was is None or now is None:
        return was is now
    told = [(each["met"], each["threshold"]) for each in (was, now)]
    return told[0] == told[1] and same_number(was["value"], now["value"])


def _judged_again(
    signal: StoredSignal, stored: StoredDecision, missing: int
) -> tuple[list[Difference], list[VerdictDifference]]:
    """The chain's answer to the facts of then, and whether those facts are what the rows say."""
    try:
        facts = _FACTS.validate_json(json.dumps(signal.facts))
    except ValidationError as error:
        told = f"can't be read: {error.errors()[0]['msg']}"
        return [Difference(symbol=signal.symbol, name="facts", was="stored", now=told)], []
    verdicts = judge(facts)
    first = first_block(verdicts)
    differences = [*_facts_differ(signal, facts, stored, missing)]
    blocked_by = str(first.gate) if first else None
    if blocked_by != signal.blocked_by:
        differences.append(Difference(symbol=signal.symbol, name="blocked_by", was=signal.blocked_by, now=blocked_by))
    then = {each.gate: each for each in map(GateVerdictView.model_validate, signal.verdicts)}
    now = {each.gate: each for each in (GateVerdictView.model_validate(one.model_dump()) for one in verdicts)}
    return differences, [
        VerdictDifference(symbol=signal.symbol, gate=gate, was=then.get(gate), now=now.get(gate))
        for gate in {**then, **now}
        if not _says_the_same(then.get(gate), now.get(gate))
    ]


def _says_the_same(then: GateVerdictView | None, now: GateVerdictView | None) -> bool:
    """By what counts of a verdict; its words may be put better one day, and a gate told no threshold once that does."""
    if then is None or now is None:
        return then is now
    return (then.passed, then.value, then.threshold or now.threshold) == (now.passed, now.value, now.threshold)


def _facts_differ(signal: StoredSignal, facts: GateFacts, stored: StoredDecision, missing: int) -> Iterator[Difference]:
    """Facts that other rows tell too: the configuration, the settings, the regime, and candles that are not there."""
    was, now = _fields(facts.config.model_dump()), _fields(stored.config.model_dump())
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield Difference(symbol=signal.symbol, name=f"config.{name}", was=was.get(name), now=now.get(name))
    settings = {} if stored.limits is None else asdict(stored.limits)
    for name, now_value in settings.items():
        if (seen := getattr(facts.limits, name)) != now_value:
            yield Difference(symbol=signal.symbol, name=f"settings.{name}", was=str(seen), now=str(now_value))
    if facts.missing_candles != missing:
        yield Difference(symbol=signal.symbol, name="missing_candles", was=facts.missing_candles, now=missing)
    if facts.regime != stored.regime:
        yield Difference(
            symbol=signal.symbol, name="regime", was=_regime_told(facts.regime), now=_regime_told(stored.regime)
        )


def _fields(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    told: dict[str, Any] = {}
    for name, field in value.items():
        if isinstance(field, Mapping):
            told |= _fields(field, f"{prefix}{name}.")
        else:
            told[f"{prefix}{name}"] = field
    return told


def _regime_told(regime: MarketRegime | None) -> str | None:
    if regime is None:
        return None
    return f"{regime.effective or 'none'} ({regime.state}) from {regime.valid_from.isoformat()}"
