"""The form that edits a strategy: what is changed is shown, confirmed with a reason, and refused field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic import ValidationError
from streamlit.delta_generator import DeltaGenerator

from client import ApiProblem
from client.models import Category, Regime, RegimeExit, StrategyChange, StrategyView, Timeframe
from ui.dialogs import carry_out, confirmed, reason_field
from ui.formatting import words

_NUMBERS = (
    ("trade_usd", "Trade size (USD)"),
    ("max_positions", "Open positions at most"),
    ("max_trades_per_day", "Trades a day at most"),
    ("cooldown_seconds", "Cooldown (s)"),
    ("signal_ttl_seconds", "Signal valid for (s)"),
)
_FUNDING = ("max_funding_cost_pct", "Funding may cost at most %")
"""Of perpetuals alone; empty: no limit."""
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
_Places = dict[str, DeltaGenerator]
"""Where a field's fault is told."""


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
    if strategy.category is Category.LINEAR:
        values[_FUNDING[0]] = _text(strategy.max_funding_cost_pct)
    values["timeframe"] = str(strategy.timeframe)
    values["regimes"] = [str(regime) for regime in strategy.regimes]
    values["regime_exit"] = str(strategy.regime_exit)
    values |= {f"exit_policy.{field}": _text(getattr(strategy.exit_policy, field)) for field, _ in _POLICY}
    for name, value in sorted(strategy.parameters.items()):
        values[f"parameters.{name}"] = value if isinstance(value, bool) else _text(value)
    return values


def request_of(
    strategy: StrategyView, typed: Mapping[str, Any], changed: Mapping[str, Any], reason: str
) -> StrategyChange:
    """The request that makes ``changed`` so. An exit policy goes as a whole. Raises pydantic.ValidationError."""
    body: dict[str, Any] = {path: value for path, value in changed.items() if "." not in path}
    if body.get(_FUNDING[0]) == "":
        body[_FUNDING[0]] = None
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


def _fields(before: Values, typed: Values, places: _Places) -> None:
    """Every field in three groups; ``places`` are where a field's fault is told."""
    with st.grid(3, min_column_width=150, gap="small"):
        for field, label in _NUMBERS:
            _field(field, label, before, typed, places)
        if _FUNDING[0] in before:
            _field(*_FUNDING, before, typed, places)
        _choice("timeframe", "Timeframe", [str(each) for each in Timeframe], before, typed, places)
        _choice(
            "regime_exit", "Positions when the market turns", [str(each) for each in RegimeExit], before, typed, places
        )
    _regimes(before, typed, places)
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


def _field(path: str, label: str, before: Values, typed: Values, places: _Places) -> None:
    places[path] = st.container()
    with places[path]:
        if isinstance(before[path], bool):
            typed[path] = st.toggle(label, value=before[path], key=f"edit-{path}")
        else:
            typed[path] = (st.text_input(label, value=before[path], key=f"edit-{path}") or "").strip()


def _choice(path: str, label: str, options: list[str], before: Values, typed: Values, places: _Places) -> None:
    places[path] = st.container()
    with places[path]:
        typed[path] = st.selectbox(label, options, index=options.index(before[path]), key=f"edit-{path}")


def _regimes(before: Values, typed: Values, places: _Places) -> None:
    """The regimes of the market in which it may open, from falling to rising whatever was chosen first."""
    options = [str(each) for each in Regime]
    places["regimes"] = st.container()
    with places["regimes"]:
        chosen = st.multiselect("Opens in", options, default=before["regimes"], format_func=words, key="edit-regimes")
    typed["regimes"] = [each for each in options if each in chosen]


def _told(before: Values, changed: Mapping[str, Any]) -> str:
    """The changes in words, for the one who confirms them."""
    if not changed:
        return ":gray[Nothing is changed yet.]"
    said = [
        f"{words(path.replace('.', ' · '))}: {_shown(before[path])} → **{_shown(value)}**"
        for path, value in changed.items()
    ]
    return "Changes: " + "; ".join(said)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(words(each) for each in value) or "none"
    return str(value or "none")


def _mark(places: _Places, faults: Mapping[str, str]) -> None:
    """Each rule beneath the field it is about; one about a whole group goes beneath the group's first field."""
    for field, rule in faults.items():
        fitting = [path for path in places if path == field or path.startswith(f"{field}.")]
        fitting += [path for path in places if path.rpartition(".")[2] == field.rpartition(".")[2]]
        if fitting:
            places[fitting[0]].caption(f":red[{rule.removeprefix('Value error, ')}]")
