"""Decisions over a real API and from the terminal: listed, shown whole, asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from cli.context import console
from cli.main import app
from client import ApiProblem, AtsClient
from tests.api import rows
from tests.api.decided import CLOSES, H4, decision, sql, store_decisions
from tests.api.running import RunningApi


@pytest.fixture
def decided(api: RunningApi, database: str) -> RunningApi:
    rows.seed(database)
    store_decisions(database)
    return api


@pytest.fixture
def client(decided: RunningApi) -> Iterator[AtsClient]:
    with decided.client() as opened:
        yield opened


@pytest.fixture
def _terminal(decided: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_width", 240)
    for name, value in decided.environment().items():
        monkeypatch.setenv(name, value)


def ats(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", *arguments])


def test_decisions_are_listed_newest_first_in_pages_and_by_strategy(client: AtsClient) -> None:
    told = client.decisions().items
    assert [each.decision for each in told] == [decision(close_at) for close_at in reversed(CLOSES)]
    assert (told[0].symbols, told[0].incomplete, told[0].candidates, told[0].config_version) == (2, 0, 0, 1)
    first = client.decisions(limit=1)
    assert client.decisions(limit=1, cursor=first.next_cursor).items == told[1:]
    assert client.decisions(since=CLOSES[1]).items == told[:1]
    assert client.decisions(strategy="btc_swing").items == []


def test_a_decision_asked_again_is_the_same_until_a_candle_is_another(client: AtsClient, database: str) -> None:
    assert client.replay(decision(CLOSES[1])).same
    changed = CLOSES[1] - 3 * H4
    statement = "UPDATE candles SET low = low * 0.5 WHERE symbol = 'ETHUSDT' AND open_time = :at"
    sql(database, statement, at=changed)
    told = client.replay(decision(CLOSES[1]))
    assert not told.same
    assert [(each.symbol, each.timeframe, each.part) for each in told.changed_inputs] == [("ETHUSDT", "4h", "candles")]
    assert client.replay(decision(CLOSES[0])).same, "that candle came later"


@pytest.mark.parametrize("unknown", ["nothing", "momentum@2001-01-01T00:00:00Z", "momentum@soon"])
def test_a_decision_nobody_made_is_not_found(client: AtsClient, unknown: str) -> None:
    with pytest.raises(ApiProblem) as refused:
        client.replay(unknown)
    assert (refused.value.status, refused.value.code) == (404, "unknown-decision")


def test_a_signal_is_shown_with_its_scan_and_one_from_before_inputs_were_kept_says_so(
    client: AtsClient, database: str
) -> None:
    facts = {"missing_candles": 0}
    rows.store(database, [rows.signal(1, close_at=CLOSES[1], facts=facts), rows.signal(2)])
    one = client.signal(rows.position_id(1))
    assert (one.facts, one.settings_version, one.regime) == (facts, 1, None)
    assert one.scan == client.decisions().items[0]
    before = client.signal(rows.position_id(2))
    assert (before.facts, before.scan) == ({}, None)
    with pytest.raises(ApiProblem) as refused:
        client.replay(rows.position_id(2))
    assert (refused.value.status, refused.value.code) == (409, "not-replayable")
    told = client.replay(rows.position_id(1))
    assert {each.name for each in told.differences} == {"entry", "facts"}


@pytest.mark.usefixtures("_terminal")
def test_the_terminal_says_what_is_the_same_and_what_is_not(database: str) -> None:
    asked = ats(decision(CLOSES[1]))
    assert (asked.exit_code, "the same" in asked.stdout) == (0, True)
    every = ats("--all", "--since", "2026-03-01")
    assert (every.exit_code, "2 decisions with 0 signals asked again: 2 the same" in every.stdout) == (0, True)
    statement = "UPDATE candles SET volume = volume + 1 WHERE symbol = 'BTCUSDT' AND open_time = :at"
    sql(database, statement, at=CLOSES[1] - H4)

    asked = ats(decision(CLOSES[1]))
    assert asked.exit_code == 1
    assert all(piece in asked.stdout for piece in ("different", "candles", "BTCUSDT", "4h", "changed"))
    told = json.loads(ats(decision(CLOSES[1]), "--json").stdout)
    assert (told["same"], len(told["changed_inputs"])) == (False, 1)
    every = ats("--all", "--since", "2026-03-01", "--json")
    counted = json.loads(every.stdout)
    assert (every.exit_code, counted["decisions"], len(counted["different"])) == (1, 2, 1)
    rows.store(database, [rows.signal(2)])
    refused = ats(rows.position_id(2))
    assert (refused.exit_code, "before the inputs" in refused.stderr) == (1, True)


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize(
    "arguments",
    [[], ["--all"], ["momentum@x", "--all", "--since", "2026-03-01"], ["momentum@x", "--since", "2026-03-01"]],
)
def test_an_incomplete_question_is_wrong_usage(arguments: list[str]) -> None:
    assert ats(*arguments).exit_code == 2
