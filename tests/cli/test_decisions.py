"""The commands about strategies, settings, signals and the whole system, over a real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from cli.context import console
from cli.main import app
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.temporal import EmbeddedTemporal

WHY = ("--reason", "a test")


@pytest.fixture
def api(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningApi]:
    rows.seed(database)
    with running_api(api_settings(scratch, database, temporal_server.address)) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as on a wide terminal; the console took its width when it was made."""
    monkeypatch.setattr(console, "_width", 240)


def ats(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=typed)


def told(*arguments: str) -> dict:
    answer = ats(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_strategies_are_a_table_for_people_and_json_for_programs(api: RunningApi) -> None:
    assert "momentum" in ats("strategy", "list").stdout
    [momentum] = [each for each in told("strategy", "list") if each["strategy"] == "momentum"]
    assert momentum == told("strategy", "show", "momentum")
    shown = ats("strategy", "show", "momentum").stdout
    for piece in ("active", "parameters.roc_over_pct", "exit_policy.stop_loss_pct", "cooldown_seconds"):
        assert piece in shown


def test_a_gate_is_switched_with_a_reason(api: RunningApi) -> None:
    assert told("strategy", "gate", "momentum", "buy", "off", *WHY)["stage"] == "watchlist"
    assert told("strategy", "gate", "momentum", "buy", "on", *WHY)["stage"] == "active"
    assert ats("strategy", "gate", "momentum", "buy", "off").exit_code == 2
    assert ats("strategy", "gate", "momentum", "sideways", "off", *WHY).exit_code == 2
    unknown = ats("strategy", "gate", "nobody", "buy", "off", *WHY)
    assert (unknown.exit_code, "there is no strategy nobody" in unknown.stderr) == (1, True)


def test_numbers_parameters_and_exits_are_set_together(api: RunningApi) -> None:
    before = told("strategy", "show", "momentum")
    values = (
        "trade_usd=123.45",
        "timeframe=1h",
        "parameters.roc_over_pct=6.5",
        "exit_policy.stop_loss_pct=2.5",
        "exit_policy.max_hold_seconds=none",
    )
    after = told("strategy", "set", "momentum", *values, *WHY)
    assert (after["trade_usd"], after["timeframe"], after["version"]) == ("123.45", "1h", 2)
    assert after["parameters"] == {**before["parameters"], "roc_over_pct": 6.5}
    assert after["exit_policy"] == {**before["exit_policy"], "stop_loss_pct": "2.5", "max_hold_seconds": None}


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("trade_usd", 2, "is not KEY=VALUE"),
        ("trade_usd=much", 2, "trade_usd"),
        ("leverage=5", 2, "leverage"),
        ("gates.buy=on", 2, "only parameters and exit_policy have parts"),
        ("exit_policy.stop_loss_pct=0", 2, "exit_policy.stop_loss_pct"),
        ("parameters.no_such=5", 1, "parameters.no_such"),
        ("timeframe=1m", 1, "timeframe"),
    ],
)
def test_a_bad_number_is_refused_in_words_and_changes_nothing(
    api: RunningApi, value: str, code: int, words: str
) -> None:
    answer = ats("strategy", "set", "momentum", value, *WHY)
    assert answer.exit_code == code
    assert words in answer.stderr
    assert told("strategy", "show", "momentum")["version"] == 1


def test_a_stage_sets_the_gates_and_a_soak_says_what_to_do_instead(api: RunningApi) -> None:
    after = told("strategy", "stage", "momentum", "reduce_only", *WHY)
    assert (after["stage"], after["watchlist_gate"], after["buy_gate"], after["sell_gate"]) == (
        "reduce_only",
        False,
        False,
        True,
    )
    assert "active" in ats("strategies", "stage", "momentum", "active", *WHY).stdout
    refused = ats("strategy", "stage", "momentum", "soak", *WHY)
    assert (refused.exit_code, "watchlist shows what it would do" in refused.stderr) == (1, True)
    assert ats("strategy", "stage", "momentum", "asleep", *WHY).exit_code == 2


def test_regimes_and_the_limit_of_funding_are_set_and_taken_away(api: RunningApi) -> None:
    values = ("regimes=strong_bear, bear", "regime_exit=close", "max_funding_cost_pct=0.25")
    after = told("strategy", "set", "trend_breakdown", *values, *WHY)
    assert (after["regimes"], after["regime_exit"], after["max_funding_cost_pct"]) == (
        ["strong_bear", "bear"],
        "close",
        "0.25",
    )
    shown = ats("strategy", "show", "trend_breakdown").stdout
    for piece in ("strong_bear,bear", "regime_exit", "0.25"):
        assert piece in shown
    cleared = told("strategy", "set", "trend_breakdown", "max_funding_cost_pct=none", *WHY)
    assert cleared["max_funding_cost_pct"] is None


def test_what_can_be_set_and_what_was_changed_are_told(api: RunningApi) -> None:
    assert "a whole number, at least 2 and at most 200" in ats("strategy", "parameters", "momentum").stdout
    told("strategy", "set", "momentum", "max_positions=2", "parameters.roc_over_pct=6", *WHY)
    assert [each["field"] for each in told("strategy", "diff", "momentum")["changes"]] == [
        "max_positions",
        "parameters.roc_over_pct",
    ]
    shown = ats("strategy", "diff", "momentum", "--from", "1", "--to", "2").stdout
    for piece in ("version 1", "version 2", "max_positions", "a test", "key:installation"):
        assert piece in shown
    assert "say the same" in ats("strategy", "diff", "momentum", "--from", "2", "--to", "2").stdout
    assert ats("strategy", "diff", "momentum", "--from", "9").exit_code == 1


def test_several_strategies_are_changed_by_options_or_by_a_file(api: RunningApi, tmp_path: Path) -> None:
    options = ("--set", "momentum.trade_usd=50", "--set", "trend_breakdown.exit_policy.stop_loss_pct=2.5")
    changed = told("strategy", "bulk", *options, "--set", "momentum.buy_gate=off", *WHY)
    assert [(each["strategy"], each["version"]) for each in changed] == [("momentum", 2), ("trend_breakdown", 2)]
    assert (changed[0]["trade_usd"], changed[0]["stage"]) == ("50", "watchlist")
    assert changed[1]["exit_policy"]["stop_loss_pct"] == "2.5"
    file = tmp_path / "changes.json"
    file.write_text(json.dumps([{"strategy": "momentum", "fields": {"max_positions": 1}}]))
    assert "momentum" in ats("strategy", "bulk", "--file", str(file), *WHY).stdout
    late = [{"strategy": "momentum", "fields": {"max_positions": 2}, "seen_version": 1}]
    file.write_text(json.dumps([*late, {"strategy": "trend_breakdown", "fields": {"max_positions": 2}}]))
    refused = ats("strategy", "bulk", "--file", str(file), *WHY)
    assert (refused.exit_code, "momentum is at version 3, not 1" in refused.stderr) == (1, True)
    assert told("strategy", "show", "trend_breakdown")["version"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "either --file or --set"),
        (("--set", "trade_usd=5"), "STRATEGY.KEY=VALUE"),
        (("--set", "nobody.trade_usd=5"), "there is no strategy nobody"),
        (("--set", "momentum.trade_usd=much"), "trade_usd"),
    ],
)
def test_a_bulk_edit_that_makes_no_sense_is_wrong_usage(api: RunningApi, options: tuple[str, ...], words: str) -> None:
    answer = ats("strategy", "bulk", *options, *WHY)
    assert (answer.exit_code, words in answer.stderr) == (2, True), answer.stderr


def test_history_tells_each_version_with_who_why_and_what_changed(api: RunningApi) -> None:
    told("strategy", "set", "momentum", "max_positions=2", *WHY)
    newest, first = told("strategy", "history", "momentum")["items"]
    assert (newest["version"], newest["changed_by"], newest["reason"]) == (2, "key:installation", "a test")
    then = told("strategy", "history", "momentum", "--as-of", first["valid_from"])["items"]
    assert [each["version"] for each in then] == [1]
    assert "max_positions 5 -> 2" in ats("strategy", "history", "momentum").stdout
    assert "none was in force then" in ats("strategy", "history", "momentum", "--as-of", "2001-01-01").stdout
    assert ats("strategy", "history", "momentum", "--as-of", "yesterday").exit_code == 2


def test_a_setting_is_set_and_its_history_told(api: RunningApi) -> None:
    assert told("setting", "set", "max_open_positions", "9", *WHY)["value"] == 9
    assert told("setting", "set", "universe", '["BTCUSDT", "ETHUSDT"]', *WHY)["value"] == ["BTCUSDT", "ETHUSDT"]
    assert [each["value"] for each in told("setting", "history", "max_open_positions")["items"]] == [9, 25]
    assert "a test" in ats("setting", "history", "max_open_positions").stdout
    assert '["BTCUSDT", "ETHUSDT"]' in ats("setting", "list").stdout
    refused = ats("setting", "set", "symbol_exposure_usd", "abc", *WHY)
    assert (refused.exit_code, "value" in refused.stderr) == (1, True)
    assert ats("setting", "set", "nothing", "1", *WHY).exit_code == 1


def test_several_settings_are_changed_by_options_or_by_a_file_and_the_difference_is_told(
    api: RunningApi, tmp_path: Path
) -> None:
    before = datetime.now(UTC).isoformat()
    options = ("--set", "max_open_positions=9", "--set", 'universe_exclude=["DOGEUSDT"]')
    changed = told("setting", "bulk", *options, *WHY)
    assert [(each["key"], each["value"], each["version"]) for each in changed] == [
        ("max_open_positions", 9, 2),
        ("universe_exclude", ["DOGEUSDT"], 2),
    ]
    file = tmp_path / "changes.json"
    file.write_text(json.dumps([{"key": "watchlist_size", "value": 7}]))
    assert "watchlist_size" in ats("setting", "bulk", "--file", str(file), *WHY).stdout
    late = [{"key": "watchlist_size", "value": 8, "seen_version": 1}]
    file.write_text(json.dumps([{"key": "max_open_positions", "value": 3}, *late]))
    refused = ats("setting", "bulk", "--file", str(file), *WHY)
    assert (refused.exit_code, "watchlist_size is at version 2, not 1" in refused.stderr) == (1, True)

    diff = told("setting", "diff", "--since", before)
    assert {each["field"] for each in diff["changes"]} == {"max_open_positions", "universe_exclude", "watchlist_size"}
    shown = ats("setting", "diff", "--since", before).stdout
    for piece in ("max_open_positions", "25", "9", "a test", "key:installation", '["DOGEUSDT"]'):
        assert piece in shown
    same = ats("setting", "diff", "--since", before, "--until", before).stdout
    assert "the same" in same
    assert ats("setting", "diff").exit_code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "either --file or --set"),
        (("--set", "max_open_positions"), "KEY=VALUE"),
        (("--set", "universe=[1"), "no JSON"),
        (("--set", "watchlist_size=1", "--set", "watchlist_size=2"), "twice"),
    ],
)
def test_a_bulk_edit_of_settings_that_makes_no_sense_is_wrong_usage(
    api: RunningApi, options: tuple[str, ...], words: str
) -> None:
    answer = ats("setting", "bulk", *options, *WHY)
    assert (answer.exit_code, words in answer.stderr) == (2, True), answer.stderr


def test_signals_and_blocks_are_listed(api: RunningApi, database: str) -> None:
    rows.store(
        database,
        [
            rows.signal(1, blocked_by="cooldown_active"),
            rows.block(1, "cooldown_active"),
            rows.block(1, "trade_rate_limit", place=1),
            rows.signal(2, symbol="ETHUSDT"),
        ],
    )
    assert len(told("signals")["items"]) == 2
    only = told("signals", "--symbol", "ethusdt", "--strategy", "momentum", "--since", "2026-03-01")["items"]
    assert [each["outcome"] for each in only] == ["accepted"]
    assert rows.position_id(1) in ats("signals", "--outcome", "blocked").stdout
    assert [each["gate"] for each in told("blocked")["items"]] == ["cooldown_active"]
    assert len(told("blocked", "--all")["items"]) == 2
    assert told("blocked", "--gate", "stale_price")["items"] == []
    assert "cooldown_active" in ats("blocked").stdout
    assert ats("blocked", "--gate", "no_such_gate").exit_code == 2


def test_trading_is_halted_and_resumed(api: RunningApi) -> None:
    assert told("trade", "halt", *WHY)["halted"] is True
    assert "trading since" in ats("trade", "resume", *WHY).stdout
    assert ats("trade", "halt").exit_code == 2


def test_flatten_asks_first_and_is_the_same_command_under_the_same_key(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.position(1)])
    refused = ats("trade", "flatten", *WHY, typed="n\n")
    assert refused.exit_code == 1
    assert "EVERY position" in refused.stderr
    with api.client() as client:
        assert not client.halt_status().halted
    again = [told("trade", "flatten", "--yes", "--key", "key-of-this-test", *WHY) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0]["positions"] == 1


def test_the_portfolio_is_told(api: RunningApi) -> None:
    assert told("portfolio")["open_positions"] == 0
    assert "equity" in ats("portfolio").stdout


def test_a_backfill_is_refused_by_what_the_universe_lacks_or_started(api: RunningApi, database: str) -> None:
    assert ats("data", "backfill", "--timeframe", "2h").exit_code == 2
    rows.store(database, [rows.instrument(), rows.live_price("61500")])
    started = told("data", "backfill", "--timeframe", "4h", "--since", "2026-01-01")
    assert started["workflow_ids"] == ["backfill/BTCUSDT/4h"]


def _commands(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    found = [each for name, sub in inner.items() for each in _commands(sub, (*path, name))]
    return [path, *found]


@pytest.mark.parametrize("path", _commands(get_command(app)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    if path == ("exchange", "paper"):
        pytest.skip("becomes another program, whose help is tested where it runs")
    answer = ats(*path, "--help")
    assert answer.exit_code == 0
    assert "Usage" in answer.stdout
