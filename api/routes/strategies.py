"""Strategies: how each is configured and how it does; its gates, its numbers, and every version they had."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import Admin, Operator, Viewer
from api.changes import audit_refusal, bad_value
from api.paging import Limit, cut
from api.presenting_strategies import diff_view, parameters_view, strategy_version_view, strategy_view
from api.problems import not_found
from api.services import ServicesDep
from api.strategy_changes import Change, change_all, change_one, given, view_of
from db.deciding import StrategyFigures, strategy_figures
from db.models import StrategyConfiguration
from db.repositories.strategies import ConfigVersion, config_history, find_config
from domain.faults import BadValue
from domain.stage import gates_of
from domain.strategies import UnknownStrategy
from domain.strategy_views import (
    BulkRequest,
    GateRequest,
    ParametersView,
    StageRequest,
    StrategyChange,
    StrategyDiffView,
    StrategyVersionView,
    StrategyView,
)
from domain.views import Instant, Page

router = APIRouter(prefix="/strategies", tags=["strategies"])

StrategyName = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("")
async def list_strategies(services: ServicesDep, _caller: Viewer) -> list[StrategyView]:
    """Every strategy, by name."""
    async with services.database.session() as session:
        rows = await session.scalars(select(StrategyConfiguration).order_by(StrategyConfiguration.strategy))
        figures = await strategy_figures(session)
    return [strategy_view(row, figures.get(row.strategy, StrategyFigures())) for row in rows]


@router.post("/bulk")
async def change_strategies(services: ServicesDep, caller: Admin, request: BulkRequest) -> list[StrategyView]:
    """Change several strategies for one reason, all or none. 409 names the one that moved since ``seen_version``."""
    return await change_all(services, caller, request)


@router.get("/{name}")
async def show_strategy(services: ServicesDep, _caller: Viewer, name: StrategyName) -> StrategyView:
    async with services.database.session() as session:
        return await view_of(session, name)


@router.get("/{name}/parameters")
async def show_parameters(services: ServicesDep, _caller: Viewer, name: StrategyName) -> ParametersView:
    """What can be set: every parameter with its value, default and bounds, and the same as a JSON schema."""
    async with services.database.session() as session:
        config = await find_config(session, name)
    if config is None:
        raise not_found("strategy", name)
    try:
        return parameters_view(config)
    except UnknownStrategy:
        raise not_found("strategy", name) from None


@router.get("/{name}/history")
async def show_history(
    services: ServicesDep,
    _caller: Viewer,
    name: StrategyName,
    as_of: Annotated[Instant | None, Query(description="only the version in force at this wall time")] = None,
    limit: Limit = 50,
    cursor: Annotated[int | None, Query(ge=1)] = None,
) -> Page[StrategyVersionView]:
    """Every version of the configuration, newest first."""
    async with services.database.session() as session:
        if await find_config(session, name) is None and not await config_history(session, name, limit=1):
            raise not_found("strategy", name)
        versions = await config_history(session, name, as_of, before=cursor, limit=limit + 1)
    return cut(versions, limit, strategy_version_view, lambda version: str(version.id))


@router.get("/{name}/diff")
async def show_difference(
    services: ServicesDep,
    _caller: Viewer,
    name: StrategyName,
    from_version: Annotated[Version, Query(alias="from", description="unless named: the one before the other")] = None,
    to_version: Annotated[Version, Query(alias="to", description="unless named: the newest")] = None,
) -> StrategyDiffView:
    """What differs between two versions, and who made each change between them, why and when."""
    async with services.database.session() as session:
        later = await _version(session, name, to_version)
        named = from_version is not None
        earlier = await _version(session, name, from_version) if named else await _before(session, later)
        first, last = sorted((earlier.id, later.id))
        between = await config_history(session, name, after=first, before=last + 1)
    return diff_view(earlier, later, between[::-1])


@router.post("/{name}/gates")
async def switch_gate(
    services: ServicesDep, caller: Operator, name: StrategyName, request: GateRequest
) -> StrategyView:
    """Switch one gate. 409 when the configuration moved since ``expected_version``."""
    change = Change(name, request.expected_version, {f"{request.gate}_gate": request.on})
    return await change_one(services, caller, change, request.reason)


@router.post("/{name}/stage")
async def set_stage(services: ServicesDep, caller: Operator, name: StrategyName, request: StageRequest) -> StrategyView:
    """Set all three gates by the stage they make. 409 as for a gate; 422 for a stage that gates alone don't make."""
    try:
        gates = gates_of(request.stage).model_dump()
    except BadValue as error:
        refusal, seen = bad_value(error), request.expected_version
        asked = {"stage": request.stage}
        await audit_refusal(services, caller, "strategy_change_refused", name, refusal, asked, request.reason, seen)
        raise refusal from None
    return await change_one(services, caller, Change(name, request.expected_version, gates), request.reason)


@router.patch("/{name}")
async def change_strategy(
    services: ServicesDep, caller: Admin, name: StrategyName, request: StrategyChange
) -> StrategyView:
    """Give a strategy new numbers. 409 when it moved since ``expected_version``; 422 names field and rule."""
    change = Change(name, request.expected_version, given(request))
    return await change_one(services, caller, change, request.reason)


async def _version(session: AsyncSession, name: str, version: int | None) -> ConfigVersion:
    """The version of that number, the newest for None. Raises ApiError 404."""
    found = await config_history(session, name, version=version, limit=1)
    if found:
        return found[0]
    if version is None or not await config_history(session, name, limit=1):
        raise not_found("strategy", name)
    raise not_found("version", f"{version} of {name}")


async def _before(session: AsyncSession, later: ConfigVersion) -> ConfigVersion:
    """The version before ``later``; the first has none, and differs from itself in nothing."""
    found = await config_history(session, later.strategy, before=later.id, limit=1)
    return found[0] if found else later
