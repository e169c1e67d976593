"""Who is let in, what each role may do, and what a refusal leaves behind."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from api.buckets import Buckets
from api.keys import PREFIX, hash_key, key_id_of, matches
from api.services import Services
from db.models import ApiKey, SystemEvent
from db.session import Database
from tests.api import rows
from tests.api.running import RunningApi, api_settings, running_api
from tests.support.waiting import run
from workers.stack.temporal import EmbeddedTemporal


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def read(dsn: str, query: object) -> list[object]:
    async def fetch() -> list[object]:
        database = Database(dsn, pool_size=1)
        try:
            async with database.session() as session:
                return list(await session.scalars(query))  # type: ignore[call-overload]
        finally:
            await database.close()

    return run(fetch())


@pytest.mark.parametrize("path", ["/v1/account", "/v1/positions", "/v1/orders", "/v1/executions", "/v1/events"])
def test_nothing_is_told_without_a_key(api: RunningApi, path: str) -> None:
    with api.http("") as http:
        answer = http.get(path)
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/key-missing"
    assert answer.headers["www-authenticate"] == "Bearer"


def test_health_and_readiness_need_no_key(api: RunningApi) -> None:
    with api.http("") as http:
        assert http.get("/v1/system/health").json() == {"status": "ok"}
        assert http.get("/v1/system/ready").status_code in (200, 503)


@pytest.mark.parametrize("key", ["short", "ats_" + "x" * 40, "other_" + "x" * 40, "x" * 5000])
def test_a_key_nobody_issued_is_refused(api: RunningApi, key: str) -> None:
    with api.http(key) as http:
        answer = http.get("/v1/account")
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/key-refused"


def test_a_right_public_part_with_a_wrong_secret_is_refused(api: RunningApi) -> None:
    forged = key_id_of(api.key) + "x" * 40
    with api.http(forged) as http:
        assert http.get("/v1/account").status_code == 401


def test_the_key_may_come_in_either_header(api: RunningApi) -> None:
    with httpx.Client(base_url=api.url, headers={"X-API-Key": api.key}, trust_env=False) as http:
        assert http.get("/v1/account").status_code == 200


def test_a_viewer_looks_but_does_not_trade_and_the_attempt_is_audited(api: RunningApi, database: str) -> None:
    key = new_key()
    rows.store(database, [rows.key_row(key, "viewer"), *rows.open_position(1)])
    with api.http(key) as http:
        assert http.get("/v1/positions").status_code == 200
        answer = http.post(f"/v1/positions/{rows.position_id(1)}/close", json={"reason": "not mine to close"})
    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/role-refused"
    [event] = read(database, select(SystemEvent).where(SystemEvent.kind == "request_refused"))
    assert isinstance(event, SystemEvent)
    assert event.who == "key:viewer"
    assert event.detail["path"].endswith("/close")
    assert event.trace_id == answer.headers["trace-id"]


def test_until_the_installations_key_is_known_no_key_is_called_wrong(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal
) -> None:
    settings = api_settings(scratch, database, temporal_server.address)
    services = Services(settings, Database(database, pool_size=2))
    with running_api(settings, services) as api:
        services.keys.ready = False
        with api.http(new_key()) as http:
            answer = http.get("/v1/account")
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/starting"
        assert read(database, select(SystemEvent).where(SystemEvent.kind == "request_refused")) == []


def test_a_revoked_key_is_refused(api: RunningApi, database: str) -> None:
    key = new_key()
    rows.store(database, [rows.key_row(key, "admin", revoked_at=datetime.now(UTC))])
    with api.http(key) as http:
        assert http.get("/v1/account").status_code == 401


def test_a_flood_of_wrong_keys_is_slowed_down_and_leaves_few_audit_rows(api: RunningApi, database: str) -> None:
    with api.http("ats_" + "y" * 40) as http:
        answers = [http.get("/v1/account").status_code for _ in range(40)]
    assert answers[0] == 401
    assert answers[-1] == 429
    events = read(database, select(SystemEvent).where(SystemEvent.kind == "request_refused"))
    assert 1 <= len(events) <= 4
    with api.client() as client:
        assert client.account().open_positions == 0  # a good key from the same host is not locked out


def test_a_key_that_asks_too_often_is_told_to_wait(
    scratch: Path, database: str, temporal_server: EmbeddedTemporal
) -> None:
    settings = api_settings(scratch, database, temporal_server.address)
    services = Services(settings, Database(database, pool_size=2))
    services.requests = Buckets(per_second=0.01, burst=5)
    with running_api(settings, services) as api, api.http() as http:
        answers = [http.get("/v1/instruments") for _ in range(6)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["type"] == "/problems/too-many-requests"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_the_installations_key_is_stored_as_a_hash_with_its_use(api: RunningApi, database: str) -> None:
    with api.client() as client:
        client.account()
    [row] = read(database, select(ApiKey))
    assert isinstance(row, ApiKey)
    assert (row.key_id, row.role) == (api.key[:12], "admin")
    assert row.last_used_at is not None
    assert api.key not in row.hash
    assert matches(api.key, row.hash)


def test_a_hash_matches_its_own_key_only() -> None:
    key = new_key()
    hashed = hash_key(key)
    assert matches(key, hashed)
    assert not matches(key + "x", hashed)
    assert not matches(key, None)
    assert not matches(key, "not a hash")
