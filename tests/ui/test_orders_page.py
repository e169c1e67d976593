"""The Orders page over a real API: orders in doubt with what was sought, foreign ones, comparisons and their drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from db.models import ForeignOrder, ForeignPosition, OrderEvidence, OrderTransition, Reconciliation
from tests.api import rows
from tests.api.running import RunningApi
from tests.ui.showing import page, texts

D = Decimal


def _in_doubt(database: str) -> str:
    """An entry whose answer was lost a minute ago, looked for once in vain."""
    position = rows.position(1, state="entering", qty=D(0))
    order = rows.order(1, "E", state="unknown", cum_exec_qty=D(0))
    lost = datetime.now(UTC) - timedelta(minutes=1)
    steps = [
        OrderTransition(order_link_id=order.order_link_id, from_state=old, to_state=new, evidence=why, at=lost)
        for old, new, why in (
            (None, "prepared", "intent"),
            ("prepared", "sent", "submitted"),
            ("sent", "unknown", "OutcomeUnknown: no answer in time"),
        )
    ]
    look = OrderEvidence(order_link_id=order.order_link_id, source="query", found=False, detail={"rounds": 1})
    rows.store(database, [rows.instrument(), position, order])
    rows.store(database, [*steps, look])
    return order.order_link_id


def test_an_empty_page_says_that_nothing_is_in_doubt_or_foreign(api: RunningApi, database: str) -> None:
    told = texts(page("orders"))
    assert "Nothing foreign is on the account" in told
    assert "No comparison yet" in told
    assert "Orders come from strategies" in told


def test_an_order_in_doubt_tells_since_when_and_what_was_sought(api: RunningApi, database: str) -> None:
    order_id = _in_doubt(database)
    shown = page("orders")
    told = texts(shown)
    assert order_id in told
    assert "no answer in time" in told
    assert "in doubt for 1 min" in told
    sought = shown.dataframe[0].value
    assert list(sought["Where"]) == ["query"]
    assert list(sought["Found"]) == ["no"]


def test_an_order_opened_by_its_address_shows_every_change_and_look(api: RunningApi, database: str) -> None:
    shown = page("orders", order=_in_doubt(database))
    changes, looks = (table.value for table in shown.dataframe)
    assert list(changes["To"]) == ["prepared", "sent", "unknown"]
    assert list(looks["Found"]) == ["no"]
    shown.button(key="orders-back").click().run()
    assert "In doubt (1)" in [tab.label for tab in shown.tabs]


def test_what_others_hold_is_shown_apart(api: RunningApi, database: str) -> None:
    order = ForeignOrder(
        category="linear", order_id="other-1", symbol="SOLUSDT", order_link_id="", side="Sell", order_type="Limit",
        status="New", qty=D(3), cum_exec_qty=D(0), price=D(200), trigger_price=None, stop_order_type="",
        reduce_only=False,
    )  # fmt: skip
    position = ForeignPosition(category="linear", symbol="ETHUSDT", side="long", size=D("0.5"), avg_price=D(3000))
    rows.store(database, [order, position])
    positions, orders = (table.value for table in page("orders").dataframe)
    assert positions.to_dict("records")[0]["Size"] == "0.5"
    assert orders.to_dict("records")[0]["Price"] == "200.00"


def test_drift_of_the_newest_comparison_is_said_in_words(api: RunningApi, database: str) -> None:
    now = datetime.now(UTC)
    drift = [{"kind": "position_size", "subject": "BTCUSDT", "amount": "0.1", "sentence": "0.1 more than ours"}]
    row = Reconciliation(started_at=now, workflows_started=0, executions_fetched=0, detail={}, drift=drift, halted=True)
    rows.store(database, [row])
    shown = page("orders")
    assert "BTCUSDT: 0.1 more than ours" in texts(shown)
    assert shown.dataframe[-1].value.to_dict("records")[0]["Halted entries"] == "yes"


def test_an_unknown_order_is_said_to_be_so(api: RunningApi, database: str) -> None:
    [error] = page("orders", order=f"{rows.position_id(9)}-E1").error
    assert rows.position_id(9) in error.value
