"""Flatten over the API: a workflow started once a key, whether a worker runs or not."""

from __future__ import annotations

import pytest

from client import ApiProblem
from client.models import FlattenRequest
from tests.api import rows
from tests.api.running import RunningApi


def test_flatten_is_started_once_a_key(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.position(1), rows.position(2, symbol="ETHUSDT"), rows.position(3, state="closed")])
    with api.client() as client:
        first = client.flatten(FlattenRequest(reason="the end"), key="flatten-this-once")
        assert client.flatten(FlattenRequest(reason="the end"), key="flatten-this-once") == first
        assert first.positions == 2
        other = client.flatten(FlattenRequest(reason="ETH only", symbol="ETHUSDT"), key="flatten-another")
        assert other.positions == 1
        assert other.workflow_id != first.workflow_id
        assert all(each.workflow_id.startswith("flatten/") for each in (first, other))
        with pytest.raises(ApiProblem) as refused:
            client.flatten(FlattenRequest(reason="another body"), key="flatten-this-once")
    assert (refused.value.status, refused.value.code) == (422, "idempotency-key-reused")
