"""A strategy in one card: its gates as switches, what it may do, how it leaves, and what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from client.models import ExitPolicy, Gate, GateRequest, StrategyView
from ui.dialogs import carry_out, confirmed, reason_field
from ui.formatting import duration_text, gain_color, minute_text, money_text, quantity_text, words

SWITCHING = "gate_to_confirm"
EDITING = "strategy_to_edit"
"""Session keys: the switch that was turned, the strategy whose Edit button was pressed."""

_ROUND = "gate_round"
_STAGE_COLORS = {"active": "green", "reduce_only": "orange", "watchlist": "blue", "soak": "violet", "off": "gray"}
_GATES: tuple[tuple[Gate, str], ...] = (
    ("watchlist", "Its scores count and its candidates are shown."),
    ("buy", "It may open positions."),
    ("sell", "Its own exit signals count. Off leaves its positions to their guards and stops."),
)


@dataclass(frozen=True, slots=True)
class GateSwitch:
    """A gate to be switched, decided on what the card showed."""

    strategy: StrategyView
    gate: Gate
    on: bool


def show_card(strategy: StrategyView) -> None:
    """The card. A turned switch or a pressed Edit is left in the session and the page runs again."""
    with st.container(border=True, key=f"card-{strategy.strategy}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.markdown(_identity(strategy), width="stretch")
            with st.container(horizontal=True, width="content", vertical_alignment="center", gap="medium"):
                _switches(strategy)
                if st.button("Edit", icon=":material/edit:", key=f"edit-{strategy.strategy}"):
                    st.session_state[EDITING] = strategy
                    st.rerun()
        _figures(strategy)
        policy, market, parameters = st.columns([3, 2, 3], gap="medium")
        policy.markdown(f":small[:gray[Exit policy]]  \n{_policy(strategy.exit_policy)}")
        market.markdown(f":small[:gray[Market]]  \n{_market(strategy)}")
        parameters.markdown(f":small[:gray[Parameters]]  \n{_parameters(strategy.parameters)}")
        st.caption(f"version {strategy.version}, changed {minute_text(strategy.updated_at)} UTC")


def _identity(strategy: StrategyView) -> str:
    stage = f":{_STAGE_COLORS.get(strategy.stage, 'gray')}-badge[{words(strategy.stage)}]"
    side = f":{'green' if strategy.side == 'long' else 'red'}-badge[{strategy.side}]"
    return f"**{strategy.title}** {stage} {side} :gray-badge[{strategy.category}] :gray-badge[{strategy.timeframe}]"


def _switches(strategy: StrategyView) -> None:
    """The gates as they are. A turned switch asks first: until the API agrees it shows what is in force."""
    turn = st.session_state.setdefault(_ROUND, 0)
    for gate, meaning in _GATES:
        on = getattr(strategy, f"{gate}_gate")
        key = f"gate-{strategy.strategy}-{gate}-{on}-{turn}"
        if st.toggle(gate.capitalize(), value=on, help=meaning, key=key) is not on:
            st.session_state[_ROUND] = turn + 1
            st.session_state[SWITCHING] = GateSwitch(strategy, gate, not on)
            st.rerun()


def _figures(strategy: StrategyView) -> None:
    pnl = f":{gain_color(strategy.realised_pnl)}[{money_text(strategy.realised_pnl, signed=True)}]"
    figures = (
        ("Realised P&L (USD)", pnl),
        ("Open positions", f"{strategy.open_positions} of {strategy.max_positions}"),
        ("Signals in 24 h", str(strategy.signals_24h)),
        ("Trade size (USD)", money_text(strategy.trade_usd)),
        ("Trades a day", f"at most {strategy.max_trades_per_day}"),
        ("Cooldown", duration_text(strategy.cooldown_seconds)),
        ("Signal valid for", duration_text(strategy.signal_ttl_seconds)),
    )
    with st.grid(len(figures), min_column_width=120, gap="xsmall"):
        for label, value in figures:
            st.markdown(f":small[:gray[{label}]]  \n**{value}**")


def _policy(policy: ExitPolicy) -> str:
    """Every target that is set, in words."""
    said = []
    for name, value in policy.model_dump(exclude_none=True).items():
        if name.endswith("_pct"):
            said.append(f"{words(name.removesuffix('_pct'))} **{quantity_text(value)} %**")
        elif value:
            said.append(f"{words(name.removesuffix('_seconds'))} **{duration_text(value)}**")
    return " · ".join(said)


def _market(strategy: StrategyView) -> str:
    """In which regimes it opens, what becomes of its positions in others, and what funding may cost."""
    said = [f"opens in **{', '.join(words(each) for each in strategy.regimes)}**"]
    said.append(f"when it turns **{strategy.regime_exit}**")
    if strategy.max_funding_cost_pct is not None:
        said.append(f"funding at most **{quantity_text(strategy.max_funding_cost_pct)} %**")
    return " · ".join(said)


def _parameters(parameters: dict[str, Any]) -> str:
    if not parameters:
        return "none"
    return " · ".join(f"{words(name)} **{value}**" for name, value in sorted(parameters.items()))


@st.dialog("Switch a gate")
def confirm_gate(switch: GateSwitch) -> None:
    """Say what the switch means, ask why, and switch it; refused if the strategy was changed meanwhile."""
    strategy = switch.strategy
    meaning = dict(_GATES)[switch.gate]
    state = ":green-badge[on]" if switch.on else ":orange-badge[off]"
    st.markdown(f"Switch the **{switch.gate} gate** of **{strategy.title}** {state}")
    st.caption(f"When on: {meaning}")
    if switch.gate == "sell" and not switch.on and strategy.open_positions:
        st.warning(f"{strategy.open_positions} open positions are then left to their guards and stops.")
    reason = reason_field("gate-reason", "why this switch")
    if confirmed(f"Switch {'on' if switch.on else 'off'}", reason):
        request = GateRequest(gate=switch.gate, on=switch.on, reason=reason.strip(), expected_version=strategy.version)
        done = f"{switch.gate.capitalize()} gate of {strategy.title} is {'on' if switch.on else 'off'}."
        carry_out(lambda api: api.switch_gate(strategy.strategy, request), done)
