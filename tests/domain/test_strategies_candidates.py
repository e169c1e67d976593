"""From an evaluation to candidates, exits and scores."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from domain.candidates import Scored, candidates, leavings, scan_order, scores
from domain.gate_facts import Microstructure
from tests.domain.strategy_cases import bars_of, evaluate, every_strategy, panels, random_panel


@given(every_strategy, panels)
def test_candidates_of_a_bar_are_those_whose_entry_is_true_there(strategy, panel):
    evaluation = evaluate(strategy, panel)
    for bar in range(panel.close.shape[1]):
        found = candidates(evaluation, panel, bar)
        entering = {symbol for row, symbol in enumerate(panel.symbols) if evaluation.entry[row, bar]}
        assert {candidate.symbol for candidate in found} == entering
        assert len(found) == len(entering)
        assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


@given(every_strategy, panels)
def test_what_is_held_is_let_go_where_the_exit_is_true(strategy, panel):
    evaluation = evaluate(strategy, panel)
    held = panel.symbols[::2]
    for bar in range(panel.close.shape[1]):
        said = leavings(evaluation, panel, held, bar)
        assert [one.symbol for one in said] == list(held)
        assert [one.exit for one in said] == evaluation.exit[::2, bar].tolist()
        for row, one in enumerate(said):
            assert one.evidence == {name: known(col[2 * row, bar]) for name, col in evaluation.evidence.items()}


@given(every_strategy, panels)
def test_a_candidate_carries_what_the_gates_judge_and_unknown_is_none(strategy, panel):
    evaluation = evaluate(strategy, panel)
    for row, bar in np.argwhere(evaluation.entry).tolist():
        (candidate,) = (c for c in candidates(evaluation, panel, bar) if c.symbol == panel.symbols[row])
        assert candidate.microstructure == tuple(
            Microstructure(need.name, known(need.value[row, bar]), bool(need.met[row, bar]), need.threshold)
            for need in evaluation.requirements
        )
        assert candidate.evidence == {name: known(column[row, bar]) for name, column in evaluation.evidence.items()}


def known(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)


@given(every_strategy, panels)
def test_the_last_bar_is_what_a_scan_looks_at(strategy, panel):
    evaluation = evaluate(strategy, panel)
    last = panel.close.shape[1] - 1
    assert candidates(evaluation, panel) == candidates(evaluation, panel, last)
    every = panel.symbols
    assert leavings(evaluation, panel, every) == leavings(evaluation, panel, every, last)
    assert scores(evaluation, panel) == scores(evaluation, panel, last)


@given(every_strategy, panels)
def test_every_symbol_has_a_score_and_evidence_that_json_can_hold(strategy, panel):
    evaluation = evaluate(strategy, panel)
    scored = scores(evaluation, panel)
    assert [one.symbol for one in scored] == list(panel.symbols)
    for row, one in enumerate(scored):
        assert one.score == evaluation.score[row, -1]
        for name, column in evaluation.evidence.items():
            assert one.evidence[name] == (None if np.isnan(column[row, -1]) else column[row, -1])


@given(every_strategy)
def test_without_bars_there_is_nothing_to_work_on(strategy):
    panel = bars_of(random_panel(1, 2, 5), slice(0))
    evaluation = evaluate(strategy, panel)
    every = panel.symbols
    assert candidates(evaluation, panel) == leavings(evaluation, panel, every) == scores(evaluation, panel) == []


def test_a_scan_takes_the_best_score_first_then_strategy_then_symbol():
    asked = [("b", "AUSDT", 70.0), ("a", "ZUSDT", 70.0), ("a", "BUSDT", 70.0), ("z", "CUSDT", 90.0)]
    ordered = sorted(asked, key=lambda one: scan_order(one[0], Scored(symbol=one[1], score=one[2], evidence={})))
    assert [one[:2] for one in ordered] == [("z", "CUSDT"), ("a", "BUSDT"), ("a", "ZUSDT"), ("b", "AUSDT")]
