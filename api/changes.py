"""Changes of configuration that are not made: told as problems and kept in the audit log, with who, what and why."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from api.keys import Caller
from api.problems import ApiError
from api.services import Services
from db.repositories.audit import record_event
from domain.faults import BadValue
from domain.views import FieldFault

_MOST_ASKED = 1_000


def moved(kind: str, rule: str) -> ApiError:
    """409: it was changed since the version the caller decided on. ``rule`` names the current one."""
    fault = FieldFault(field="expected_version", rule=rule)
    return ApiError(409, f"{kind}-moved", f"{kind.capitalize()} moved", rule, [fault])


def bad_value(error: BadValue) -> ApiError:
    """422 naming field and rule."""
    fault = FieldFault(field=error.field, rule=error.rule)
    return ApiError(422, "invalid-request", "Invalid request", str(error), [fault])


async def audit_refusal(
    services: Services,
    caller: Caller,
    kind: str,
    subject: str,
    error: ApiError,
    asked: Mapping[str, Any],
    reason: str,
    seen_version: int | None,
) -> None:
    """Write a refused change down, in a transaction of its own; limited, so that a flood can't fill the log."""
    if services.audited_requests.wait(caller.key_id, time.monotonic()) > 0:
        return
    detail = {
        "code": error.code,
        "fields": [{"field": _storable(fault.field), "rule": _storable(fault.rule)} for fault in error.fields],
        "asked": json.dumps(to_jsonable_python(asked))[:_MOST_ASKED],
        "reason": reason,
        "seen_version": seen_version,
    }
    async with services.database.session() as session:
        record_event(session, kind, subject, who=caller.who, severity="warning", detail=detail)


def _storable(text: str) -> str:
    """What was sent may hold what PostgreSQL can't."""
    return text.replace("\x00", "\ufffd")
