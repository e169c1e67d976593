"""Audit rows that a workflow asks for."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from db.repositories.audit import record_event
from db.session import Database


class AuditActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def page_operator(self, kind: str, subject: str, detail: dict[str, Any], who: str = "position") -> None:
        """An event somebody must see."""
        async with self._database.session() as session:
            record_event(session, kind, subject, who=who, severity="page", detail=detail)

    @activity.defn
    async def record_refusal(self, workflow_type: str, workflow_id: str, errors: list[dict[str, str]]) -> None:
        """The audit row of a workflow started with input that makes no sense."""
        async with self._database.session() as session:
            record_event(
                session,
                "workflow_refused",
                workflow_id,
                who="temporal",
                severity="warning",
                detail={"workflow": workflow_type, "errors": errors},
            )
