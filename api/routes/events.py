"""The audit log: pages of it, and the live stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.authentication import Viewer
from api.paging import Limit, cut
from api.presenting import event_view
from api.services import Services, ServicesDep
from db import reading
from domain.views import EventView, Page

router = APIRouter(tags=["events"])

POLL_SECONDS = 0.5
_BATCH = 200


@router.get("/events")
async def list_events(
    services: ServicesDep,
    _caller: Viewer,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    cursor: Annotated[int | None, Query(ge=1)] = None,
) -> Page[EventView]:
    """Audit rows, newest first."""
    async with services.database.session() as session:
        rows = await reading.list_events(session, kind=kind, subject=subject, before=cursor, limit=limit + 1)
    return cut(rows, limit, event_view, lambda row: str(row.id))


@router.get("/events/stream", response_class=EventSourceResponse)
async def stream_events(
    services: ServicesDep,
    _caller: Viewer,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Audit rows as they are written, from the one after ``Last-Event-ID`` (without it: from now)."""
    seen = last_event_id if last_event_id is not None else await _newest(services)
    yield ServerSentEvent(comment="listening", retry=2000)
    while not services.closing.is_set():
        async with services.database.session() as session:
            rows = await reading.events_after(session, seen, _BATCH)
        for row in rows:
            seen = row.id
            yield ServerSentEvent(data=event_view(row), event=row.kind, id=str(row.id))
        if len(rows) < _BATCH:
            await _pause(services)


async def _newest(services: Services) -> int:
    async with services.database.session() as session:
        return await reading.newest_event_id(session)


async def _pause(services: Services) -> None:
    """Until the next look, or until the process closes: a shutdown must not wait for its listeners."""
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await services.closing.wait()
    except TimeoutError:
        return
