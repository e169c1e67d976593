"""Routes that only programs on this machine may call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LOOPBACK = frozenset({"127.0.0.1", "::1"})

Handler = Callable[[Request], Awaitable[Response]]


def loopback_only(handler: Handler) -> Handler:
    """Refuse callers from other machines with 403."""

    async def guarded(request: Request) -> Response:
        if request.client is None or request.client.host not in LOOPBACK:
            return JSONResponse({"error": "only from this machine"}, status_code=403)
        return await handler(request)

    return guarded
