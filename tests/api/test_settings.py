"""System settings, halt and resume over the API."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from api.keys import PREFIX
from client import ApiProblem, AtsClient
from client.models import HaltRequest, SettingChange, SettingView
from tests.api import rows
from tests.api.running import RunningApi


@pytest.fixture
def client(api: RunningApi) -> Iterator[AtsClient]:
    with api.client() as opened:
        yield opened


def change(value: Any, version: int = 1) -> SettingChange:
    return SettingChange(value=value, reason="a test", expected_version=version)


def setting(client: AtsClient, key: str) -> SettingView:
    return next(each for each in client.settings() if each.key == key)


def test_a_setting_is_changed_with_history_and_audit(client: AtsClient) -> None:
    before = setting(client, "max_open_positions")
    changed = client.change_setting("max_open_positions", change("7"))
    assert (changed.value, changed.version) == (7, 2)
    assert setting(client, "max_open_positions") == changed
    newest, first = client.setting_history("max_open_positions").items
    assert (newest.value, newest.changed_by, newest.reason) == (7, "key:installation", "a test")
    assert client.setting_history("max_open_positions", as_of=first.valid_from).items == [first]
    assert client.setting_history("max_open_positions", as_of=first.valid_from - timedelta(1)).items == []
    [event] = client.events(kind="setting_changed").items
    assert event.detail == {"from": before.value, "to": 7, "reason": "a test", "versions": [1, 2]}


def told(settings: list[SettingView]) -> list[dict[str, Any]]:
    return [each.model_dump(exclude={"updated_at"}) for each in settings]


def test_all_settings_are_told_as_they_were_in_force(client: AtsClient) -> None:
    before = client.settings()
    client.change_setting("require_backtest", change("always"))
    newest, first = client.setting_history("require_backtest").items
    assert (newest.value, first.value) == ("always", "live")
    just_before = newest.valid_from - timedelta(microseconds=1)
    assert told(client.settings(as_of=just_before)) == told(before)
    assert told(client.settings(as_of=newest.valid_from)) == told(client.settings())
    assert client.settings(as_of=first.valid_from - timedelta(1)) == []


GOOD = {
    "require_backtest": "never",
    "watchlist_size": 5,
    "universe_exclude": ["DOGEUSDT"],
    "universe_include": ["BTCUSDT"],
    "universe_size": 50,
    "universe_min_turnover_usd": "1000000",
    "universe_min_age_days": 30,
    "universe_max_spread_bps": 12.5,
}


def test_what_strategies_and_the_universe_are_limited_by_is_set(client: AtsClient) -> None:
    for key, value in GOOD.items():
        assert client.change_setting(key, change(value)).value == value
    assert {each.key: each.value for each in client.settings() if each.key in GOOD} == GOOD


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("symbol_exposure_usd", "abc", "value"),
        ("symbol_exposure_usd", ["\x00"], "value"),
        ("manual_exit_policy", {"stop_loss_pct": "-1"}, "value.stop_loss_pct"),
        ("universe", ["BTC\x00USDT"], "value.0"),
        ("trading_halted", True, "key"),
    ],
)
def test_a_bad_value_is_refused_by_field_and_changes_nothing(
    client: AtsClient, key: str, value: Any, field: str
) -> None:
    before = client.settings()
    with pytest.raises(ApiProblem) as refused:
        client.change_setting(key, change(value))
    assert refused.value.status == 422
    assert [fault.field for fault in refused.value.fields] == [field]
    assert client.settings() == before
    [event] = client.events(kind="setting_change_refused").items
    assert (event.subject, event.detail["fields"][0]["field"]) == (key, field)


def test_a_setting_that_moved_is_a_conflict_naming_its_version(client: AtsClient) -> None:
    client.change_setting("entry_ttl_seconds", change(20))
    with pytest.raises(ApiProblem) as refused:
        client.change_setting("entry_ttl_seconds", change(10))
    assert (refused.value.status, refused.value.code) == (409, "setting-moved")
    assert "at version 2, not 1" in refused.value.detail
    assert setting(client, "entry_ttl_seconds").value == 20


def test_a_setting_nobody_knows_is_not_found(client: AtsClient) -> None:
    for attempt in (lambda: client.change_setting("nothing", change(1)), lambda: client.setting_history("nothing")):
        with pytest.raises(ApiProblem) as refused:
            attempt()
        assert (refused.value.status, refused.value.code) == (404, "unknown-setting")


def test_halt_and_resume_are_told_with_who_and_why_and_act_once(client: AtsClient) -> None:
    assert not client.halt_status().halted
    halted = client.halt(HaltRequest(reason="the market is mad"))
    assert (halted.halted, halted.changed_by, halted.reason) == (True, "key:installation", "the market is mad")
    assert client.halt(HaltRequest(reason="again")) == halted == client.halt_status()
    assert setting(client, "trading_halted").value is True
    resumed = client.resume(HaltRequest(reason="it is calm"))
    assert (resumed.halted, resumed.reason) == (False, "it is calm")
    assert resumed.since >= halted.since
    kinds = [(event.kind, event.detail["reason"]) for event in client.events(subject="trading_halted").items]
    assert kinds == [("trading_resumed", "it is calm"), ("trading_halted", "the market is mad")]


def test_roles_say_who_may_halt_and_who_may_set(api: RunningApi, database: str) -> None:
    keys = {role: PREFIX + secrets.token_urlsafe(32) for role in ("viewer", "operator")}
    rows.store(database, [rows.key_row(key, role) for role, key in keys.items()])
    patch = change(5).model_dump(mode="json")
    with api.http(keys["viewer"]) as viewer:
        assert viewer.get("/v1/settings").status_code == viewer.get("/v1/system/halt").status_code == 200
        for command in ("halt", "resume", "flatten"):
            headers = {"Idempotency-Key": "a-viewers-key"}
            answer = viewer.post(f"/v1/system/{command}", json={"reason": "a test"}, headers=headers)
            assert answer.status_code == 403
    with api.http(keys["operator"]) as operator:
        assert operator.post("/v1/system/halt", json={"reason": "a test"}).status_code == 200
        assert operator.patch("/v1/settings/max_open_positions", json=patch).status_code == 403
    with api.http() as admin:
        assert admin.patch("/v1/settings/max_open_positions", json=patch).status_code == 200
