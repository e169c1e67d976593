"""Stages, bulk edits, differences between versions and what parameters may be, over the API."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from api.keys import PREFIX
from client import ApiProblem, AtsClient
from client.models import BulkRequest, GateRequest, StageRequest, StrategyChange, StrategyView
from tests.api import rows
from tests.api.running import RunningApi

NAME, SHORT = "momentum", "trend_breakdown"


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    rows.seed(database)
    with api.client() as opened:
        yield opened


def stage(to: str, version: int | None = None) -> StageRequest:
    return StageRequest.model_validate({"stage": to, "reason": "a test", "expected_version": version})


def change(version: int = 1, **fields: Any) -> StrategyChange:
    return StrategyChange.model_validate({**fields, "reason": "a test", "expected_version": version})


def bulk(*changes: tuple[str, int, dict[str, Any]]) -> BulkRequest:
    told = [{"strategy": name, "seen_version": seen, "fields": fields} for name, seen, fields in changes]
    return BulkRequest.model_validate({"changes": told, "reason": "for one reason"})


def refused(attempt: Any) -> ApiProblem:
    with pytest.raises(ApiProblem) as error:
        attempt()
    return error.value


def test_a_stage_sets_all_three_gates_in_one_version(client: AtsClient) -> None:
    stages = {
        "off": (False, False, False),
        "watchlist": (True, False, True),
        "reduce_only": (False, False, True),
        "active": (True, True, True),
    }
    for version, (to, gates) in enumerate(stages.items(), start=1):
        after = client.set_stage(NAME, stage(to, version))
        assert (after.stage, after.version) == (to, version + 1)
        assert (after.watchlist_gate, after.buy_gate, after.sell_gate) == gates
        assert client.set_stage(NAME, stage(to)).version == version + 1, "the same stage again changes nothing"


def test_a_soak_is_refused_with_what_to_do_instead_and_audited(client: AtsClient) -> None:
    problem = refused(lambda: client.set_stage(NAME, stage("soak")))
    [fault] = problem.fields
    assert (problem.status, fault.field) == (422, "stage")
    assert "watchlist" in fault.rule
    assert client.strategy(NAME).version == 1
    [event] = client.events(kind="strategy_change_refused").items
    assert (event.subject, event.detail["fields"][0]["field"]) == (NAME, "stage")


def test_a_stage_decided_on_an_older_version_is_a_conflict(client: AtsClient) -> None:
    client.change_strategy(NAME, change(max_positions=3))
    assert refused(lambda: client.set_stage(NAME, stage("off", 1))).code == "strategy-moved"
    assert client.strategy(NAME).stage == "active"


def test_regimes_their_exit_and_the_limit_of_funding_are_changed(client: AtsClient) -> None:
    after = client.change_strategy(
        SHORT, change(regimes=["strong_bear", "bear"], regime_exit="close", max_funding_cost_pct="0.25")
    )
    assert (after.regimes, after.regime_exit) == (["strong_bear", "bear"], "close")
    assert after.max_funding_cost_pct == Decimal("0.25")
    assert client.change_strategy(SHORT, change(2, max_positions=3)).max_funding_cost_pct == Decimal("0.25")
    cleared = client.change_strategy(SHORT, change(3, max_funding_cost_pct=None))
    assert cleared.max_funding_cost_pct is None
    newest, *_ = client.strategy_history(SHORT).items
    assert newest.row["max_funding_cost_pct"] is None


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"regimes": []}, "regimes", "at least 1"),
    ({"regimes": ["bear", "bear"]}, "regimes", "twice"),
    ({"regimes": ["sideways"]}, "regimes.0", "strong_bear"),
    ({"regime_exit": "flee"}, "regime_exit", "hold"),
    ({"timeframe": "1w"}, "timeframe", "not for 1w"),
    ({"max_funding_cost_pct": "-0.1"}, "max_funding_cost_pct", "greater than or equal to 0"),
    ({"max_funding_cost_pct": "101"}, "max_funding_cost_pct", "less than or equal to 100"),
    ({"max_funding_cost_pct": "NaN"}, "max_funding_cost_pct", "finite"),
    ({"parameters": {"adx_bars": 1}}, "parameters.adx_bars", "adx_bars is a whole number, at least 2 and at most 200"),
    ({"parameters": {"hope": 1}}, "parameters.hope", "trend_breakdown has adx_bars, "),
]


def test_a_bad_value_names_its_field_and_what_it_may_be(client: AtsClient, api: RunningApi) -> None:
    with api.http() as http:
        for fields, field, rule in BAD:
            answer = http.patch(f"/v1/strategies/{SHORT}", json={"reason": "a test", "expected_version": 1, **fields})
            assert answer.status_code == 422, fields
            named = {fault["field"]: fault["rule"] for fault in answer.json()["fields"]}
            assert rule in named[field]
    assert client.strategy(SHORT).version == 1


def test_a_spot_strategy_takes_no_limit_of_funding(client: AtsClient) -> None:
    problem = refused(lambda: client.change_strategy(NAME, change(max_funding_cost_pct="1")))
    assert [(fault.field, fault.rule) for fault in problem.fields] == [
        ("max_funding_cost_pct", "spot positions pay no funding")
    ]


def test_what_can_be_set_is_told_with_defaults_and_bounds(client: AtsClient) -> None:
    client.change_strategy(NAME, change(parameters={"roc_over_pct": 7}))
    told = client.strategy_parameters(NAME)
    assert (told.strategy, told.version) == (NAME, 2)
    by_name = {each.name: each for each in told.parameters}
    assert by_name.keys() == client.strategy(NAME).parameters.keys() == told.json_schema["properties"].keys()
    roc = by_name["roc_over_pct"]
    assert (roc.value, roc.default, roc.bounds) == (7.0, 4.0, "a number, over 0 and at most 100")


def test_a_difference_tells_fields_and_every_change_between(client: AtsClient) -> None:
    client.change_strategy(NAME, change(trade_usd="250.50", parameters={"roc_over_pct": 7}))
    client.switch_gate(NAME, GateRequest(gate="buy", on=False, reason="a pause"))
    whole = client.strategy_diff(NAME, from_version=1, to_version=3)
    assert [(each.field, each.was, each.now) for each in whole.changes] == [
        ("buy_gate", True, False),
        ("parameters.roc_over_pct", 4.0, 7.0),
        ("trade_usd", "1000", "250.50"),
    ]
    assert [(step.version, step.changed_by, step.reason) for step in whole.steps] == [
        (2, "key:installation", "a test"),
        (3, "key:installation", "a pause"),
    ]
    newest = client.strategy_diff(NAME)
    assert (newest.from_version, newest.to_version) == (2, 3)
    assert [each.field for each in newest.changes] == ["buy_gate"]
    back = client.strategy_diff(NAME, from_version=3, to_version=1)
    assert [(each.was, each.now) for each in back.changes] == [(each.now, each.was) for each in whole.changes]
    first = client.strategy_diff(NAME, to_version=1)
    assert (first.from_version, first.changes, first.steps) == (1, [], [])


def test_a_version_that_never_was_is_not_found(client: AtsClient) -> None:
    assert refused(lambda: client.strategy_diff(NAME, from_version=9)).code == "unknown-version"
    assert refused(lambda: client.strategy_diff("nobody")).code == "unknown-strategy"
    assert refused(lambda: client.strategy_parameters("nobody")).code == "unknown-strategy"


def test_several_strategies_are_changed_for_one_reason(client: AtsClient) -> None:
    client.change_strategy(SHORT, change(max_positions=3))
    answers = client.change_strategies(
        bulk((SHORT, 2, {"trade_usd": "20", "max_funding_cost_pct": None}), (NAME, 1, {"buy_gate": False}))
    )
    assert [(each.strategy, each.version) for each in answers] == [(SHORT, 3), (NAME, 2)]
    assert (answers[0].trade_usd, answers[0].max_funding_cost_pct) == (Decimal(20), None)
    assert answers[1].stage == "watchlist"
    assert {client.strategy_history(name).items[0].reason for name in (NAME, SHORT)} == {"for one reason"}
    changed = client.events(kind="strategy_changed").items[:2]
    assert {event.subject for event in changed} == {NAME, SHORT}


HALF_WRONG: list[tuple[tuple[str, int, dict[str, Any]], int, str | None, str]] = [
    ((SHORT, 7, {"trade_usd": "20"}), 409, "expected_version", "trend_breakdown is at version 1, not 7"),
    ((SHORT, 1, {"parameters": {"adx_bars": 0}}), 422, "changes.1.fields.parameters.adx_bars", "trend_breakdown: "),
    ((SHORT, 1, {}), 422, "changes.1.fields.(body)", "no new value"),
    (("nobody", 1, {"trade_usd": "20"}), 404, None, "no strategy nobody"),
]


def test_of_a_bulk_edit_all_or_nothing_is_made(client: AtsClient) -> None:
    before = client.strategies()
    for second, status, field, rule in HALF_WRONG:
        request = bulk((NAME, 1, {"trade_usd": "10"}), second)
        with pytest.raises(ApiProblem) as error:
            client.change_strategies(request)
        problem = error.value
        assert problem.status == status
        assert [fault.field for fault in problem.fields] == ([field] if field else [])
        assert rule in problem.detail
    assert client.strategies() == before
    assert client.events(kind="strategy_changed").items == []


def test_a_bulk_edit_names_each_strategy_once_and_every_field_by_its_place(client: AtsClient, api: RunningApi) -> None:
    entry = {"strategy": NAME, "seen_version": 1, "fields": {"trade_usd": "10"}}
    wrong = {**entry, "fields": {"trade_usd": "-1"}}
    with api.http() as http:
        for changes, field in (([entry, entry], "(body)"), ([wrong], "changes.0.fields.trade_usd"), ([], "changes")):
            answer = http.post("/v1/strategies/bulk", json={"reason": "a test", "changes": changes})
            assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, field)


def test_of_two_bulk_edits_at_once_one_is_made_whole(client: AtsClient) -> None:
    def send(amount: str, names: tuple[str, str]) -> list[StrategyView] | ApiProblem:
        try:
            return client.change_strategies(bulk(*((name, 1, {"trade_usd": amount}) for name in names)))
        except ApiProblem as problem:
            return problem

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, ("11", "12"), ((NAME, SHORT), (SHORT, NAME))))
    [won] = [answer for answer in answers if isinstance(answer, list)]
    [lost] = [answer for answer in answers if isinstance(answer, ApiProblem)]
    assert lost.status == 409
    assert {client.strategy(name).trade_usd for name in (NAME, SHORT)} == {won[0].trade_usd}


def test_roles_say_who_may_set_a_stage_and_who_may_edit_in_bulk(
    client: AtsClient, api: RunningApi, database: str
) -> None:
    keys = {role: PREFIX + secrets.token_urlsafe(32) for role in ("viewer", "operator")}
    rows.store(database, [rows.key_row(key, role) for role, key in keys.items()])
    to_off = stage("off").model_dump(mode="json", exclude_none=True)
    many = bulk((NAME, 2, {"trade_usd": "10"})).model_dump(mode="json", exclude_unset=True)
    with api.http(keys["viewer"]) as viewer:
        for path in ("parameters", "diff"):
            assert viewer.get(f"/v1/strategies/{NAME}/{path}").status_code == 200
        assert viewer.post(f"/v1/strategies/{NAME}/stage", json=to_off).status_code == 403
    with api.http(keys["operator"]) as operator:
        assert operator.post(f"/v1/strategies/{NAME}/stage", json=to_off).status_code == 200
        assert operator.post("/v1/strategies/bulk", json=many).status_code == 403
    with api.http() as admin:
        assert admin.post("/v1/strategies/bulk", json=many).status_code == 200
