"""System settings: their values, a change of one, and every value each had."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import Admin, Viewer
from api.changes import audit_refusal, bad_value, moved
from api.keys import Caller
from api.paging import Limit, cut
from api.presenting_decisions import past_setting_view, setting_version_view, setting_view
from api.problems import not_found
from api.services import ServicesDep
from db.repositories.audit import record_event
from db.repositories.settings import (
    SettingMoved,
    change_setting,
    find_setting,
    list_settings,
    setting_history,
    settings_in_force,
)
from domain.decision_views import SettingChange, SettingVersionView, SettingView
from domain.faults import BadValue
from domain.system_settings import TRADING_HALTED, checked_setting
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
    try:
        async with services.database.session(actor=caller.who, reason=request.reason) as session:
            return await _change(session, caller, key, request)
    except SettingMoved as error:
        refusal = moved("setting", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    asked, seen = {"value": request.value}, request.expected_version
    await audit_refusal(services, caller, "setting_change_refused", key, refusal, asked, request.reason, seen)
    raise refusal


async def _change(session: AsyncSession, caller: Caller, key: str, request: SettingChange) -> SettingView:
    before = await find_setting(session, key)
    if before is None:
        raise not_found("setting", key)
    if key == TRADING_HALTED:
        raise BadValue("key", "has commands of its own: POST /v1/system/halt and POST /v1/system/resume")
    value, old = checked_setting(key, request.value), before.value
    if value == old and request.expected_version == before.version:
        return setting_view(before)
    await change_setting(session, key, value, request.expected_version)
    after = await find_setting(session, key)
    assert after is not None, "it was changed in this transaction"
    detail = {
        "from": old,
        "to": value,
        "reason": request.reason,
        "versions": [request.expected_version, after.version],
    }
    record_event(session, "setting_changed", key, who=caller.who, detail=detail)
    return setting_view(after)
