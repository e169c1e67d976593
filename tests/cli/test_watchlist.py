"""The commands about the watchlist and the universe, over a real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.context import console
from cli.main import app
from db.models import WatchlistEntry
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    monkeypatch.setattr(console, "_width", 240)
    rows.seed(database)
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def ats(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def told(*arguments: str) -> Any:
    answer = ats(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.fixture
def watched(api: RunningApi, database: str) -> None:
    entry = WatchlistEntry(
        epoch="test",
        close_at=rows.ENTERED,
        side="long",
        symbol="BTCUSDT",
        rank=3,
        composite=55.5,
        scores={"momentum": 66.6},
    )
    rows.store(database, [rows.scan(0), entry, rows.score("momentum", "BTCUSDT", 66.6)])


@pytest.mark.usefixtures("watched")
def test_the_watchlist_is_shown_with_the_scores_behind_it() -> None:
    for command in (("watchlist",), ("watchlist", "show")):
        assert "momentum=66.6" in ats(*command).stdout
        (place,) = told(*command)
        assert (place["symbol"], place["side"], place["scores"][0]["score"]) == ("BTCUSDT", "long", 66.6)
    assert told("watchlist", "show", "--side", "short") == []
    assert "nothing is watched yet" in ats("watchlist", "--symbol", "ethusdt").stdout


@pytest.mark.usefixtures("watched")
def test_the_places_a_symbol_had_are_listed() -> None:
    assert "55.5" in ats("watchlist", "history", "btcusdt").stdout
    (entry,) = told("watchlist", "history", "BTCUSDT", "--side", "long")["items"]
    assert (entry["rank"], entry["scores"]) == (3, {"momentum": 66.6})
    assert "was never on the watchlist" in ats("watchlist", "history", "ETHUSDT").stdout


@pytest.mark.usefixtures("watched")
def test_capture_is_told_for_both_sides_and_refuses_a_span_under_seven_days() -> None:
    shown = ats("watchlist", "capture", "--k", "3")
    assert shown.exit_code == 0
    assert "top 3 movers" in shown.stdout
    assert [side["figures"]["windows"] for side in told("watchlist", "capture")["sides"]] == [4, 4]
    since = (rows.ENTERED - timedelta(days=2)).isoformat()
    refused = ats("watchlist", "capture", "--from", since)
    assert (refused.exit_code, "from" in refused.stderr) == (1, True)


def test_the_universe_is_listed_with_the_reason_of_each_symbol(api: RunningApi, database: str) -> None:
    assert "nothing was chosen yet" in ats("universe").stdout
    rows.store(database, [rows.standing("BTCUSDT", rank=1), rows.standing("OLDUSDT", reason="turnover", age_days=12.0)])
    shown = ats("universe").stdout
    for piece in ("BTCUSDT spot", "1,234,568", "1 chosen, 1 turnover", "chosen at 2026-03-01 12:00:00 UTC"):
        assert piece in shown
    assert [each["symbol"] for each in told("universe", "--others")] == ["OLDUSDT"]
    assert [each["symbol"] for each in told("universe", "--members", "--category", "spot")] == ["BTCUSDT"]
