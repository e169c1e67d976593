"""The stage of a strategy: one word a set of gates, and gates for every stage that gates alone make."""

from __future__ import annotations

from itertools import product

import pytest

from domain.faults import BadValue
from domain.stage import Stage, gates_of, stage_of

GATES = list(product([False, True], repeat=3))


@pytest.mark.parametrize("gates", GATES)
def test_every_set_of_gates_is_one_stage(gates):
    watchlist, buy, sell = gates
    stage = stage_of(watchlist_gate=watchlist, buy_gate=buy, sell_gate=sell)
    assert (stage is Stage.ACTIVE) == buy
    assert (stage is Stage.OFF) == (gates == (False, False, False))
    assert (stage is Stage.WATCHLIST) == (watchlist and not buy)
    assert (stage is Stage.REDUCE_ONLY) == (gates == (False, False, True))


@pytest.mark.parametrize("gates", GATES)
def test_a_soak_counts_unless_the_strategy_may_open(gates):
    watchlist, buy, sell = gates
    stage = stage_of(watchlist_gate=watchlist, buy_gate=buy, sell_gate=sell, soaking=True)
    assert stage is (Stage.ACTIVE if buy else Stage.SOAK)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.SOAK])
def test_the_gates_of_a_stage_make_it(stage):
    assert stage_of(**gates_of(stage).model_dump()) is stage


def test_no_gates_make_a_soak():
    with pytest.raises(BadValue, match="stage: no gates make a soak: watchlist shows what it would do"):
        gates_of(Stage.SOAK)
