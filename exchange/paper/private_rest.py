"""The signed part of Bybit's v5 REST: orders, executions, positions, account, user.

Handlers answer the ``result``; signing, the envelope, refusals and the wait for the disk are around them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from exchange.paper.account_rest import ACCOUNT_ENDPOINTS
from exchange.paper.asked import Asked, Handler, Result
from exchange.paper.auth import Keyring
from exchange.paper.core.refusal import Refusal, params_error
from exchange.paper.order_rest import ORDER_ENDPOINTS
from exchange.paper.params import Params
from exchange.paper.venue import Venue

log = logging.getLogger(__name__)


def private_routes(venue: Venue, keyring: Keyring) -> list[Route]:
    """All signed endpoints."""
    endpoints: Mapping[tuple[str, str], Handler] = {**ORDER_ENDPOINTS, **ACCOUNT_ENDPOINTS}
    return [
        Route(f"/v5/{path}", _endpoint(venue, keyring, handler, writes=method == "POST"), methods=[method])
        for (method, path), handler in endpoints.items()
    ]


def envelope(result: Result, code: int = 0, message: str = "OK") -> Response:
    """Bybit's answer: HTTP 200 whatever the code, ``time`` in wall milliseconds."""
    body = {
        "retCode": code,
        "retMsg": message,
        "result": result,
        "retExtInfo": {},
        "time": time.time_ns() // 1_000_000,
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _endpoint(
    venue: Venue, keyring: Keyring, handler: Handler, *, writes: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        received = time.time_ns() / 1e6
        try:
            payload = await request.body() if writes else request.scope["query_string"]
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            key = keyring.check_request(request.headers, payload, int(received), writes=writes)
            fields = _body(payload) if writes else request.query_params
            asked = Asked(venue, Params(fields), key, received)
            if not writes:
                await venue.journal.settled()
            result = await handler(asked)
            if not writes:
                await venue.journal.settled()  # what memory told may be ahead of the disk
            return envelope(result)
        except Refusal as refusal:
            return envelope({}, refusal.code, refusal.message)
        except Exception:
            log.exception("%s failed", request.url.path)
            return envelope({}, 10016, "Server error.")

    return serve


def _body(payload: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(payload or b"{}")
    except orjson.JSONDecodeError:
        raise params_error("the body is not valid JSON") from None
    if not isinstance(parsed, dict):
        raise params_error("the body is not a JSON object")
    return parsed
