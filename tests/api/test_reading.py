"""What the API tells of positions, orders, executions, the account and events is what the database holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from client import ApiProblem
from db.models import StreamStatus, SystemEvent
from tests.api import rows
from tests.api.running import RunningApi


def test_an_open_position_is_valued_at_the_live_price_with_its_targets_ratchet_and_protection(
    api: RunningApi, database: str
) -> None:
    rows.store(database, rows.open_position(1))
    with api.client() as client:
        [position] = client.positions(state="active").items
    assert position.price is not None
    assert position.price.last_price == 61500
    assert position.price.age_seconds < 5
    assert position.value == Decimal("30750")
    assert position.unrealised_pnl == Decimal("750")
    assert position.unrealised_percent == Decimal("2.5")
    assert position.take_profit_price == 63600
    assert position.stop_price == 61182
    assert position.ratchet is not None
    assert (position.ratchet.best_price, position.ratchet.armed) == (61800, True)
    assert position.protection is not None
    assert position.protection.guard_live
    assert position.protection.resting_stop_price == 57600
    assert position.fees == 30


def test_a_short_gains_when_the_price_falls(api: RunningApi, database: str) -> None:
    short = rows.position(1, side="short", category="linear")
    rows.store(database, [short, rows.live_price("57000", "linear")])
    with api.client() as client:
        [position] = client.positions().items
    assert position.unrealised_pnl == 1500
    assert position.take_profit_price == Decimal("56400")
    assert position.stop_price == Decimal("61800")


def test_a_guard_that_was_not_seen_for_long_or_was_taken_over_does_not_protect(api: RunningApi, database: str) -> None:
    rows.store(
        database,
        [
            *rows.open_position(1, guard_seen=30),
            rows.position(2, guard_epoch=2),
            rows.lease(2, seen_seconds_ago=0.1, epoch=1),
        ],
    )
    with api.client() as client:
        newest, oldest = client.positions().items
    assert oldest.protection is not None
    assert newest.protection is not None
    assert (oldest.protection.guard_live, oldest.protection.resting_stop) == (False, True)
    assert (newest.protection.guard_live, newest.protection.resting_stop) == (False, False)


def test_the_stop_attached_to_a_linear_entry_counts_as_resting(api: RunningApi, database: str) -> None:
    entry = rows.order(1, "E", category="linear", stop_loss=Decimal("57618"))
    rows.store(database, [rows.position(1, category="linear"), entry])
    with api.client() as client:
        [position] = client.positions().items
    assert position.protection is not None
    assert position.protection.resting_stop_price == Decimal("57618")


def test_a_position_without_a_live_price_is_not_valued_and_the_account_says_so(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.position(1), *rows.wallet()])
    with api.client() as client:
        [position] = client.positions().items
        account = client.account()
    assert position.price is None
    assert position.unrealised_pnl is None
    assert account.unpriced_symbols == ["BTCUSDT"]
    assert account.positions_value == 0


def test_a_closed_position_tells_its_whole_story(api: RunningApi, database: str) -> None:
    rows.store(database, rows.closed_position(3))
    with api.client() as client:
        position = client.position(rows.position_id(3))
    assert position.state == "closed"
    assert position.exit_price == 62000
    assert position.realised_pnl == 939
    assert position.fees == 61
    assert position.price is None
    assert [order.role for order in position.orders] == ["entry", "exit"]
    assert [execution.exec_id for execution in position.executions] == ["exec-3-E", "exec-3-X"]
    assert [target.version for target in position.targets] == [1]
    assert position.matches[0].net == position.matches[0].gross - 61
    assert position.protection is not None
    assert not position.protection.guard_live
    assert position.protection.unprotected_seconds == 0.5


def test_lists_page_by_cursor_without_losing_or_repeating_a_row(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.position(number) for number in range(7)])
    seen: list[str] = []
    with api.client() as client:
        cursor = None
        while True:
            page = client.positions(limit=3, cursor=cursor)
            seen += [position.id for position in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == [rows.position_id(number) for number in reversed(range(7))]


def test_positions_are_filtered_by_state_and_symbol(api: RunningApi, database: str) -> None:
    other = rows.position(3, symbol="ETHUSDT", state="not_entered", qty=Decimal(0))
    rows.store(database, [rows.position(1), *rows.closed_position(2), other])
    with api.client() as client:
        assert [each.id for each in client.positions(state="active").items] == [rows.position_id(1)]
        assert [each.id for each in client.positions(state="closed").items] == [rows.position_id(2)]
        finals = client.positions(state="final").items
        assert {each.id for each in finals} == {rows.position_id(2), rows.position_id(3)}
        assert [each.id for each in client.positions(symbol="ETHUSDT").items] == [rows.position_id(3)]


def test_a_position_names_the_versions_it_and_its_orders_were_decided_by(api: RunningApi, database: str) -> None:
    by_strategy = rows.position(1, strategy="momentum", config_version=7, settings_version=31)
    rows.store(database, [by_strategy, rows.order(1, "E"), rows.position(2, settings_version=32)])
    with api.client() as client:
        [order] = client.orders().items
        decided = client.position(order.position_id)
        by_hand = client.position(rows.position_id(2))
    assert (decided.config_version, decided.settings_version) == (7, 31)
    assert (by_hand.config_version, by_hand.settings_version) == (None, 32)


def test_orders_and_executions_are_listed_and_found_by_position(api: RunningApi, database: str) -> None:
    foreign = rows.execution(9, "F", "59000", order_link_id="")
    rows.store(database, [*rows.closed_position(1), *rows.open_position(2), foreign])
    with api.client() as client:
        assert len(client.orders().items) == 4
        assert {order.role for order in client.orders(position=rows.position_id(2)).items} == {"entry", "stop"}
        assert [order.role for order in client.orders(state="untriggered").items] == ["stop"]
        assert client.order(f"{rows.position_id(1)}-X1").exit_reason == "take_profit"
        assert client.executions().items[0].exec_id == "exec-1-X"
        assert client.executions(position=rows.position_id(2)).items[0].exec_id == "exec-2-E"
        by_id = {each.exec_id: each.position_id for each in client.executions().items}
    assert by_id["exec-9-F"] is None


def test_the_account_is_the_exchanges_word_and_leaves_out_empty_coins(api: RunningApi, database: str) -> None:
    rows.store(database, [*rows.wallet(), *rows.open_position(1)])
    with api.client() as client:
        account = client.account()
    assert account.equity == Decimal("100750.5")
    assert [balance.coin for balance in account.balances] == ["USDT", "BTC"]
    assert account.unrealised_pnl == 750
    assert account.open_positions == 1
    assert account.age_seconds is not None
    assert account.age_seconds < 10


def test_before_the_exchange_told_a_balance_there_is_no_equity(api: RunningApi) -> None:
    with api.client() as client:
        account = client.account()
    assert account.equity is None
    assert account.balances == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/positions/aaaaaaaaaaaaaaaaaaaa", "unknown-position"),
        ("/v1/orders/aaaaaaaaaaaaaaaaaaaa-E1", "unknown-order"),
        ("/v1/nothing", "not-found"),
    ],
)
def test_what_does_not_exist_is_a_404_problem(api: RunningApi, path: str, code: str) -> None:
    with api.http() as http:
        answer = http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{code}"


def test_a_cursor_nobody_gave_names_the_field(api: RunningApi) -> None:
    with api.client() as client, pytest.raises(ApiProblem) as refused:
        client.positions(cursor="bm9wZQ")
    assert refused.value.status == 422
    assert [fault.field for fault in refused.value.fields] == ["cursor"]


def test_events_page_and_stream_in_the_order_written(api: RunningApi, database: str) -> None:
    rows.store(database, [_event(f"step-{number}") for number in range(5)])
    with api.client() as client:
        page = client.events(kind="test_event", limit=2)
        assert [event.subject for event in page.items] == ["step-4", "step-3"]
        following = client.events(kind="test_event", limit=10, cursor=page.next_cursor)
        assert [event.subject for event in following.items] == ["step-2", "step-1", "step-0"]
        stream = client.event_stream(after=following.items[-1].id)
        assert [next(stream).subject for _ in range(4)] == ["step-1", "step-2", "step-3", "step-4"]
        rows.store(database, [_event("live")])
        assert next(stream).subject == "live"
        stream.close()


def _event(subject: str) -> SystemEvent:
    return SystemEvent(kind="test_event", subject=subject, who="test", detail={"number": "1.50"})


@pytest.mark.parametrize(
    ("connected", "age", "said", "watch"),
    [(True, 1.0, 0.5, "watching"), (True, 40.0, 0.5, "stale"), (False, 12.0, 0.5, "stale"), (True, 1.0, 60.0, "none")],
    ids=["fresh", "old", "cut off", "process gone"],
)
def test_a_guard_says_whether_it_sees_prices(
    api: RunningApi, database: str, connected: bool, age: float, said: float, watch: str
) -> None:
    now = datetime.now(UTC)
    lease = rows.lease(1, seen_seconds_ago=said)
    stream = StreamStatus(
        name="linear:publicTrade.BTCUSDT",
        process=lease.worker,
        connected=connected,
        last_message_at=now - timedelta(seconds=age),
        reconnects=0,
        updated_at=now - timedelta(seconds=said),
    )
    rows.store(database, [rows.position(1, category="linear"), lease, stream])
    with api.client() as client:
        [position] = client.positions().items
    assert position.watch == watch
    assert position.price_age_seconds is not None
    assert age <= position.price_age_seconds < age + 10
