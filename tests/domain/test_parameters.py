"""What can be set of a strategy, in words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field

from domain.config_change import changed_config
from domain.faults import BadValue
from domain.parameters import described, parameter_schema, parameters_of, rule_of
from domain.strategies import STRATEGIES, UnknownStrategy
from domain.strategies.contract import StrategyParameters
from domain.strategy_config import default_config


class _Shape(StrEnum):
    ROUND = "round"
    FLAT = "flat"


class _Parameters(StrategyParameters):
    bars: Annotated[int, Field(ge=2, le=400)] = 20
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    least: Annotated[float, Field(ge=-1.5)] = 0.0
    strict: bool = True
    shape: _Shape = _Shape.ROUND
    side: Literal["up", "down"] = "up"
    limit: Annotated[int, Field(gt=0)] | None = None
    word: str = "none"


def test_each_kind_of_parameter_is_told_with_its_bounds() -> None:
    assert {each.name: each.bounds for each in described(_Parameters)} == {
        "bars": "a whole number, at least 2 and at most 400",
        "share": "a number, over 0 and under 1",
        "least": "a number, at least -1.5",
        "strict": "true or false",
        "shape": "one of round, flat",
        "side": "one of up, down",
        "limit": "a whole number, over 0 or none",
        "word": "a text",
    }


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_parameter_of_every_strategy_is_told_with_the_default_it_has(name: str) -> None:
    told = {each.name: each.default for each in parameters_of(name)}
    assert told == STRATEGIES[name].parameters().model_dump(mode="json")
    assert parameter_schema(name)["properties"].keys() == told.keys()
    assert not any("anything" in each.bounds for each in parameters_of(name))


def test_a_parameter_is_told_by_its_bounds_and_an_unknown_one_by_those_there_are() -> None:
    assert rule_of("momentum", "adx_bars") == "adx_bars is a whole number, at least 2 and at most 200"
    assert rule_of("momentum", "hope").startswith("momentum has adx_bars, adx_over, ")
    with pytest.raises(UnknownStrategy):
        rule_of("nobody", "adx_bars")


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_parameter_that_is_no_value_is_refused_by_name_and_bounds(name: str) -> None:
    config = default_config(STRATEGIES[name], active=False)
    for parameter in config.parameters:
        with pytest.raises(BadValue) as refused:
            changed_config(config, {"parameters": {parameter: {"not": "a value"}}})
        assert refused.value.field == f"parameters.{parameter}"
        assert rule_of(name, parameter) in refused.value.rule
