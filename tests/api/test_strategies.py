"""Strategies over the API: what they are, switching their gates, changing their numbers, and what is refused."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.keys import PREFIX
from client import ApiProblem, AtsClient
from client.models import ExitPolicy, GateRequest, StrategyChange, StrategyView
from domain.strategies import STRATEGIES
from tests.api import rows
from tests.api.running import RunningApi

NAME = "momentum"


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    rows.seed(database)
    with api.client() as opened:
        yield opened


def key_of(database: str, role: str) -> str:
    key = PREFIX + secrets.token_urlsafe(32)
    rows.store(database, [rows.key_row(key, role)])
    return key


def gate(which: str, on: bool, version: int | None = None) -> GateRequest:
    return GateRequest.model_validate({"gate": which, "on": on, "reason": "a test", "expected_version": version})


def change(version: int = 1, **fields: Any) -> StrategyChange:
    return StrategyChange.model_validate({**fields, "reason": "a test", "expected_version": version})


def test_every_strategy_is_told_with_its_configuration_and_figures(client: AtsClient, database: str) -> None:
    rows.store(
        database,
        [
            *(
                row
                for number in (1, 2)
                for row in rows.open_position(number, strategy=NAME, symbol=f"S{number}USDT")[:1]
            ),
            *rows.closed_position(3),
            rows.position(4, strategy=NAME, state="closed"),
            rows.order(4, "E"),
            rows.execution(4, "E", "60000"),
            rows.execution(4, "X", "62000"),
            rows.lot(4, left="0"),
            rows.match(4, gross="1000", net="939"),
            rows.signal(10),
            rows.signal(5),
            rows.signal(4, symbol="ETHUSDT"),
            rows.signal(9, epoch="another market"),
            rows.scan(10),
            rows.scan(11, epoch="another market", started_wall=rows.ENTERED),
        ],
    )
    found = {each.strategy: each for each in client.strategies()}
    assert found.keys() == STRATEGIES.keys()
    momentum = found[NAME]
    assert (momentum.title, momentum.stage, momentum.version) == (STRATEGIES[NAME].title, "active", 1)
    assert (momentum.open_positions, momentum.realised_pnl) == (2, Decimal(939))
    assert momentum.signals_24h == 2, "those within 24 h of the newest scan's close, of its market alone"
    assert client.strategy(NAME) == momentum


def test_gates_make_the_stage_whatever_is_held(client: AtsClient, database: str) -> None:
    rows.store(database, [rows.position(1, strategy=NAME)])
    assert client.switch_gate(NAME, gate("buy", False)).stage == "watchlist"
    assert client.switch_gate(NAME, gate("watchlist", False)).stage == "reduce_only"
    off = client.switch_gate(NAME, gate("sell", False, 3))
    assert (off.stage, off.version) == ("off", 4)
    assert client.switch_gate(NAME, gate("buy", True)).stage == "active"


def test_a_switched_gate_leaves_a_version_and_an_audit_row_and_the_same_again_leaves_nothing(client: AtsClient) -> None:
    for _ in range(2):
        assert client.switch_gate(NAME, gate("buy", False)).version == 2
    newest, first = client.strategy_history(NAME).items
    assert (newest.version, newest.changed_by, newest.reason) == (2, "key:installation", "a test")
    assert (newest.row["buy_gate"], first.row["buy_gate"]) == (False, True)
    [event] = client.events(kind="strategy_changed").items
    assert (event.subject, event.who) == (NAME, "key:installation")
    assert event.detail == {
        "from": {"buy_gate": True},
        "to": {"buy_gate": False},
        "reason": "a test",
        "versions": [1, 2],
    }


def test_a_closed_sell_gate_is_a_warning(client: AtsClient) -> None:
    client.switch_gate(NAME, gate("sell", False))
    assert [event.severity for event in client.events(kind="strategy_changed").items] == ["warning"]


def test_numbers_are_changed_and_parameters_merged(client: AtsClient) -> None:
    before = client.strategy(NAME)
    policy = ExitPolicy(stop_loss_pct=Decimal("2.5"), max_hold_seconds=3600)
    changed = client.change_strategy(
        NAME, change(trade_usd="250.5", timeframe="1h", exit_policy=policy, parameters={"roc_over_pct": 7})
    )
    assert (changed.trade_usd, changed.timeframe, changed.exit_policy) == (Decimal("250.5"), "1h", policy)
    assert changed.parameters == {**before.parameters, "roc_over_pct": 7.0}
    assert changed.max_positions == before.max_positions
    assert client.strategy(NAME) == changed


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"trade_usd": "-5"}, "trade_usd", "greater than 0"),
        ({"timeframe": "1m"}, "timeframe", "15m"),
        ({"timeframe": "2h"}, "timeframe", "1h"),
        ({"max_positions": 5000}, "max_positions", "less than or equal"),
        ({"cooldown_seconds": 10**15}, "cooldown_seconds", "at most"),
        ({"parameters": {"roc_bars": "many"}}, "parameters.roc_bars", "integer"),
        ({"parameters": {"no\x00such": 5}}, "parameters.no\x00such", "not permitted"),
        ({"exit_policy": {"stop_loss_pct": "0"}}, "exit_policy.stop_loss_pct", "greater than 0"),
        ({"exit_policy": {"stop_loss_pct": "3", "take_profit_pct": "1", "break_even_at_pct": "2"}}, "exit_policy", ""),
        ({"reason": "no\x00no"}, "reason", "NUL"),
        ({"leverage": 10}, "leverage", "not permitted"),
        ({}, "(body)", "no new value"),
    ],
)
def test_a_bad_value_is_refused_by_field_and_rule_and_changes_nothing(
    client: AtsClient, api: RunningApi, fields: dict[str, Any], field: str, rule: str
) -> None:
    before = client.strategies()
    body = {"reason": "a test", "expected_version": 1, **fields}
    with api.http() as http:
        answer = http.patch(f"/v1/strategies/{NAME}", json=body)
    assert answer.status_code == 422
    named = {fault["field"]: fault["rule"] for fault in answer.json()["fields"]}
    assert rule in named[field]
    assert client.strategies() == before
    assert len(client.strategy_history(NAME).items) == 1
    refused = client.events(kind="strategy_change_refused").items + client.events(kind="request_invalid").items
    assert len(refused) == 1


def test_a_number_that_is_none_is_refused_too(client: AtsClient, api: RunningApi) -> None:
    raw = '{"parameters": {"roc_over_pct": NaN}, "reason": "a test", "expected_version": 1}'
    with api.http() as http:
        answer = http.patch(f"/v1/strategies/{NAME}", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["fields"]] == ["parameters.roc_over_pct"]


def test_a_configuration_that_moved_is_a_conflict_naming_its_version_and_is_audited(client: AtsClient) -> None:
    client.change_strategy(NAME, change(max_positions=3))
    for attempt in (
        lambda: client.change_strategy(NAME, change(max_positions=9)),
        lambda: client.switch_gate(NAME, gate("buy", False, 1)),
    ):
        with pytest.raises(ApiProblem) as refused:
            attempt()
        assert (refused.value.status, refused.value.code) == (409, "strategy-moved")
        assert "at version 2, not 1" in refused.value.detail
    assert client.strategy(NAME).max_positions == 3
    assert client.strategy(NAME).buy_gate
    events = client.events(kind="strategy_change_refused").items
    assert [event.detail["code"] for event in events] == ["strategy-moved"] * 2
    assert [(event.who, event.detail["seen_version"]) for event in events] == [("key:installation", 1)] * 2


def test_of_two_operators_at_once_one_wins(client: AtsClient) -> None:
    def send(positions: int) -> StrategyView | ApiProblem:
        try:
            return client.change_strategy(NAME, change(max_positions=positions))
        except ApiProblem as problem:
            return problem

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, (11, 12)))
    [won] = [answer for answer in answers if isinstance(answer, StrategyView)]
    [lost] = [answer for answer in answers if isinstance(answer, ApiProblem)]
    assert lost.status == 409
    assert client.strategy(NAME) == won


def test_the_version_in_force_at_an_instant_is_told(client: AtsClient) -> None:
    for version in (1, 2, 3):
        client.change_strategy(NAME, change(version, max_positions=version + 10))
    versions = client.strategy_history(NAME).items
    assert [each.version for each in versions] == [4, 3, 2, 1]
    for each in versions:
        assert client.strategy_history(NAME, as_of=each.valid_from).items == [each]
    early = versions[-1].valid_from - timedelta(seconds=1)
    assert client.strategy_history(NAME, as_of=early).items == []
    first = client.strategy_history(NAME, limit=3)
    assert client.strategy_history(NAME, limit=3, cursor=first.next_cursor).items == versions[3:]


def test_roles_say_who_may_switch_and_who_may_change(client: AtsClient, api: RunningApi, database: str) -> None:
    body = {"gate": "buy", "on": False, "reason": "a test"}
    numbers = {"max_positions": 3, "reason": "a test", "expected_version": 2}
    with api.http(key_of(database, "viewer")) as viewer:
        assert viewer.get("/v1/strategies").status_code == 200
        assert viewer.post(f"/v1/strategies/{NAME}/gates", json=body).status_code == 403
    with api.http(key_of(database, "operator")) as operator:
        assert operator.post(f"/v1/strategies/{NAME}/gates", json=body).status_code == 200
        assert operator.patch(f"/v1/strategies/{NAME}", json=numbers).status_code == 403
    assert client.change_strategy(NAME, change(2, max_positions=3)).version == 3


@pytest.mark.parametrize("path", ["/v1/strategies/nobody", "/v1/strategies/nobody/history"])
def test_a_strategy_nobody_knows_is_not_found(client: AtsClient, api: RunningApi, path: str) -> None:
    with api.http() as http:
        answer = http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-strategy")
