"""System settings: their values, changes of one or of several, every value each had, and what differs since when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.authentication import Admin, Viewer
from api.changes import bad_value
from api.paging import Limit, cut
from api.presenting_decisions import past_setting_view, setting_version_view, setting_view, settings_diff_view
from api.problems import not_found
from api.services import ServicesDep
from api.setting_changes import change_all, change_one
from db.repositories.settings import (
    list_settings,
    setting_history,
    settings_as_of,
    settings_changed,
    settings_in_force,
)
from domain.decision_views import (
    SettingBulkRequest,
    SettingChange,
    SettingsDiffView,
    SettingVersionView,
    SettingView,
)
from domain.faults import BadValue
from domain.views import Instant, Page

router = APIRouter(prefix="/settings", tags=["settings"])

SettingKey = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,60}$")]


@router.get("")
async def show_settings(
    services: ServicesDep,
    _caller: Viewer,
    as_of: Annotated[Instant | None, Query(description="as they were in force at this wall time")] = None,
) -> list[SettingView]:
    """Every setting, by key."""
    async with services.database.session() as session:
        if as_of is not None:
            return [past_setting_view(row) for row in await settings_in_force(session, as_of)]
        return [setting_view(row) for row in await list_settings(session)]


@router.post("/bulk")
async def change_several(services: ServicesDep, caller: Admin, request: SettingBulkRequest) -> list[SettingView]:
    """Change several settings for one reason, all or none. 409 names the one that moved since ``seen_version``."""
    return await change_all(services, caller, request)


@router.get("/diff")
async def show_difference(
    services: ServicesDep,
    _caller: Viewer,
    since: Annotated[Instant, Query(description="a wall time")],
    until: Annotated[Instant | None, Query(description="a later wall time; unless named: now")] = None,
) -> SettingsDiffView:
    """What differs between the settings in force at two instants, and who made each change between them, and why."""
    end = until or datetime.now(UTC)
    if end < since:
        raise bad_value(BadValue("until", "must not be before since"))
    async with services.database.session() as session:
        told = await settings_as_of(session, since), await settings_as_of(session, end)
        between = await settings_changed(session, since, end)
    return settings_diff_view(since, end, told, between)


@router.get("/{key}/history")
async def show_setting_history(
    services: ServicesDep,
    _caller: Viewer,
    key: SettingKey,
    as_of: Annotated[Instant | None, Query(description="only the value in force at this wall time")] = None,
    limit: Limit = 50,
    cursor: Annotated[int | None, Query(ge=1)] = None,
) -> Page[SettingVersionView]:
    """Every value a setting had, newest first."""
    async with services.database.session() as session:
        if not await setting_history(session, key, limit=1):
            raise not_found("setting", key)
        rows = await setting_history(session, key, as_of, before=cursor, limit=limit + 1)
    return cut(rows, limit, setting_version_view, lambda row: str(row.id))


@router.patch("/{key}")
async def change(services: ServicesDep, caller: Admin, key: SettingKey, request: SettingChange) -> SettingView:
    """Give a setting a new value. 409 when it moved since ``expected_version``; 422 names field and rule."""
    return await change_one(services, caller, key, request)
