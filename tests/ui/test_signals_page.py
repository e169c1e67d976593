"""The Signals page over a real API: the funnel, what was blocked and why, and one decision opened."""

from __future__ import annotations

from datetime import timedelta

from tests.api import rows
from tests.api.running import RunningApi
from tests.ui import decision_rows
from tests.ui.decision_rows import CLOSE
from tests.ui.showing import figures, page, texts

CAP = ("strategy_position_cap", "5", "5")
COOLDOWN = ("cooldown_active", "1800", "14400")


def _store(database: str) -> None:
    """Two scans, a signal that became a position, and two that were blocked."""
    decision_rows.seed(database)
    stored = [decision_rows.scan(), decision_rows.scan(CLOSE - timedelta(minutes=15))]
    stored += [decision_rows.signal(1), rows.position(1, symbol="ETHUSDT", category="linear", side="short")]
    stored += [decision_rows.signal(2, blocks=[CAP, COOLDOWN], symbol="SOLUSDT"), decision_rows.block(2, *CAP)]
    stored += [decision_rows.signal(3, blocks=[COOLDOWN], strategy="momentum"), decision_rows.block(3, *COOLDOWN)]
    rows.store(database, stored)


def test_an_empty_page_says_where_signals_come_from(api: RunningApi, database: str) -> None:
    told = texts(page("signals"))
    assert "Signals come from scans of closed candles" in told
    assert "No candle close was scanned yet" in told


def test_the_funnel_goes_from_scans_to_positions(api: RunningApi, database: str) -> None:
    _store(database)
    shown = figures(page("signals"))
    assert shown == {
        "Scans": "2",
        "Symbols looked at": "80",
        "Candidates": "6",
        "Accepted": "2",
        "Positions": "1",
    }


def test_tables_tell_outcome_gate_value_and_threshold(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("signals")
    signals, blocked, scans = (table.value for table in shown.dataframe)
    outcomes = {(row["Symbol"], row["Outcome"], row["Blocked by"]) for row in signals.to_dict("records")}
    assert ("ETHUSDT", "open", "") in outcomes
    assert ("SOLUSDT", "blocked", "strategy position cap") in outcomes
    told = {(row["Gate"], row["Value"], row["Threshold"]) for row in blocked.to_dict("records")}
    assert told == {("strategy position cap", "5", "5"), ("cooldown active", "1800", "14400")}
    assert list(scans["Accepted"]) == [1, 1]


def test_filters_narrow_the_tables(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("signals")
    shown.selectbox(key="signals-gate").set_value("cooldown_active").run()
    signals, blocked = (table.value for table in shown.dataframe[:2])
    assert list(blocked["Gate"]) == ["cooldown active"]
    assert list(signals["Blocked by"]) == ["cooldown active"]
    shown.selectbox(key="signals-gate").set_value("any")
    shown.text_input(key="signals-symbol").set_value("sol").run()
    assert "No signal fits" in texts(shown), "SOL alone is no symbol"
    shown.text_input(key="signals-symbol").set_value("solusdt").run()
    assert list(shown.dataframe[0].value["Symbol"]) == ["SOLUSDT"]


def test_a_signal_opened_by_its_address_shows_every_verdict_and_what_it_was_decided_on(
    api: RunningApi, database: str
) -> None:
    _store(database)
    shown = page("signals", signal=rows.position_id(2))
    assert "### SOLUSDT :red-badge[short] :orange-badge[blocked]" in texts(shown)
    verdicts, evidence, inputs = (table.value for table in shown.dataframe)
    assert list(verdicts["Verdict"]) == ["passed", "passed", "blocked", "blocked"]
    assert {"adx": "31.2346"}.items() <= dict(evidence.values.tolist()).items()
    assert dict(inputs.values.tolist())["4h · bars"] == "220"
    shown.button(key="signals-back").click().run()
    assert figures(shown)["Scans"] == "2"


def test_an_unknown_signal_is_said_to_be_so(api: RunningApi, database: str) -> None:
    [error] = page("signals", signal=rows.position_id(9)).error
    assert rows.position_id(9) in error.value
