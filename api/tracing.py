"""One trace a request: continued from the caller's ``traceparent``, told in ``Trace-Id``, kept by what it starts."""

from __future__ import annotations

import time

import structlog
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import internal_error
from observability.tracing import current_trace_id, get_tracer

TRACE_HEADER = "Trace-Id"
_tracer = get_tracer(__name__)
_log = structlog.get_logger("api.request")


class TraceRequests:
    """ASGI middleware: a span around every request, its id in the answer, one log line at the end.

    It also answers for defects: an exception nobody handled becomes a 500 that carries the trace id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parent = propagate.extract(dict(Headers(scope=scope)))
        name = f"{scope['method']} {scope['path']}"
        with _tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER) as span:
            answer = _Answer(send)
            try:
                await self.app(scope, receive, answer.send)
            except Exception as error:
                _log.exception("request failed", method=scope["method"], path=scope["path"])
                span.record_exception(error)
                if answer.status is not None:
                    raise
                await internal_error(scope["path"])(scope, receive, answer.send)
            finally:
                answer.log(scope, span)


class _Answer:
    """The sending side of one request: adds the trace header and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = time.perf_counter()
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            MutableHeaders(scope=message)[TRACE_HEADER] = current_trace_id()
        await self._send(message)

    def log(self, scope: Scope, span: trace.Span) -> None:
        status = self.status or 499
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        write = _log.debug if scope["method"] == "GET" and status < 400 else _log.info
        elapsed = round((time.perf_counter() - self._started) * 1000, 1)
        write("request", method=scope["method"], path=scope["path"], status=status, ms=elapsed)
