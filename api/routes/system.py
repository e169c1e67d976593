"""Health, readiness and status. Health and readiness need no key: a supervisor asks them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import readiness
from api.authentication import Viewer
from api.services import ServicesDep
from db import reading
from domain.views import HealthView, ReadinessView, StatusView

router = APIRouter(prefix="/system", tags=["system"])


@router.get("/health")
async def health() -> HealthView:
    """The process is alive. Says nothing of what it depends on."""
    return HealthView()


@router.get("/ready", responses={503: {"model": ReadinessView}})
async def ready(services: ServicesDep, response: Response) -> ReadinessView:
    """Whether a trade could be made now; 503 with the same document when not."""
    parts = await readiness.components(services)
    everything = all(part.ok for part in parts)
    if not everything:
        response.status_code = 503
    return ReadinessView(ready=everything, components=parts)


@router.get("/status")
async def status(services: ServicesDep, _caller: Viewer) -> StatusView:
    """What runs, how fresh every stream is, and how the processes stand with the exchange."""
    parts = await readiness.components(services)
    async with services.database.session() as session:
        streams = await readiness.streams(session)
        links, rates = await readiness.links(session)
        positions = await reading.count_open_positions(session)
    settings = services.settings
    return StatusView(
        ready=all(part.ok for part in parts),
        mode=settings.exchange.mode,
        links=links,
        rates=rates,
        components=parts,
        streams=streams,
        workers=await readiness.workers(services),
        open_positions=positions,
        temporal_ui=f"http://127.0.0.1:{settings.temporal.ui_port}" if settings.embedded_temporal else None,
    )
