"""``ats orders --unknown | foreign | reconciliations | reconcile`` over a real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.context import console
from cli.main import app
from tests.api import exchange_rows, rows
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as on a wide terminal; the console took its width when it was made."""
    monkeypatch.setattr(console, "_width", 240)


def ats(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def told(*arguments: str) -> dict:
    answer = ats(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_orders_in_doubt_are_shown_with_their_last_look_and_what_comes_next(api: RunningApi, database: str) -> None:
    assert "no order is in doubt" in ats("orders", "--unknown").stdout
    looks = [("query", False), ("resend", False)]
    rows.store(database, exchange_rows.doubted_order(1, "X", exchange_rows.IN_DOUBT, looks))
    rows.store(database, exchange_rows.doubted_order(2, "E", exchange_rows.RESOLVED, [("query", True)]))
    shown = ats("orders", "--unknown").stdout
    for piece in (f"{rows.position_id(1)}-X1", "resend: nothing", "same id", "filled: found by query"):
        assert piece in shown
    answer = told("orders", "--unknown")
    assert [each["order"]["position_id"] for each in answer["in_doubt"]] == [rows.position_id(1)]
    assert [each["order"]["position_id"] for each in answer["resolved"]] == [rows.position_id(2)]


def test_what_is_foreign_is_a_table_for_people_and_json_for_programs(api: RunningApi, database: str) -> None:
    assert "nothing on the account is foreign" in ats("foreign").stdout
    rows.store(database, [exchange_rows.foreign_order(), exchange_rows.foreign_position()])
    shown = ats("foreign").stdout
    for piece in ("stranger-1", "BTCUSDT spot", "ETHUSDT", "short", "1.5"):
        assert piece in shown
    assert [each["order_id"] for each in told("foreign")["orders"]] == ["stranger-1"]


def test_comparisons_are_listed_and_one_is_shown_with_what_nothing_explains(api: RunningApi, database: str) -> None:
    assert "nothing was compared yet" in ats("reconciliations").stdout
    drifted = exchange_rows.comparison(
        30, drift=[exchange_rows.DRIFT], halted=True, detail={"foreign": ["BTCUSDT held"]}
    )
    rows.store(database, [exchange_rows.comparison(), drifted])
    newest, oldest = told("reconciliations")["items"]
    assert (newest["halted"], oldest["halted"]) == (True, False)
    listed = ats("reconciliations").stdout
    assert "1, halted" in listed
    shown = ats("reconciliations", str(newest["id"])).stdout
    for piece in ("BTCUSDT: 0.5 are not there", "foreign: BTCUSDT held"):
        assert piece in shown
    assert told("reconciliations", str(oldest["id"]))["drift"] == []
    assert ats("reconciliations", "999").exit_code == 1


def test_a_comparison_that_nobody_makes_is_a_refusal_in_words(api: RunningApi) -> None:
    answer = ats("reconcile")
    assert answer.exit_code == 1
    assert "reconciliation is not running" in answer.stderr
    assert ats("reconcile", "--reason", "x").exit_code == 2
