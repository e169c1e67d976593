"""The signed part of Bybit's v5 REST: orders, executions, positions, account, assets, user.

Handlers answer the ``result``; signing and the envelope are around them, limits and the wait for the disk in ``calls``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from exchange.paper.account_rest import ACCOUNT_ENDPOINTS
from exchange.paper.asked import Handler
from exchange.paper.asset_rest import ASSET_ENDPOINTS
from exchange.paper.auth import Keyring
from exchange.paper.calls import Calls, Reply
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.order_rest import ORDER_ENDPOINTS
from exchange.paper.wall import WallClock

ENDPOINTS: Mapping[tuple[str, str], Handler] = {**ORDER_ENDPOINTS, **ACCOUNT_ENDPOINTS, **ASSET_ENDPOINTS}


def private_routes(calls: Calls, keyring: Keyring, wall: WallClock) -> list[Route]:
    """All signed endpoints, and the one about the system, which needs no signature."""
    signed = [
        Route(f"/v5/{path}", _endpoint(calls, keyring, wall, method, path), methods=[method])
        for method, path in calls.endpoints
    ]
    return [*signed, Route("/v5/system/status", _status(wall), methods=["GET"])]


def _envelope(reply: Reply, wall: WallClock) -> Response:
    """Bybit's answer: HTTP 200 whatever the code, ``time`` in wall milliseconds."""
    now_ms = wall.now_ms()
    body = {
        "retCode": reply.code,
        "retMsg": reply.message,
        "result": reply.result,
        "retExtInfo": reply.ext_info,
        "time": now_ms,
    }
    headers = None if reply.visit is None else reply.visit.headers(now_ms)
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)


def _status(wall: WallClock) -> Callable[[Request], Awaitable[Response]]:
    """``system/status``: maintenance announced for this exchange, which has none."""

    async def serve(request: Request) -> Response:
        return _envelope(Reply(result={"list": []}), wall)

    return serve


def _endpoint(
    calls: Calls, keyring: Keyring, wall: WallClock, method: str, path: str
) -> Callable[[Request], Awaitable[Response]]:
    writes = method == "POST"

    async def serve(request: Request) -> Response:
        received = time.time_ns() / 1e6
        try:
            payload = await request.body() if writes else request.scope["query_string"]
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            key = keyring.check_request(request.headers, payload, wall.now_ms(), writes=writes)
            fields = _body(payload) if writes else dict(request.query_params)
        except Refusal as refusal:
            return _envelope(Reply.of(refusal), wall)
        return _envelope(await calls.call(method, path, fields, key, received), wall)

    return serve


def _body(payload: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(payload or b"{}")
    except orjson.JSONDecodeError:
        raise params_error("the body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise params_error("the body is not a JSON object")
    return parsed
