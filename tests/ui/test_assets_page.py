"""The Assets page over a real API: what it shows, what it asks before acting, and how it stands an outage."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from client.models import HaltRequest, TradeRequest
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from tests.support.waiting import wait_until
from tests.ui import decision_rows
from tests.ui.showing import figures, page, texts
from ui.formatting import money_text
from workers.stack.temporal import EmbeddedTemporal


def test_an_empty_account_says_what_to_do_next(api: RunningApi, database: str) -> None:
    shown = page()
    assert "No position is open" in texts(shown)
    assert "No instrument is known yet" in texts(shown)
    assert "No market is owned, traded or watched yet" in texts(shown)
    assert figures(shown)["Portfolio value (USD)"] == "\N{EN DASH}", "no equity is shown before the exchange told one"


def test_positions_show_price_targets_ratchet_protection_and_gain(api: RunningApi, database: str) -> None:
    rows.store(database, [*rows.wallet(), *rows.open_position(1), *rows.closed_position(2)])
    shown = page()
    told = texts(shown)
    told_figures = figures(shown)
    assert told_figures["Portfolio value (USD)"] == "100,750.50"
    assert told_figures["Unrealised P&L (USD)"] == "+750.00"
    assert told_figures["Open positions"] == "1"
    for piece in ("BTCUSDT", "60,000.00 → **61,500.00**", ":green[**+750.00**]", "63,600.00", "61,182.00"):
        assert piece in told
    assert ":green-badge[trailing armed]" in told
    assert ":green-badge[rests 57,600.00]" in told
    closed = shown.dataframe[0].value
    assert closed.iloc[0]["P&L (USD)"] == "+939.00"
    assert closed.iloc[0]["Why"] == "take profit"


def test_a_position_nobody_protects_is_said_in_red(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.position(1)])
    assert ":red-badge[:material/warning: unprotected]" in texts(page())


def test_buying_asks_for_confirmation(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.instrument()])
    shown = page()
    shown.button(key="ticket-buy").click().run()
    assert "**BTCUSDT** (long, spot) for **100.00 USD**" in texts(shown)
    assert "stop loss 3 % · take profit 6 %" in texts(shown)


def _confirmation() -> None:
    """The dialog alone: under AppTest every run is a run of the whole script, and a page opens its dialog once."""
    from decimal import Decimal

    import streamlit as st

    from ui.confirmations import confirm_trade
    from ui.dialogs import NOTICE
    from ui.session import client
    from ui.trade_ticket import Ticket

    targets = {"stop_loss_pct": "3", "take_profit_pct": st.session_state.get("take_profit", "6")}
    targets |= {"trailing_activation_pct": "2", "trailing_distance_pct": "1"}
    if NOTICE not in st.session_state:
        confirm_trade(Ticket("buy", client().instruments()[0], Decimal(100), targets, "key-of-this-ticket"))


def test_a_confirmation_needs_a_reason_and_tells_which_target_makes_no_sense(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.instrument()])
    dialog = AppTest.from_function(_confirmation, default_timeout=30)
    dialog.session_state["take_profit"] = "1"
    dialog.run()
    dialog.button(key="dialog-confirm").click().run()
    assert [warning.value for warning in dialog.warning] == ["Give a reason of at least 3 characters."]
    dialog.text_input(key="trade-reason").set_value("a test")
    dialog.button(key="dialog-confirm").click().run()
    [error] = dialog.error
    assert "trailing_activation_pct 2 must be below take_profit_pct 1" in error.value


def test_a_confirmed_trade_is_sent_once_however_often_it_is_pressed(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.instrument()])
    dialog = AppTest.from_function(_confirmation, default_timeout=30).run()
    dialog.text_input(key="trade-reason").set_value("a test")
    dialog.button(key="dialog-confirm").click().run()
    assert not dialog.error
    assert dialog.session_state["notice"] == "Buy of BTCUSDT accepted."
    with api.client() as client:
        request = TradeRequest.model_validate(
            {
                "side": "buy",
                "category": "spot",
                "symbol": "BTCUSDT",
                "usd": "100",
                "reason": "a test",
                "exit_policy": rows.POLICY,
            }
        )
        again = client.trade(request, key="key-of-this-ticket")
    assert again.state == "requested", "no worker runs: the stored answer is told again"


def test_a_spot_symbol_can_not_be_sold_short(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.instrument(), rows.instrument("BTCUSDT", "linear")])
    shown = page()
    assert shown.button(key="ticket-sell").disabled
    assert not shown.button(key="ticket-buy").disabled


def test_closing_asks_first(api: RunningApi, database: str) -> None:
    rows.store(database, rows.open_position(1))
    shown = page()
    shown.button(key=f"close-{rows.position_id(1)}").click().run()
    assert "Close **0.5 BTCUSDT** (long, spot) at market" in texts(shown)


def test_the_ticket_starts_with_the_exit_policy_in_force(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.instrument()])
    shown = page()
    filled = {field: shown.text_input(key=f"ticket-{field}").value for field in ("stop_loss_pct", "take_profit_pct")}
    assert filled == {"stop_loss_pct": "3", "take_profit_pct": "6"}


def test_a_wrong_key_is_one_sentence_and_the_page_comes_back(
    api: RunningApi, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATS_API__KEY", "ats_" + "x" * 40)
    shown = page()
    assert [error.value for error in shown.error] == [
        "The API refused this page's key: set ATS_API__KEY to one it knows (the first is in .ats/credentials)."
    ]
    monkeypatch.setenv("ATS_API__KEY", api.key)
    shown.run()
    assert not shown.error
    assert shown.metric


def test_an_api_that_is_down_is_one_sentence_and_the_page_comes_back(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = api_settings(scratch, database, temporal_server.address)
    with running_api(settings) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        assert page().metric
    shown = page()
    assert len(shown.error) == 1
    assert "is the stack running" in shown.error[0].value
    with running_api(settings):
        wait_until(lambda: not shown.run().error, "the page to come back", every=0.2)
    assert shown.metric


def test_every_figure_of_profit_is_the_one_the_api_tells(api: RunningApi, database: str) -> None:
    rows.store(
        database,
        [
            rows.instrument(),
            decision_rows.market_clock(),
            *rows.wallet(),
            *rows.open_position(1),
            *rows.closed_position(2),
        ],
    )
    shown = figures(page())
    with api.client() as client:
        portfolio = client.portfolio()
        periods = {"Today": "today", "7 days": "7d", "30 days": "30d", "180 days": "180d", "All time": "all"}
        told = {name: client.pnl(period).net_pnl for name, period in periods.items()}
    assert told["All time"] != 0, "there is a profit to show"
    for name, amount in told.items():
        assert shown[f"Net P&L · {name}"] == money_text(amount, signed=True)
    assert shown["Invested (USD)"] == money_text(portfolio.invested)


def test_markets_are_listed_by_what_they_are_and_can_be_narrowed_down(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    scores = [decision_rows.score("ETHUSDT", 90.0), decision_rows.score("SOLUSDT", 55.5)]
    instruments = [rows.instrument(), rows.instrument("ETHUSDT", "linear"), rows.instrument("SOLUSDT", "linear")]
    rows.store(database, [*instruments, *scores, *rows.open_position(1)])
    shown = page()
    assert "**BTCUSDT** :blue-badge[owned]" in texts(shown)
    assert "**SOLUSDT** :gray-badge[watched]" in texts(shown)
    shown.text_input(key="assets-symbol").set_value("sol").run()
    assert "**SOLUSDT** :gray-badge[watched]" in texts(shown)
    assert "**ETHUSDT** :gray-badge[watched]" not in texts(shown)
    assert "score 55.5" in texts(shown)


def test_a_market_is_sold_from_its_row_after_asking_how_much_and_why(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    rows.store(database, [rows.instrument("ETHUSDT", "linear"), decision_rows.score("ETHUSDT", 90.0)])
    shown = page()
    shown.button(key="sell-linear-ETHUSDT").click().run()
    assert ":red-badge[sell] **ETHUSDT** (short, linear) at market" in texts(shown)
    assert shown.text_input(key="wish-stop_loss_pct").value == "3"


def test_a_halt_is_shown_with_its_reason_and_offers_to_resume(api: RunningApi, database: str) -> None:
    shown = page()
    assert "Trading is halted" not in texts(shown)
    with api.client() as client:
        client.halt(HaltRequest(reason="the exchange is odd"))
    shown.run()
    assert "Trading is halted: no new entries." in texts(shown)
    assert "the exchange is odd" in texts(shown)
    assert shown.button(key="system-resume")
    shown.button(key="system-resume").click().run()
    assert "may open positions again" in texts(shown)


def _flattening() -> None:
    """The dialog alone, as ``_confirmation``."""
    import streamlit as st

    from ui.dialogs import NOTICE
    from ui.halting import confirm_flatten

    if NOTICE not in st.session_state:
        confirm_flatten("key-of-this-flatten")


def test_flatten_says_how_much_it_closes_and_needs_its_word(api: RunningApi, database: str) -> None:
    rows.store(database, [*rows.open_position(1), rows.position(2)])
    dialog = AppTest.from_function(_flattening, default_timeout=30).run()
    assert "closes **2 open positions** **at market**" in texts(dialog)
    dialog.text_input(key="flatten-reason").set_value("a test")
    dialog.button(key="dialog-confirm").click().run()
    assert [warning.value for warning in dialog.warning] == ["Type FLATTEN in capitals to confirm."]
    with api.client() as client:
        assert not client.halt_status().halted, "nothing happened yet"


def _halting() -> None:
    """The dialog alone, as ``_confirmation``."""
    import streamlit as st

    from ui.dialogs import NOTICE
    from ui.halting import confirm_halt

    if NOTICE not in st.session_state:
        confirm_halt()


def test_a_confirmed_halt_halts(api: RunningApi, database: str) -> None:
    dialog = AppTest.from_function(_halting, default_timeout=30).run()
    dialog.text_input(key="halt-reason").set_value("a test of the button")
    dialog.button(key="dialog-confirm").click().run()
    assert not dialog.error
    with api.client() as client:
        halt = client.halt_status()
    assert (halt.halted, halt.reason) == (True, "a test of the button")
