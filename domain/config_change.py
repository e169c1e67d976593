"""A change of a strategy's configuration as it is asked for: made, or refused by the name of one field and one rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from domain.faults import BadValue
from domain.parameters import rule_of
from domain.strategies import UnknownStrategy
from domain.strategy_config import StrategyConfig, changed

_LONGEST_SECONDS: Final = 366 * 86_400
_SPANS: Final = ("cooldown_seconds", "signal_ttl_seconds")
_PARAMETERS: Final = "parameters"


def changed_config(config: StrategyConfig, changes: Mapping[str, Any]) -> StrategyConfig:
    """``config`` with ``changes`` (see ``domain.strategy_config.changed``). Raises BadValue."""
    try:
        new = changed(config, **changes)
    except ValidationError as error:
        raise _fault_of(config, error) from None
    except UnknownStrategy as error:
        raise BadValue("strategy", str(error)) from None
    except ValueError as error:
        field, _, rule = str(error).partition(": ")
        raise BadValue(field, rule) from None
    _check(new)
    return new


def _fault_of(config: StrategyConfig, error: ValidationError) -> BadValue:
    """The first fault; one of a parameter tells what the parameter may be besides."""
    if error.title == StrategyConfig.__name__:
        return BadValue.first_of(error)
    fault = BadValue.first_of(error, _PARAMETERS)
    _, _, parameter = fault.field.partition(".")
    if not parameter:
        return fault
    return BadValue(fault.field, f"{fault.rule} ({rule_of(config.strategy, parameter.partition('.')[0])})")


def _check(config: StrategyConfig) -> None:
    """What a column can't hold."""
    for name in _SPANS:
        if getattr(config, name) > _LONGEST_SECONDS:
            raise BadValue(name, f"must be at most {_LONGEST_SECONDS} (a year)")
    for name, value in config.parameters.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise BadValue(f"parameters.{name}", "must be a finite number") from None
