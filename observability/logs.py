"""Structured logs: one JSON line an event, in ``<log_dir>/<service>.log`` and on stdout.

Every line carries the trace and span id of the current OpenTelemetry span ("" without one) and the ids bound around
it, so that one order can be followed through API, workflow, activity and exchange. Importing this module does
nothing: a process calls ``configure_logging`` once, and loggers made before that follow it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import orjson
import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor

from config.settings import Settings
from observability.rotation import SharedRotatingFileHandler

_OURS = "ats_handler"
_TOO_CHATTY = ("urllib3", "httpx", "httpcore", "websocket", "pybit", "asyncio", "websockets")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger named ``name`` (use ``__name__``): ``log.info("order placed", order_link_id=...)``."""
    return structlog.get_logger(name)


@contextmanager
def bind(**ids: str) -> Iterator[None]:
    """Add ``ids`` (workflow_id, order_link_id, position_id, ...) to every line logged inside the block.

    The binding follows the current task into whatever it awaits or starts, and ends with the block.
    """
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def configure_logging(service: str, settings: Settings) -> None:
    """Send every log line of this process, standard library loggers included, to its file and to stdout.

    ``service`` names the file and is a field of every line. Calling it again replaces the handlers. Raises OSError when
    ``settings.log_dir`` can't be written and ValueError for an unknown ``settings.log_level``.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
        _process_of(service),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _drop_formatted_text],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
    )
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    _replace_handlers(
        settings.log_level.upper(),
        [SharedRotatingFileHandler(settings.log_dir / f"{service}.log"), logging.StreamHandler(sys.stdout)],
        formatter,
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _drop_when_replaying,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _replace_handlers(level: str, handlers: list[logging.Handler], formatter: logging.Formatter) -> None:
    root = logging.getLogger()
    root.setLevel(level)
    # A log record asks multiprocessing for the process's name, which Temporal's workflow sandbox forbids with a warning
    # that is itself a log record, and so on. We have the pid.
    logging.logMultiprocessing = False
    for old in list(root.handlers):
        if getattr(old, _OURS, False):
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        setattr(handler, _OURS, True)
        handler.setFormatter(formatter)
        root.addHandler(handler)
    for name in _TOO_CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # A span that a cancelled task leaves open is detached in the context of whoever collects it: an error with a
    # traceback for what is an ordinary end.
    logging.getLogger("opentelemetry.context").setLevel(logging.CRITICAL)


def _trace_ids(_logger: Any, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    event["trace_id"] = trace.format_trace_id(context.trace_id) if context.is_valid else ""
    event["span_id"] = trace.format_span_id(context.span_id) if context.is_valid else ""
    return event


def _process_of(service: str) -> Processor:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["pid"] = os.getpid()
        return event

    return add


def _drop_formatted_text(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """``message`` is what the handler before us made of the record: the event again."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def _drop_when_replaying(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A workflow runs its code again on replay; what it logged then is already in the log."""
    workflow = sys.modules.get("temporalio.workflow")
    if workflow is not None and workflow.in_workflow() and workflow.unsafe.is_replaying():
        raise structlog.DropEvent
    return event


def _to_json(event: EventDict, **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # an integer over 64 bits, a lone surrogate: a log line must never be lost to its own shape
        return json.dumps(event, default=_plain, skipkeys=True)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, (Decimal, os.PathLike)) else repr(value)
