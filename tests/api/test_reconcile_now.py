"""A comparison asked for over the API of a whole running system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client.models import ReconcileNow
from tests.api.trading_system import TradingSystem, running_system
from tests.support.folders import scratch_folder
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(postgres_server: PostgresServer) -> Iterator[TradingSystem]:
    dsn = postgres_server.new_database()
    with scratch_folder() as folder, running_system(folder, dsn) as running:
        yield running
    postgres_server.drop_database(dsn)


def test_a_comparison_is_made_at_once_and_once_a_key(system: TradingSystem) -> None:
    with system.api.client() as client:
        first = client.reconcile(ReconcileNow(reason="a test"), key="compare-this-once")
        assert client.reconcile(ReconcileNow(reason="a test"), key="compare-this-once") == first
        second = client.reconcile(ReconcileNow(reason="another test"))
        assert first.drift == second.drift == []
        assert first.detail["asked_for"]
        assert first.balances_compared > 0
        assert second.id > first.id
        assert client.reconciliation(first.id) == first
        listed = client.reconciliations(limit=200).items
        assert [each.id for each in listed[:2]] == [second.id, first.id]
        events = client.events(kind="reconciliation_requested").items
    assert [event.detail["reason"] for event in events] == ["another test", "a test"]
