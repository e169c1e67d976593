"""Commands on the whole system: halt entries, and let them go on."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import Operator, Viewer
from api.keys import Caller
from api.presenting_decisions import halt_view
from api.services import Services, ServicesDep
from db.repositories.book import lock_reservations
from db.repositories.settings import set_halted, setting_history
from domain.decision_views import HaltRequest, HaltView
from domain.system_settings import TRADING_HALTED

router = APIRouter(prefix="/system", tags=["system"])


@router.get("/halt")
async def show_halt(services: ServicesDep, _caller: Viewer) -> HaltView:
    """Whether entries are halted, since when, by whom and why."""
    async with services.database.session() as session:
        return await _halt(session)


@router.post("/halt")
async def halt(services: ServicesDep, caller: Operator, request: HaltRequest) -> HaltView:
    """No entries from now on; exits and stops go on. Asked again it changes nothing."""
    return await _set_halted(services, caller, True, request.reason)


@router.post("/resume")
async def resume(services: ServicesDep, caller: Operator, request: HaltRequest) -> HaltView:
    """Entries may be made again. Asked again it changes nothing."""
    return await _set_halted(services, caller, False, request.reason)


async def _set_halted(services: Services, caller: Caller, halted: bool, reason: str) -> HaltView:
    async with services.database.session(actor=caller.who, reason=reason) as session:
        await lock_reservations(session)  # one under way is over before the halt, or sees it
        await set_halted(session, halted, who=caller.who, reason=reason)
        return await _halt(session)


async def _halt(session: AsyncSession) -> HaltView:
    [newest] = await setting_history(session, TRADING_HALTED, limit=1)
    return halt_view(newest)
