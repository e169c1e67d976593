"""The form that edits a strategy: what is changed is shown, confirmed with a reason, and refused field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic import ValidationError
from streamlit.delta_generator import DeltaGenerator

from client import ApiProblem
from client.models import StrategyChange, StrategyView, Timeframe
from ui.dialogs import carry_out, confirmed, reason_field
from ui.formatting import words

_NUMBERS = (
    ("trade_usd", "Trade size (USD)"),
    ("max_positions", "Open positions at most"),
    ("max_trades_per_day", "Trades a day at most"),
    ("cooldown_seconds", "Cooldown (s)"),
    ("signal_ttl_seconds", "Signal valid for (s)"),
)
_POLICY = (
    ("stop_loss_pct", "Stop loss %"),
    ("take_profit_pct", "Take profit %"),
    ("trailing_activation_pct", "Trail from %"),
    ("trailing_distance_pct", "Trail distance %"),
    ("trailing_stop_pct", "Trailing stop %"),
    ("break_even_at_pct", "Break even at %"),
    ("max_hold_seconds", "Hold at most (s)"),
    ("min_hold_seconds", "Hold at least (s)"),
)

Values = dict[str, Any]
"""What a form holds, by the field's path: ``trade_usd``, ``exit_policy.stop_loss_pct``, ``parameters.adx_over``."""


@st.dialog("Edit a strategy", width="large")
def edit_strategy(strategy: StrategyView) -> None:
    """The form over a strategy as it was when Edit was pressed; refused if it was changed meanwhile."""
    st.markdown(f"**{strategy.title}**, version {strategy.version}")
    before, typed, places = values_of(strategy), {}, {}
    _fields(before, typed, places)
    changed = {path: value for path, value in typed.items() if value != before[path]}
    st.markdown(_told(before, changed))
    reason = reason_field("edit-reason", "why these values")
    if not confirmed("Save", reason, ready=bool(changed)):
        return
    try:
        request = request_of(strategy, typed, changed, reason)
    except ValidationError as error:
        faults = {".".join(str(part) for part in fault["loc"]): fault["msg"] for fault in error.errors()}
        st.error("Some values can't be: see the fields.")
        _mark(places, faults)
        return
    refusal = carry_out(lambda api: api.change_strategy(strategy.strategy, request), f"{strategy.title} is changed.")
    if isinstance(refusal, ApiProblem):
        _mark(places, {fault.field: fault.rule for fault in refusal.fields})


def values_of(strategy: StrategyView) -> Values:
    """The form's values: text as a person would type it, parameters that are true or false as such."""
    values: Values = {field: _text(getattr(strategy, field)) for field, _ in _NUMBERS}
    values["timeframe"] = str(strategy.timeframe)
    values |= {f"exit_policy.{field}": _text(getattr(strategy.exit_policy, field)) for field, _ in _POLICY}
    for name, value in sorted(strategy.parameters.items()):
        values[f"parameters.{name}"] = value if isinstance(value, bool) else _text(value)
    return values


def request_of(
    strategy: StrategyView, typed: Mapping[str, Any], changed: Mapping[str, Any], reason: str
) -> StrategyChange:
    """The request that makes ``changed`` so. An exit policy goes as a whole. Raises pydantic.ValidationError."""
    body: dict[str, Any] = {path: value for path, value in changed.items() if "." not in path}
    if any(path.startswith("exit_policy.") for path in changed):
        body["exit_policy"] = _under("exit_policy.", typed)
    parameters = {path.partition(".")[2]: value for path, value in changed.items() if path.startswith("parameters.")}
    if parameters:
        body["parameters"] = {name: _parameter(value, strategy.parameters[name]) for name, value in parameters.items()}
    return StrategyChange.model_validate({**body, "reason": reason, "expected_version": strategy.version})


def _under(prefix: str, typed: Mapping[str, Any]) -> dict[str, Any]:
    return {path.removeprefix(prefix): value for path, value in typed.items() if path.startswith(prefix) and value}


def _parameter(typed: Any, before: Any) -> Any:
    """A parameter in the JSON type it had; what is no such JSON goes as typed, for the API to refuse by name."""
    if isinstance(typed, bool) or isinstance(before, str):
        return typed
    try:
        return json.loads(typed)
    except ValueError:
        return typed


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _fields(before: Values, typed: Values, places: dict[str, DeltaGenerator]) -> None:
    """Every field in three groups; ``places`` are where a field's fault is told."""
    with st.grid(3, min_column_width=150, gap="small"):
        for field, label in _NUMBERS:
            _field(field, label, before, typed, places)
        places["timeframe"] = st.container()
        with places["timeframe"]:
            frames = [str(each) for each in Timeframe]
            index = frames.index(before["timeframe"])
            typed["timeframe"] = st.selectbox("Timeframe", frames, index=index, key="edit-timeframe")
    st.caption("Exit policy, in percent of the entry price; empty: no such target")
    with st.grid(4, min_column_width=130, gap="small"):
        for field, label in _POLICY:
            _field(f"exit_policy.{field}", label, before, typed, places)
    parameters = [path for path in before if path.startswith("parameters.")]
    if parameters:
        st.caption("Parameters")
        with st.grid(3, min_column_width=150, gap="small"):
            for path in parameters:
                _field(path, words(path.partition(".")[2]), before, typed, places)


def _field(path: str, label: str, before: Values, typed: Values, places: dict[str, DeltaGenerator]) -> None:
    places[path] = st.container()
    with places[path]:
        if isinstance(before[path], bool):
            typed[path] = st.toggle(label, value=before[path], key=f"edit-{path}")
        else:
            typed[path] = (st.text_input(label, value=before[path], key=f"edit-{path}") or "").strip()


def _told(before: Values, changed: Mapping[str, Any]) -> str:
    """The changes in words, for the one who confirms them."""
    if not changed:
        return ":gray[Nothing is changed yet.]"
    said = [
        f"{words(path.replace('.', ' · '))}: {before[path] or 'none'} → **{value or 'none'}**"
        for path, value in changed.items()
    ]
    return "Changes: " + "; ".join(said)


def _mark(places: Mapping[str, DeltaGenerator], faults: Mapping[str, str]) -> None:
    """Each rule beneath the field it is about; one about a whole group goes beneath the group's first field."""
    for field, rule in faults.items():
        fitting = [path for path in places if path == field or path.startswith(f"{field}.")]
        fitting += [path for path in places if path.rpartition(".")[2] == field.rpartition(".")[2]]
        if fitting:
            places[fitting[0]].caption(f":red[{rule.removeprefix('Value error, ')}]")
