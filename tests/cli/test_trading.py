"""The trading commands over a real API: what they print, and the exit codes 0, 1 and 2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import trading
from cli.context import console
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.ports import free_port
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def ats(*arguments: str) -> Result:
    app = typer.Typer()
    trading.register(app)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "240"})


def test_positions_are_a_table_for_people_and_json_for_programs(api: RunningApi, database: str) -> None:
    rows.store(database, [*rows.open_position(1), *rows.closed_position(2)])
    told = ats("positions", "--json")
    assert told.exit_code == 0
    newest, oldest = json.loads(told.stdout)["items"]
    assert (newest["state"], oldest["state"]) == ("closed", "open")
    assert oldest["unrealised_pnl"] == "750.0"
    only = json.loads(ats("positions", "--state", "active", "--symbol", "btcusdt", "--json").stdout)["items"]
    assert [position["id"] for position in only] == [rows.position_id(1)]
    assert rows.position_id(1) in ats("positions").stdout


def test_one_position_is_told_with_its_orders_and_fills(api: RunningApi, database: str) -> None:
    rows.store(database, rows.closed_position(2))
    told = ats("position", rows.position_id(2))
    assert told.exit_code == 0
    for piece in ("take_profit", "exec-2-X", f"{rows.position_id(2)}-E1"):
        assert piece in told.stdout


def test_orders_and_executions_are_listed(api: RunningApi, database: str) -> None:
    rows.store(database, rows.closed_position(2))
    assert len(json.loads(ats("orders", "--json").stdout)["items"]) == 2
    fills = json.loads(ats("executions", "--position", rows.position_id(2), "--json").stdout)["items"]
    assert [fill["exec_id"] for fill in fills] == ["exec-2-X", "exec-2-E"]
    assert "exec-2-X" in ats("executions").stdout


def test_an_order_tells_which_versions_decided_it(
    api: RunningApi, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 200)
    rows.store(database, rows.closed_position(2))
    rows.store(database, [rows.order(2, "S", config_version=3, settings_version=21, state="deactivated")])
    told = {each["role"]: each for each in json.loads(ats("orders", "--json").stdout)["items"]}
    assert (told["stop"]["config_version"], told["stop"]["settings_version"]) == (3, 21)
    assert (told["entry"]["config_version"], told["entry"]["settings_version"]) == (None, None)
    for shown in (ats("orders"), ats("position", rows.position_id(2))):
        assert "v3, settings 21" in shown.stdout


def test_a_trade_with_a_key_is_the_same_trade_again(api: RunningApi) -> None:
    order = ("trade", "buy", "btcusdt", "--usd", "100", "--take-profit", "5", "--key", "key-of-this-test", "--json")
    first, second = ats(*order), ats(*order)
    assert first.exit_code == second.exit_code == 0
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert json.loads(first.stdout)["state"] == "requested", "no worker runs here"
    other = ats("trade", "buy", "btcusdt", "--usd", "200", "--take-profit", "5", "--key", "key-of-this-test", "--json")
    assert other.exit_code == 1
    assert json.loads(other.stdout)["type"] == "/problems/idempotency-key-reused"


def test_a_refusal_exits_with_1_and_the_apis_words(api: RunningApi) -> None:
    told = ats("close", rows.position_id(9), "--reason", "a test")
    assert told.exit_code == 1
    assert "there is no position" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trade", "buy", "BTCUSDT", "--usd", "much"), "is not a number"),
        (("trade", "buy", "BTCUSDT"), "exactly one of usd and qty"),
        (("trade", "buy", "BTCUSDT", "--usd", "10", "--stop-loss", "-3"), "stop_loss_pct"),
        (("trade", "buy", "BTCUSDT", "--usd", "10", "--stop-loss", "3", "--trailing-distance", "1"), "go together"),
        (("close", "abc"), "--reason"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(api: RunningApi, arguments: tuple[str, ...], words: str) -> None:
    told = ats(*arguments)
    assert told.exit_code == 2
    assert words in told.stderr


def test_an_api_that_is_not_there_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATS_API__URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ATS_API__KEY", "ats_" + "x" * 40)
    told = ats("positions")
    assert told.exit_code == 1
    assert "is the stack running" in told.stderr
