"""Errors of the API: one exception, answered as ``application/problem+json`` (RFC 9457) with a stable type."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from db.repositories.audit import record_event
from domain.views import FieldFault, Problem
from observability.tracing import current_trace_id

if TYPE_CHECKING:
    from api.services import Services

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"

_log = structlog.get_logger("api")

_HTTP_CODES = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large", 415: "unsupported-media-type"}


class ApiError(Exception):
    """An answer that is an error. ``code`` becomes the type ``/problems/<code>``; ``fields`` name what to mend."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        fields: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.fields = list(fields)
        self.headers = dict(headers or {})


def not_found(kind: str, identifier: str) -> ApiError:
    return ApiError(404, f"unknown-{kind}", f"Unknown {kind}", f"there is no {kind} {identifier}")


def unavailable(code: str, detail: str) -> ApiError:
    """A part the answer needs does not answer now; asking again later may succeed."""
    return ApiError(503, code, "Service unavailable", detail, headers={"Retry-After": "2"})


def problem_document(error: ApiError, path: str) -> Problem:
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=path,
        trace_id=current_trace_id(),
        fields=error.fields,
    )


def respond(error: ApiError, path: str) -> Response:
    body = problem_document(error, path).model_dump_json()
    return Response(body, error.status, error.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document, also those the framework raises."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    for kind in (DBAPIError, PoolTimeout, ConnectionError, TimeoutError):
        app.add_exception_handler(kind, _on_database_error)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return respond(error, request.url.path)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [FieldFault(field=_field_name(fault), rule=_rule(fault)) for fault in error.errors()]
    named = "; ".join(f"{fault.field}: {fault.rule}" for fault in faults)
    await _audit(request, faults)
    return respond(ApiError(422, "invalid-request", "Invalid request", named, faults), request.url.path)


async def _audit(request: Request, faults: list[FieldFault]) -> None:
    """One audit row for a request that made no sense; limited, so that a flood can't fill the log."""
    services: Services = request.app.state.services
    source = request.client.host if request.client else "unknown"
    if services.audited_requests.wait(source, time.monotonic()) > 0:
        return
    detail = {"method": request.method, "fields": [fault.model_dump() for fault in faults]}
    try:
        async with services.database.session() as session:
            record_event(
                session, "request_invalid", request.url.path, who=f"host:{source}", severity="warning", detail=detail
            )
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        _log.warning("refused request not audited", error=str(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, f"http-{error.status_code}")
    title = str(error.detail)
    detail = f"{request.method} {request.url.path}: {title}"
    return respond(ApiError(error.status_code, code, title, detail, headers=error.headers), request.url.path)


async def _on_database_error(request: Request, error: Exception) -> Response:
    if not database_is_down(error):
        raise error
    _log.warning("database unreachable", path=request.url.path, error=type(error).__name__)
    return respond(unavailable("database-unreachable", "the database does not answer"), request.url.path)


def database_is_down(error: BaseException) -> bool:
    """Whether ``error`` says the database can't be reached now (rather than that a statement is wrong)."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, OperationalError)
    return isinstance(error, (PoolTimeout, ConnectionError, TimeoutError))


def internal_error(path: str) -> Response:
    """What a defect of ours looks like from outside: its trace id, and nothing of its inside."""
    detail = "the request failed inside; its trace id finds it in the logs"
    return respond(ApiError(500, "internal-error", "Internal error", detail), path)


def _field_name(fault: Mapping[str, Any]) -> str:
    """The field at fault; ``(body)`` for a rule about the whole of it, or for a body that is no JSON."""
    place, *inner = [str(part) for part in fault["loc"]] or ["body"]
    if not inner or fault["type"] == "json_invalid":  # whose location is a character's place
        return f"({place})"
    return ".".join(inner)


def _rule(fault: Mapping[str, object]) -> str:
    return str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
