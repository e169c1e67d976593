"""Several settings changed at once, and what differs between two times, over the API."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.keys import PREFIX
from client import ApiProblem, AtsClient
from client.models import SettingBulkRequest, SettingChange, SettingKeyChange, SettingView
from tests.api import rows
from tests.api.running import RunningApi

COUNT, SIZE = "max_open_positions", "watchlist_size"


@pytest.fixture
def client(api: RunningApi) -> Iterator[AtsClient]:
    with api.client() as opened:
        yield opened


def bulk(*changes: tuple[str, Any, int]) -> SettingBulkRequest:
    wanted = [SettingKeyChange(key=key, value=value, seen_version=seen) for key, value, seen in changes]
    return SettingBulkRequest(changes=wanted, reason="for one reason")


def change(value: Any, version: int = 1) -> SettingChange:
    return SettingChange(value=value, reason="a test", expected_version=version)


def test_several_settings_are_changed_for_one_reason(client: AtsClient) -> None:
    client.change_setting(SIZE, change(6))
    answers = client.change_settings(bulk((SIZE, "7", 2), (COUNT, 9, 1)))
    assert [(each.key, each.value, each.version) for each in answers] == [(SIZE, 7, 3), (COUNT, 9, 2)]
    assert [each for each in client.settings() if each.key in (SIZE, COUNT)] == answers[::-1]
    assert {client.setting_history(key).items[0].reason for key in (SIZE, COUNT)} == {"for one reason"}
    told = {event.subject: event.detail for event in client.events(kind="setting_changed").items[:2]}
    assert told[SIZE] == {"from": 6, "to": 7, "reason": "for one reason", "versions": [2, 3]}
    assert told.keys() == {SIZE, COUNT}
    again = client.change_settings(bulk((SIZE, 7, 3)))
    assert [(each.value, each.version) for each in again] == [(7, 3)], "what changes nothing makes no version"


HALF_WRONG: list[tuple[tuple[str, Any, int], int, str | None, str]] = [
    ((SIZE, 7, 4), 409, "expected_version", "watchlist_size is at version 1, not 4"),
    ((SIZE, 0, 1), 422, "changes.1.value", "watchlist_size: "),
    (("manual_exit_policy", {"stop_loss_pct": "-1"}, 1), 422, "changes.1.value.stop_loss_pct", "manual_exit_policy: "),
    (("trading_halted", True, 1), 422, "changes.1.key", "commands of its own"),
    (("nothing", 1, 1), 404, None, "no setting nothing"),
]


def test_of_a_bulk_edit_all_or_nothing_is_made(client: AtsClient) -> None:
    before = client.settings()
    for second, status, field, rule in HALF_WRONG:
        with pytest.raises(ApiProblem) as error:
            client.change_settings(bulk((COUNT, 9, 1), second))
        assert error.value.status == status
        assert [fault.field for fault in error.value.fields] == ([field] if field else [])
        assert rule in error.value.detail
    assert client.settings() == before
    assert client.events(kind="setting_changed").items == []
    refusals = client.events(kind="setting_change_refused").items
    assert {(event.subject, event.detail["reason"]) for event in refusals} == {("bulk", "for one reason")}


def test_a_bulk_edit_names_each_setting_once(api: RunningApi) -> None:
    entry = {"key": SIZE, "seen_version": 1, "value": 3}
    with api.http() as http:
        for changes, field in (([entry, entry], "(body)"), ([], "changes"), ([{**entry, "key": "?"}], "changes.0.key")):
            answer = http.post("/v1/settings/bulk", json={"reason": "a test", "changes": changes})
            assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, field)


def test_of_two_bulk_edits_at_once_one_is_made_whole(client: AtsClient) -> None:
    def send(value: int, keys: tuple[str, str]) -> list[SettingView] | ApiProblem:
        try:
            return client.change_settings(bulk(*((key, value, 1) for key in keys)))
        except ApiProblem as problem:
            return problem

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(send, (11, 12), ((COUNT, SIZE), (SIZE, COUNT))))
    [won] = [answer for answer in answers if isinstance(answer, list)]
    [lost] = [answer for answer in answers if isinstance(answer, ApiProblem)]
    assert lost.status == 409
    assert {each.value for each in client.settings() if each.key in (COUNT, SIZE)} == {won[0].value}


def test_what_differs_between_two_times_is_told_with_every_change_on_the_way(client: AtsClient) -> None:
    start = datetime.now(UTC)
    client.change_setting(COUNT, change(9))
    client.change_setting("manual_exit_policy", change({"stop_loss_pct": "4", "take_profit_pct": "8"}))
    client.change_setting(COUNT, change(10, 2))
    told = client.settings_diff(since=start)
    assert [(each.field, each.now) for each in told.changes if each.field == COUNT] == [(COUNT, 10)]
    assert ("manual_exit_policy.take_profit_pct", "8") in [(each.field, each.now) for each in told.changes]
    assert all(each.field.partition(".")[0] in (COUNT, "manual_exit_policy") for each in told.changes)
    steps = [(step.key, step.version, step.changed_by, step.reason) for step in told.steps]
    who = ("key:installation", "a test")
    assert steps == [(COUNT, 2, *who), ("manual_exit_policy", 2, *who), (COUNT, 3, *who)]

    half = client.settings_diff(since=start, until=told.steps[0].at)
    assert [(each.field, each.now) for each in half.changes] == [(COUNT, 9)]
    assert half.steps == told.steps[:1]
    assert client.settings_diff(since=told.steps[-1].at, until=told.steps[-1].at).changes == []
    back = client.settings_diff(since=told.steps[0].at, until=told.steps[2].at)
    assert back.steps == told.steps[1:], "what came into force at the first time is in what was"


def test_before_there_were_settings_none_was_in_force(client: AtsClient) -> None:
    first = min(each.updated_at for each in client.settings())
    told = client.settings_diff(since=first - timedelta(days=1))
    assert {each.was for each in told.changes} == {None}
    assert {step.key for step in told.steps} == {each.key for each in client.settings()}


def test_times_the_wrong_way_round_are_refused(client: AtsClient) -> None:
    now = client.settings()[0].updated_at
    with pytest.raises(ApiProblem) as refused:
        client.settings_diff(since=now, until=now - timedelta(seconds=1))
    assert (refused.value.status, [fault.field for fault in refused.value.fields]) == (422, ["until"])


def test_roles_say_who_may_look_and_who_may_edit_in_bulk(api: RunningApi, database: str) -> None:
    keys = {role: PREFIX + secrets.token_urlsafe(32) for role in ("viewer", "operator")}
    rows.store(database, [rows.key_row(key, role) for role, key in keys.items()])
    many = bulk((SIZE, 7, 1)).model_dump(mode="json")
    for role, key in keys.items():
        with api.http(key) as http:
            assert http.get("/v1/settings/diff?since=2026-01-01T00:00:00Z").status_code == 200, role
            assert http.post("/v1/settings/bulk", json=many).status_code == 403, role
    with api.http() as admin:
        assert admin.post("/v1/settings/bulk", json=many).status_code == 200
