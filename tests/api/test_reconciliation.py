"""Orders in doubt, what others hold and comparisons, as the API and its client tell them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from client import ApiProblem
from client.models import ReconcileNow
from tests.api import exchange_rows, rows
from tests.api.running import RunningApi


def test_an_order_in_doubt_is_in_the_queue_with_what_was_sought_and_what_comes_next(
    api: RunningApi, database: str
) -> None:
    looks = [("query", False), ("executions", False), ("resend", False)]
    rows.store(database, exchange_rows.doubted_order(1, "X", exchange_rows.IN_DOUBT, looks))
    with api.client() as client:
        told = client.unknown_orders()
    (doubt,) = told.in_doubt
    assert told.resolved == []
    assert doubt.order.state == "unknown"
    assert doubt.cause == "OutcomeUnknown: read timed out"
    assert 27 < doubt.age_seconds < 60
    assert (doubt.attempts, doubt.looks) == (2, 3)
    assert [(each.source, each.found) for each in doubt.evidence] == list(reversed(looks)), "the last look first"
    assert doubt.next_step is not None
    assert "same id" in doubt.next_step
    assert doubt.resolved_to is None


def test_an_entry_in_doubt_is_said_to_be_given_up_when_its_absence_is_proved(api: RunningApi, database: str) -> None:
    rows.store(database, exchange_rows.doubted_order(1, "E", exchange_rows.IN_DOUBT, []))
    with api.client() as client:
        (doubt,) = client.unknown_orders().in_doubt
    assert doubt.next_step is not None
    assert "given up" in doubt.next_step


def test_a_doubt_that_ended_stays_in_the_queue_for_a_while_with_what_ended_it(api: RunningApi, database: str) -> None:
    rows.store(
        database,
        [
            *exchange_rows.doubted_order(1, "E", exchange_rows.RESOLVED, [("query", True)]),
            *exchange_rows.doubted_order(2, "X", exchange_rows.IN_DOUBT, []),
            rows.order(1, "X"),
        ],
    )
    with api.client() as client:
        told = client.unknown_orders()
        assert client.unknown_orders(hours=0).resolved == []
    assert [each.order.position_id for each in told.in_doubt] == [rows.position_id(2)]
    (ended,) = told.resolved
    assert (ended.resolved_to, ended.resolved_by) == ("filled", "found by query")
    assert ended.age_seconds == pytest.approx(8, abs=0.5)
    assert ended.next_step is None


def test_the_evidence_of_an_order_is_its_whole_story_oldest_first(api: RunningApi, database: str) -> None:
    looks = [("query", False), ("stream", True)]
    rows.store(database, exchange_rows.doubted_order(1, "E", exchange_rows.RESOLVED, looks))
    with api.client() as client:
        told = client.order_evidence(f"{rows.position_id(1)}-E1")
        with pytest.raises(ApiProblem) as unknown:
            client.order_evidence("no-such-order")
    assert [each.to_state for each in told.transitions] == ["prepared", "sent", "unknown", "filled"]
    assert [(each.source, each.found) for each in told.looks] == looks
    assert not told.in_doubt
    assert (unknown.value.status, unknown.value.code) == (404, "unknown-order")


def test_what_others_hold_is_told_with_coins_that_no_position_explains(api: RunningApi, database: str) -> None:
    gone = exchange_rows.foreign_order("stranger-2", gone_at=exchange_rows.ago(60))
    rows.store(
        database,
        [
            exchange_rows.foreign_order(),
            gone,
            exchange_rows.foreign_position(),
            rows.instrument(),
            rows.position(1, qty=Decimal("0.2")),
            *rows.wallet(),
        ],
    )
    with api.client() as client:
        told = client.foreign()
        now_only = client.foreign(gone_hours=0)
    assert [(each.order_id, each.gone_at is None) for each in told.orders] == [
        ("stranger-1", True),
        ("stranger-2", False),
    ]
    assert [each.order_id for each in now_only.orders] == ["stranger-1"]
    (position,) = told.positions
    assert (position.symbol, position.side, position.size) == ("ETHUSDT", "short", Decimal("1.5"))
    (coin,) = told.coins
    assert (coin.coin, coin.balance, coin.ours, coin.foreign) == ("BTC", Decimal("0.5"), Decimal("0.2"), Decimal("0.3"))


def test_comparisons_are_paged_newest_first(api: RunningApi, database: str) -> None:
    drifted = exchange_rows.comparison(30, drift=[exchange_rows.DRIFT], halted=True)
    rows.store(database, [exchange_rows.comparison(90), exchange_rows.comparison(60), drifted])
    with api.client() as client:
        first = client.reconciliations(limit=2)
        second = client.reconciliations(limit=2, cursor=first.next_cursor)
        newest = client.reconciliation(first.items[0].id)
        with pytest.raises(ApiProblem) as unknown:
            client.reconciliation(9_999)
    ids = [each.id for each in [*first.items, *second.items]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second.next_cursor) == (3, None)
    assert newest.halted
    assert [(each.kind, each.amount) for each in newest.drift] == [("size", Decimal("-0.5"))]
    assert newest.finished_at < datetime.now(UTC)
    assert unknown.value.status == 404


def test_a_comparison_can_not_be_made_while_nobody_compares_and_may_be_asked_for_again(api: RunningApi) -> None:
    with api.client() as client:
        for _ in range(2):
            with pytest.raises(ApiProblem) as refused:
                client.reconcile(ReconcileNow(reason="a test"), key="compare-this-once")
            assert (refused.value.status, refused.value.code) == (503, "worker-unreachable")


def test_a_viewer_may_look_and_not_have_compared(api: RunningApi, database: str) -> None:
    key = "ats_viewer00_" + "v" * 43
    rows.store(database, [rows.key_row(key, "viewer")])
    with api.http(key) as http:
        assert http.get("/v1/foreign").status_code == 200
        assert http.get("/v1/orders/unknown").status_code == 200
        refused = http.post("/v1/reconciliations", json={"reason": "a test"}, headers={"Idempotency-Key": "k" * 12})
    assert refused.status_code == 403
