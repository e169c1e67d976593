"""Every error is a problem document that names what to mend and carries its trace, and nothing of our inside."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import problems
from api.tracing import TraceRequests
from observability.tracing import configure_tracing
from tests.api.running import RunningApi

KEYED = {"Idempotency-Key": "key-of-a-bad-request"}


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({"side": "hold", "symbol": "BTCUSDT", "usd": "10", "reason": "test"}, "side", "'buy' or 'sell'"),
        ({"side": "buy", "symbol": "btc/usdt", "usd": "10", "reason": "test"}, "symbol", "pattern"),
        ({"side": "buy", "symbol": "BTCUSDT", "usd": "-1", "reason": "test"}, "usd", "greater than 0"),
        ({"side": "buy", "symbol": "BTCUSDT", "usd": "NaN", "reason": "test"}, "usd", "finite"),
        ({"side": "buy", "symbol": "BTCUSDT", "reason": "test"}, "(body)", "exactly one of usd and qty"),
        ({"side": "buy", "symbol": "BTCUSDT", "usd": "10"}, "reason", "required"),
        (
            {"side": "buy", "symbol": "BTCUSDT", "usd": "10", "reason": "test", "leverage": 50},
            "leverage",
            "not permitted",
        ),
        (
            {"side": "buy", "symbol": "BTCUSDT", "usd": "10", "reason": "test", "exit_policy": {"stop_loss_pct": "0"}},
            "exit_policy.stop_loss_pct",
            "greater than 0",
        ),
        (
            {"side": "sell", "symbol": "BTCUSDT", "category": "spot", "usd": "10", "reason": "test"},
            "category",
            "long only",
        ),
    ],
)
def test_a_bad_trade_names_the_field_and_the_rule(api: RunningApi, body: dict, field: str, rule: str) -> None:
    with api.http() as http:
        answer = http.post("/v1/trades", json=body, headers=KEYED)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    named = {fault["field"]: fault["rule"] for fault in answer.json()["fields"]}
    assert rule in named[field]


def test_malformed_json_is_a_problem_too(api: RunningApi) -> None:
    headers = {**KEYED, "Content-Type": "application/json"}
    with api.http() as http:
        answer = http.post("/v1/trades", content=b"{not json", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid-request"
    assert [fault["field"] for fault in answer.json()["fields"]] == ["(body)"]


def test_a_trade_without_an_idempotency_key_names_the_header(api: RunningApi) -> None:
    body = {"side": "buy", "symbol": "BTCUSDT", "usd": "10", "reason": "test"}
    with api.http() as http:
        answer = http.post("/v1/trades", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["fields"]] == ["Idempotency-Key"]


def test_a_method_nobody_offers_is_a_405_problem(api: RunningApi) -> None:
    with api.http() as http:
        answer = http.delete("/v1/positions")
    assert answer.status_code == 405
    assert answer.json()["type"] == "/problems/method-not-allowed"


def test_an_error_carries_the_callers_trace(api: RunningApi) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with api.http() as http:
        answer = http.get("/v1/nothing", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.headers["trace-id"] == trace
    assert answer.json()["trace_id"] == trace


def test_a_defect_tells_its_trace_and_nothing_of_the_inside() -> None:
    configure_tracing("test")
    app = FastAPI()
    problems.install(app)
    app.add_middleware(TraceRequests)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret is mauve")

    answer = TestClient(app, raise_server_exceptions=False).get("/broken")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal-error"
    assert len(answer.json()["trace_id"]) == 32
    assert answer.json()["trace_id"] == answer.headers["trace-id"]
    assert "mauve" not in answer.text
