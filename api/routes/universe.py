"""The universe: which of the symbols listed are traded, and why the others are not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.authentication import Viewer
from api.paging import SymbolFilter
from api.services import ServicesDep
from db.repositories.universe import standings
from domain.market import Category
from domain.universe_views import UniverseView

router = APIRouter(prefix="/universe", tags=["market"])


@router.get("")
async def show_universe(
    services: ServicesDep,
    _caller: Viewer,
    category: Annotated[Category | None, Query()] = None,
    symbol: SymbolFilter = None,
    member: Annotated[bool | None, Query(description="only members, or only those left out")] = None,
) -> list[UniverseView]:
    """Every listed symbol as of the last choice: members first, by category and place. Market times."""
    async with services.database.session() as session:
        rows = await standings(session, category=category, symbol=symbol, member=member)
    return [UniverseView.model_validate(row, from_attributes=True) for row in rows]
