"""Who may ask: a key in ``Authorization: Bearer`` or ``X-API-Key``, its role, and how often."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from api.keys import Caller, Role
from api.problems import ApiError, unavailable
from api.services import Services, ServicesDep
from db.repositories.audit import record_event

_log = structlog.get_logger(__name__)
_bearer = HTTPBearer(auto_error=False, description="An API key")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key")


async def _authenticated(
    request: Request,
    services: ServicesDep,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Caller:
    """The caller behind the key. Raises ApiError 401 without a good key and 429 for one that asks too often."""
    key = bearer.credentials if bearer else header
    if not key:
        await _refuse(request, services, request.client.host if request.client else "unknown", "key-missing", None)
        detail = "send an API key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
        raise ApiError(401, "key-missing", "API key missing", detail, headers={"WWW-Authenticate": "Bearer"})
    host = request.client.host if request.client else "unknown"
    could_judge = services.keys.ready
    caller = await services.keys.caller(key)
    if caller is None and not could_judge:
        raise unavailable("starting", "the API has just started and can't tell keys apart yet; ask again")
    if caller is None:
        await _refuse(request, services, host, "key-refused", None)
        _too_often(services.failures.wait(host, time.monotonic()))
        raise ApiError(
            401,
            "key-refused",
            "API key refused",
            "this API key is not known here, or was revoked",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )
    _too_often(services.requests.wait(caller.key_id, time.monotonic()))
    return caller


def _allowed(role: Role) -> Callable[..., Awaitable[Caller]]:
    async def check(
        request: Request, services: ServicesDep, caller: Annotated[Caller, Depends(_authenticated)]
    ) -> Caller:
        if caller.role.may(role):
            return caller
        await _refuse(request, services, caller.key_id, "role-refused", caller)
        detail = f"this needs the role {role}, and the key '{caller.name}' is a {caller.role}"
        raise ApiError(403, "role-refused", "Not allowed", detail)

    return check


Viewer = Annotated[Caller, Depends(_allowed(Role.VIEWER))]
Operator = Annotated[Caller, Depends(_allowed(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(_allowed(Role.ADMIN))]


def _too_often(seconds: float) -> None:
    if seconds > 0:
        headers = {"Retry-After": str(max(1, round(seconds)))}
        raise ApiError(429, "too-many-requests", "Too many requests", f"wait {seconds:.1f} s", headers=headers)


async def _refuse(request: Request, services: Services, source: str, code: str, caller: Caller | None) -> None:
    """Write the refused attempt down, a few a minute from each source: a flood must not fill the audit log."""
    if services.audited_failures.wait(f"{code} {source}", time.monotonic()) > 0:
        return
    who = caller.who if caller else f"host:{source}"
    _log.warning("request refused", code=code, source=source, path=request.url.path)
    detail = {"code": code, "method": request.method, "path": request.url.path}
    async with services.database.session() as session:
        record_event(session, "request_refused", request.url.path, who=who, severity="warning", detail=detail)
