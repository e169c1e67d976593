"""Traces: OpenTelemetry spans whose ids tie log lines, events and orders together. No exporter is set here."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider, create_tracer_provider


def configure_tracing(service: str) -> None:
    """Give this process a tracer provider named ``service``. The first call wins, later ones change nothing.

    The provider is Temporal's replay-safe one, so that a span opened in a workflow has the same id on replay.
    """
    if isinstance(trace.get_tracer_provider(), ReplaySafeTracerProvider):
        return
    trace.set_tracer_provider(create_tracer_provider(resource=Resource.create({"service.name": service})))


def get_tracer(name: str) -> trace.Tracer:
    """A tracer named ``name`` (use ``__name__``); before ``configure_tracing`` its spans are no-ops."""
    return trace.get_tracer(name)


def current_trace_id() -> str:
    """The current span's trace id, 32 hex digits, or "" outside any span."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
