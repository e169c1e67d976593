"""KEY=VALUE as people type it, made into the fields of a change."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import typer

from client.models import StrategyView

_GATES = ("watchlist_gate", "buy_gate", "sell_gate")
_CLEARED = ("max_funding_cost_pct",)
"""Fields that "none" takes away."""


def pair(text: str) -> tuple[str, Any]:
    """A key and its value: JSON where it is JSON, else the text itself. Amounts stay text, which is exact."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    if value.lower() == "none" and ("." in key or key in _CLEARED):
        return key, None
    if key == "regimes":
        return key, [each.strip() for each in value.split(",")]
    if key in _GATES:
        return key, value.lower() in ("on", "true") if value.lower() in ("on", "off", "true", "false") else value
    if not key.startswith("parameters."):
        return key, value
    try:
        return key, jsonlib.loads(value)
    except ValueError:
        return key, value


def merged(before: StrategyView, pairs: dict[str, Any]) -> dict[str, Any]:
    """The change ``pairs`` ask for: dotted keys are parts of ``parameters`` and of ``exit_policy``, which travels
    whole."""
    fields: dict[str, Any] = {}
    for key, value in pairs.items():
        head, _, part = key.partition(".")
        if not part:
            fields[key] = value
            continue
        if head not in ("parameters", "exit_policy"):
            raise typer.BadParameter(f"{key}: only parameters and exit_policy have parts")
        whole = {} if head == "parameters" else before.exit_policy.model_dump(mode="json")
        fields.setdefault(head, whole)[part] = value
    return fields
