"""The one Temporal plugin that client, workers, tests and replayer all take: converter, sandbox, interceptors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import OpenTelemetryInterceptor
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.audit import AuditActivities
from activities.failures import BAD_INPUT
from observability.tracing import configure_tracing
from workflows.inputs import InvalidInput, WorkflowInput, parse_input
from workflows.options import BOOKS

_PASSED_THROUGH = (
    "activities",
    "asyncpg",
    "config",
    "db",
    "domain",
    "exchange",
    "numba",
    "numpy",
    "observability",
    "opentelemetry",
    "orjson",
    "pybit",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "requests",
    "sqlalchemy",
    "structlog",
    "temporalio",
    "workflows.inputs",
)


class AtsPayloadConverter(PydanticPayloadConverter):
    """Pydantic JSON; a workflow input that doesn't validate becomes an ``InvalidInput`` for the interceptor.

    Without it a malformed input would fail the workflow's *task*, which Temporal repeats for ever.
    """

    def from_payloads(self, payloads: Any, type_hints: list[type] | None = None) -> list[Any]:
        if type_hints and len(type_hints) == len(payloads) == 1 and _is_input(type_hints[0]):
            return [_decode_input(payloads[0], type_hints[0])]
        return super().from_payloads(payloads, type_hints)


def _is_input(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, WorkflowInput)


def _decode_input(payload: Payload, hint: type[WorkflowInput]) -> WorkflowInput | InvalidInput:
    try:
        value = json.loads(payload.data)
    except ValueError as error:
        return InvalidInput([{"field": "(input)", "rule": f"not JSON: {error}"}])
    return parse_input(hint, value)


class _RefusingInbound(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        errors = _errors(input.args)
        if not errors:
            return await super().execute_workflow(input)
        info = workflow.info()
        await workflow.execute_activity_method(
            AuditActivities.record_refusal, args=[info.workflow_type, info.workflow_id, errors], **BOOKS
        )
        message = "; ".join(f"{error['field']}: {error['rule']}" for error in errors)
        raise ApplicationError(message, {"errors": errors}, type=BAD_INPUT, non_retryable=True)


def _errors(args: Sequence[Any]) -> list[dict[str, str]]:
    if len(args) != 1:
        return [{"field": "(input)", "rule": f"give one JSON object, not {len(args)} inputs"}]
    return args[0].errors if isinstance(args[0], InvalidInput) else []


class RefuseInvalidInput(Interceptor):
    """Fails a workflow started with invalid input at once, naming field and rule, after one audit row."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _RefusingInbound


def _runner(runner: WorkflowRunner | None) -> WorkflowRunner:
    base = runner if isinstance(runner, SandboxedWorkflowRunner) else SandboxedWorkflowRunner()
    return dataclasses.replace(base, restrictions=base.restrictions.with_passthrough_modules(*_PASSED_THROUGH))


def ats_data_converter() -> DataConverter:
    return DataConverter(payload_converter_class=AtsPayloadConverter)


def ats_plugin() -> SimplePlugin:
    """A fresh plugin. Gives the process a tracer provider if it has none (the interceptor needs a replay-safe one)."""
    configure_tracing("ats")
    return SimplePlugin(
        "ats",
        data_converter=ats_data_converter(),
        interceptors=[OpenTelemetryInterceptor(add_temporal_spans=True), RefuseInvalidInput()],
        workflow_runner=_runner,
    )
