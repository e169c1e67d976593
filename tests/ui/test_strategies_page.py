"""The Strategies page over a real API: the gates it switches, the numbers it changes, the versions it shows."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from client.models import GateRequest, StrategyView
from tests.api.running import RunningApi
from tests.ui import decision_rows
from tests.ui.showing import page, texts


def test_without_strategies_it_says_what_to_do(api: RunningApi, database: str) -> None:
    assert "No strategy is configured yet" in texts(page("strategies"))


def test_a_card_shows_gates_limits_exits_and_parameters(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    shown = page("strategies")
    told = texts(shown)
    for piece in (
        "**Trend breakdown** :green-badge[active]",
        "**Mean reversion** :blue-badge[watchlist]",
        "stop loss **3.5 %**",
        "adx over **25.0**",
        "at most 10",
        "opens in **strong bear, bear, neutral** · when it turns **hold** · funding at most **0.5 %**",
    ):
        assert piece in told
    on = {str(toggle.key).split("-")[1] for toggle in shown.toggle if toggle.label == "Buy" and toggle.value}
    assert on == {"momentum", "trend_breakdown"}
    assert all(toggle.value for toggle in shown.toggle if toggle.label != "Buy")


def test_turning_a_switch_asks_first_and_shows_what_is_in_force_meanwhile(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    shown = page("strategies")
    shown.toggle(key="gate-trend_breakdown-buy-True-0").set_value(False).run()
    assert "Switch the **buy gate** of **Trend breakdown** :orange-badge[off]" in texts(shown)
    assert all(toggle.value for toggle in shown.toggle if "trend_breakdown" in str(toggle.key))
    with api.client() as client:
        assert client.strategy("trend_breakdown").buy_gate


def _switching() -> None:
    """The dialog alone: under AppTest every run is a run of the whole script, and a page opens its dialog once."""
    import streamlit as st

    from ui.dialogs import NOTICE
    from ui.session import client
    from ui.strategy_cards import GateSwitch, confirm_gate

    if "seen" not in st.session_state:
        st.session_state["seen"] = client().strategy("trend_breakdown")
    if NOTICE not in st.session_state:
        confirm_gate(GateSwitch(st.session_state["seen"], "buy", False))


def test_a_confirmed_switch_is_made_with_its_reason(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_switching, default_timeout=30).run()
    dialog.text_input(key="gate-reason").set_value("the market turned")
    dialog.button(key="dialog-confirm").click().run()
    assert not dialog.error
    with api.client() as client:
        assert not client.strategy("trend_breakdown").buy_gate
        assert client.strategy_history("trend_breakdown").items[0].reason == "the market turned"


def test_a_switch_decided_on_an_older_version_is_refused(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_switching, default_timeout=30).run()
    with api.client() as client:
        client.switch_gate("trend_breakdown", GateRequest(gate="sell", on=False, reason="somebody else"))
    dialog.text_input(key="gate-reason").set_value("too late")
    dialog.button(key="dialog-confirm").click().run()
    [error] = dialog.error
    assert "Strategy moved" in error.value
    assert "version 2" in error.value


def _editing() -> None:
    """The form alone, as ``_switching``."""
    import streamlit as st

    from ui.dialogs import NOTICE
    from ui.session import client
    from ui.strategy_form import edit_strategy

    if "seen" not in st.session_state:
        st.session_state["seen"] = client().strategy("momentum")
    if NOTICE not in st.session_state:
        edit_strategy(st.session_state["seen"])


def _edited(dialog: AppTest, **typed: str) -> AppTest:
    for field, value in typed.items():
        dialog.text_input(key=f"edit-{field.replace('__', '.')}").set_value(value)
    dialog.text_input(key="edit-reason").set_value("a test")
    dialog.run()
    return dialog.button(key="dialog-confirm").click().run()


def _momentum(api: RunningApi) -> StrategyView:
    with api.client() as client:
        return client.strategy("momentum")


def test_an_edit_says_what_changes_and_changes_that_alone(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    before = _momentum(api)
    dialog = AppTest.from_function(_editing, default_timeout=30).run()
    assert dialog.button(key="dialog-confirm").disabled, "nothing is changed yet"
    dialog = _edited(dialog, trade_usd="250", exit_policy__stop_loss_pct="5.5", parameters__adx_over="30")
    assert not dialog.error
    after = _momentum(api)
    assert after.trade_usd == 250
    assert after.exit_policy == before.exit_policy.model_copy(update={"stop_loss_pct": after.exit_policy.stop_loss_pct})
    assert str(after.exit_policy.stop_loss_pct) == "5.5"
    assert after.parameters == {**before.parameters, "adx_over": 30.0}
    assert after.version == 2


def _editing_a_short() -> None:
    """The form of a perpetual's strategy, as ``_switching``."""
    import streamlit as st

    from ui.dialogs import NOTICE
    from ui.session import client
    from ui.strategy_form import edit_strategy

    if "seen" not in st.session_state:
        st.session_state["seen"] = client().strategy("trend_breakdown")
    if NOTICE not in st.session_state:
        edit_strategy(st.session_state["seen"])


def test_regimes_their_exit_and_the_limit_of_funding_are_edited(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_editing_a_short, default_timeout=30).run()
    dialog.multiselect(key="edit-regimes").set_value(["neutral", "strong_bear"])
    dialog.selectbox(key="edit-regime_exit").set_value("close")
    dialog = _edited(dialog, max_funding_cost_pct="")
    assert not dialog.error
    with api.client() as client:
        after = client.strategy("trend_breakdown")
    assert (after.regimes, after.regime_exit, after.max_funding_cost_pct) == (["strong_bear", "neutral"], "close", None)


def test_the_form_of_a_spot_strategy_has_no_funding_and_says_what_the_regimes_become(
    api: RunningApi, database: str
) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_editing, default_timeout=30).run()
    assert "edit-max_funding_cost_pct" not in {field.key for field in dialog.text_input}
    dialog.multiselect(key="edit-regimes").set_value(["bull", "neutral"]).run()
    told = "regimes: neutral, bull, strong bull → **neutral, bull**"
    assert any(told in markdown.value for markdown in dialog.markdown)


def test_without_any_regime_the_edit_is_refused_beneath_the_field(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_editing, default_timeout=30).run()
    dialog.multiselect(key="edit-regimes").set_value([])
    dialog = _edited(dialog)
    assert [error.value for error in dialog.error] == ["Some values can't be: see the fields."]
    assert any("at least 1 item" in caption.value for caption in dialog.caption)


def test_what_the_api_refuses_is_told_beneath_its_field(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_editing, default_timeout=30).run()
    dialog = _edited(dialog, parameters__adx_bars="-3")
    [error] = dialog.error
    assert "adx_bars" in error.value
    assert any(caption.value.startswith(":red[") for caption in dialog.caption)
    assert _momentum(api).version == 1


def test_what_can_not_be_a_number_is_told_without_asking_the_api(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    dialog = AppTest.from_function(_editing, default_timeout=30).run()
    dialog = _edited(dialog, max_positions="many")
    assert [error.value for error in dialog.error] == ["Some values can't be: see the fields."]
    assert any("valid integer" in caption.value for caption in dialog.caption)


def test_history_shows_what_two_versions_differ_in(api: RunningApi, database: str) -> None:
    decision_rows.seed(database)
    with api.client() as client:
        client.switch_gate("momentum", GateRequest(gate="buy", on=False, reason="a pause"))
    shown = page("strategies")
    shown.selectbox(key="history-strategy").set_value("momentum").run()
    versions, changes = shown.dataframe[0].value, shown.dataframe[1].value
    assert list(versions["Reason"]) == ["a pause", "seeded"]
    assert changes.values.tolist() == [["buy gate", "on", "off"]]
