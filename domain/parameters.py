"""What can be set of a strategy: each parameter with its kind, default and bounds, as a document and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.strategies import strategy_named
from domain.strategies.contract import StrategyParameters

_KINDS: Final = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
_BOUNDS: Final = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "over"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "under"),
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. ``bounds`` are in words: "a whole number, at least 2 and at most 400"."""

    name: str
    default: Any
    bounds: str


def parameter_schema(strategy: str) -> dict[str, Any]:
    """JSON schema of a strategy's parameters, defaults and bounds included. Raises UnknownStrategy."""
    return strategy_named(strategy).parameters.model_json_schema()


def parameters_of(strategy: str) -> list[Parameter]:
    """Every parameter of a strategy, by name. Raises UnknownStrategy."""
    return described(strategy_named(strategy).parameters)


def described(model: type[StrategyParameters]) -> list[Parameter]:
    """Every parameter of a model, by name."""
    schema = model.model_json_schema()
    kinds = schema.get("$defs", {})
    fields = schema.get("properties", {})
    return [Parameter(name, told.get("default"), _bounds(told, kinds)) for name, told in sorted(fields.items())]


def rule_of(strategy: str, parameter: str) -> str:
    """What ``parameter`` may be, in words; for one that the strategy hasn't got, those it has."""
    known = {each.name: each for each in parameters_of(strategy)}
    if parameter not in known:
        return f"{strategy} has {', '.join(known)}" if known else f"{strategy} has no parameters"
    return f"{parameter} is {known[parameter].bounds}"


def _bounds(told: Mapping[str, Any], kinds: Mapping[str, Any]) -> str:
    if "$ref" in told:
        told = kinds.get(str(told["$ref"]).rpartition("/")[2], {})
    if "anyOf" in told:
        return " or ".join(_bounds(each, kinds) for each in told["anyOf"])
    if "enum" in told:
        return "one of " + ", ".join(str(each) for each in told["enum"])
    kind = str(told.get("type", ""))
    if kind == "null":
        return "none"
    limits = [f"{word} {told[name]:g}" for name, word in _BOUNDS if name in told]
    words = _KINDS.get(kind, kind or "anything")
    return f"{words}, {' and '.join(limits)}" if limits else words
