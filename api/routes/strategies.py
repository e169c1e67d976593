"""Strategies: how each is configured and how it does; its gates, its numbers, and every version they had."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic_core import to_jsonable_python
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import Admin, Operator, Viewer
from api.changes import audit_refusal, bad_value, moved
from api.keys import Caller
from api.paging import Limit, cut
from api.presenting_decisions import strategy_version_view, strategy_view
from api.problems import not_found
from api.services import Services, ServicesDep
from db.deciding import StrategyFigures, strategy_figures
from db.models import StrategyConfiguration
from db.repositories.audit import record_event
from db.repositories.strategies import ConfigMoved, change_config, config_history, find_config
from domain.config_change import changed_config
from domain.decision_views import GateRequest, StrategyChange, StrategyVersionView, StrategyView
from domain.faults import BadValue
from domain.strategy_config import StrategyConfig
from domain.views import Instant, Page

router = APIRouter(prefix="/strategies", tags=["strategies"])

_CHANGEABLE = StrategyChange.model_fields.keys() - {"reason", "expected_version"}

StrategyName = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,40}$")]


@router.get("")
async def list_strategies(services: ServicesDep, _caller: Viewer) -> list[StrategyView]:
    """Every strategy, by name."""
    async with services.database.session() as session:
        rows = await session.scalars(select(StrategyConfiguration).order_by(StrategyConfiguration.strategy))
        figures = await strategy_figures(session)
    return [strategy_view(row, figures.get(row.strategy, StrategyFigures())) for row in rows]


@router.get("/{name}")
async def show_strategy(services: ServicesDep, _caller: Viewer, name: StrategyName) -> StrategyView:
    async with services.database.session() as session:
        return await _view(session, name)


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


@router.post("/{name}/gates")
async def switch_gate(
    services: ServicesDep, caller: Operator, name: StrategyName, request: GateRequest
) -> StrategyView:
    """Switch one gate. 409 when the configuration moved since ``expected_version``."""
    changes = {f"{request.gate}_gate": request.on}
    return await _change(services, caller, name, request.expected_version, changes, request.reason)


@router.patch("/{name}")
async def change_strategy(
    services: ServicesDep, caller: Admin, name: StrategyName, request: StrategyChange
) -> StrategyView:
    """Give a strategy new numbers. 409 when it moved since ``expected_version``; 422 names field and rule."""
    given = {field: value for field in _CHANGEABLE if (value := getattr(request, field)) is not None}
    return await _change(services, caller, name, request.expected_version, given, request.reason)


async def _change(
    services: Services, caller: Caller, name: str, seen: int | None, changes: dict[str, Any], reason: str
) -> StrategyView:
    """Make the change, or refuse it; either leaves an audit event. What changes nothing makes no version."""
    try:
        async with services.database.session(actor=caller.who, reason=reason) as session:
            before = await find_config(session, name, lock=True)
            if before is None:
                raise not_found("strategy", name)
            if seen is not None and seen != before.version:
                raise ConfigMoved(name, seen, before.version)
            await _apply(session, caller, before, changes, reason)
            return await _view(session, name)
    except ConfigMoved as error:
        refusal = moved("strategy", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    await audit_refusal(services, caller, "strategy_change_refused", name, refusal, changes, reason, seen)
    raise refusal


async def _apply(
    session: AsyncSession, caller: Caller, before: StrategyConfig, changes: dict[str, Any], reason: str
) -> None:
    if not changes:
        raise BadValue("(body)", "names no new value")
    wanted = changed_config(before, changes)
    new = {field: getattr(wanted, field) for field in changes if getattr(wanted, field) != getattr(before, field)}
    if not new:
        return
    after = await change_config(session, before.strategy, before.version, **new)
    old = {field: getattr(before, field) for field in new}
    versions = [before.version, after.version]
    detail = to_jsonable_python({"from": old, "to": new, "reason": reason, "versions": versions})
    record_event(session, "strategy_changed", before.strategy, who=caller.who, severity=_severity(new), detail=detail)


def _severity(new: dict[str, Any]) -> str:
    """A closed sell gate leaves open positions to their guards and stops: worth a look."""
    return "warning" if new.get("sell_gate") is False else "info"


async def _view(session: AsyncSession, name: str) -> StrategyView:
    row = await session.get(StrategyConfiguration, name, populate_existing=True)
    if row is None:
        raise not_found("strategy", name)
    figures = await strategy_figures(session)
    return strategy_view(row, figures.get(name, StrategyFigures()))
