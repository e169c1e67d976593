"""The commands about the market's regime, over a real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.context import console
from cli.main import app
from tests.api.regime_rows import end_rebuild, store_regimes
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    monkeypatch.setattr(console, "_width", 240)
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def ats(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["regime", *arguments])


def told(*arguments: str) -> dict:
    answer = ats(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_the_regime_is_shown_with_its_terms(api: RunningApi, database: str) -> None:
    assert "no regime was computed yet" in ats("show").stdout
    store_regimes(database)
    assert told("show")["in_force"] == "bull"
    shown = ats("show").stdout
    for piece in ("in force: bull", "confirmed", "score +4.2", "halved", "momentum_30d", "-5.00", "+12.5"):
        assert piece in shown


def test_the_history_is_a_table_newest_first(api: RunningApi, database: str) -> None:
    assert "no regime was computed yet" in ats("history").stdout
    store_regimes(database)
    lines = ats("history", "--limit", "3").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:4]] == ["bull", "neutral", "neutral"]
    assert [each["score"] for each in told("history", "--since", "2026-03-01T08:00")["items"]] == [4.25, 34.0]


def test_a_rebuild_is_asked_for_with_a_range_and_a_reason(api: RunningApi, temporal_server: EmbeddedTemporal) -> None:
    end_rebuild(temporal_server.address)
    try:
        asked = ("rebuild", "--from", "2025-01-01", "--to", "2025-02-01", "--reason", "a backtest")
        assert told(*asked) == {"workflow_id": "regime/rebuild"}
        again = ats(*asked)
        assert (again.exit_code, "a rebuild is under way" in again.stderr) == (1, True)
    finally:
        end_rebuild(temporal_server.address)
    assert ats("rebuild", "--from", "2025-01-01").exit_code == 2
    backwards = ats("rebuild", "--from", "2025-02-01", "--to", "2025-01-01", "--reason", "a backtest")
    assert (backwards.exit_code, "from must not be after to" in backwards.stderr) == (2, True)
