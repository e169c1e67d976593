"""Inputs of workflows: one pydantic model each, from one JSON object, refused with the field and the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class WorkflowInput(BaseModel):
    """Base of every workflow's input. Unknown fields are refused: a misspelt one must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class InvalidInput:
    """Stands in for an input that is not what the workflow takes; ``errors`` are {field, rule}."""

    errors: list[dict[str, str]]


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """The errors of a pydantic validation as {field, rule}; the whole object is ``(input)``."""
    return [
        {"field": ".".join(str(part) for part in each["loc"]) or "(input)", "rule": each["msg"]}
        for each in error.errors(include_url=False, include_input=False)
    ]


def parse_input(type_: type[WorkflowInput], value: Any) -> WorkflowInput | InvalidInput:
    """``value`` (decoded JSON) as ``type_``, or what is wrong with it."""
    try:
        return type_.model_validate(value)
    except ValidationError as error:
        return InvalidInput(field_errors(error))
