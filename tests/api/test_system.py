"""Readiness says which part is missing, in words; status tells streams and workers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client import ApiProblem
from db.models import ExchangeLink, RateLimit, StreamStatus
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from workers.stack.ports import free_port
from workers.stack.temporal import EmbeddedTemporal


def parts(api: RunningApi) -> dict[str, bool]:
    with api.client() as client:
        return {part.name: part.ok for part in client.ready().components}


def test_it_is_ready_with_database_temporal_and_fresh_prices(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.live_price("60000")])
    with api.client() as client:
        assert client.ready().ready


def test_it_is_not_ready_before_a_price_arrived(api: RunningApi) -> None:
    assert parts(api) == {"database": True, "temporal": True, "prices": False}
    with api.http("") as http:
        assert http.get("/v1/system/ready").status_code == 503


def test_it_is_not_ready_on_stale_prices(api: RunningApi, database: str) -> None:
    rows.store(database, [rows.live_price("60000", age_seconds=60)])
    assert parts(api)["prices"] is False


def test_without_temporal_it_still_answers_and_says_so(scratch: Path, database: str) -> None:
    settings = api_settings(scratch, database, f"127.0.0.1:{free_port()}")
    with running_api(settings) as api:
        assert parts(api)["temporal"] is False
        with api.client() as client:
            assert [worker.ok for worker in client.status().workers] == [False, False, False]


def test_without_the_database_it_is_alive_but_not_ready(scratch: Path, temporal_server: EmbeddedTemporal) -> None:
    dsn = f"postgresql://ats:wrong@127.0.0.1:{free_port()}/ats"
    with running_api(api_settings(scratch, dsn, temporal_server.address)) as api:
        with api.client() as client:
            assert client.health().status == "ok"
            with pytest.raises(ApiProblem) as refused:
                client.account()
        assert refused.value.code == "database-unreachable"
        assert parts(api) == {"database": False, "temporal": True, "prices": False}


def test_status_tells_streams_and_that_no_worker_polls(api: RunningApi, database: str) -> None:
    now = datetime.now(UTC)
    stream = StreamStatus(
        name="spot.publicTrade.BTCUSDT",
        process="market-1",
        connected=False,
        last_message_at=None,
        reconnects=3,
        updated_at=now,
    )
    link = ExchangeLink(
        process="market-1", mode="paper", order_entry="websocket", clock_offset_ms=-3.5, measured_at=now, updated_at=now
    )
    rate = RateLimit(
        name="place linear", process="market-1", per_second=10, available=7, waiting=2, refused=1, updated_at=now
    )
    rows.store(database, [stream, link, rate, rows.live_price("60000")])
    with api.client() as client:
        status = client.status()
    [told] = status.streams
    assert [(one.order_entry, one.clock_offset_ms) for one in status.links] == [("websocket", -3.5)]
    assert [(one.name, one.waiting, one.refused) for one in status.rates] == [("place linear", 2, 1)]
    assert (told.name, told.connected, told.reconnects, told.age_seconds) == (stream.name, False, 3, None)
    assert status.mode == "paper"
    assert {worker.name for worker in status.workers} == {"trading", "market", "research"}
