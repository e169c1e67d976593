"""Changes of system settings: one or several in one transaction, made as a whole or refused and audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api.changes import audit_refusal, bad_value, moved
from api.keys import Caller
from api.presenting_decisions import setting_view
from api.problems import not_found
from api.services import Services
from db.repositories.audit import record_event
from db.repositories.settings import SettingMoved, change_setting, find_setting
from domain.decision_views import SettingBulkRequest, SettingChange, SettingView
from domain.faults import BadValue
from domain.system_settings import TRADING_HALTED, checked_setting

_REFUSED = "setting_change_refused"
_BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Change:
    """A new value of one setting, decided on version ``seen``."""

    key: str
    value: Any
    seen: int


async def change_one(services: Services, caller: Caller, key: str, request: SettingChange) -> SettingView:
    """Make the change, or refuse it; either leaves an audit event. What changes nothing makes no version."""
    change = Change(key, request.value, request.expected_version)
    try:
        async with services.database.session(actor=caller.who, reason=request.reason) as session:
            await _make(session, caller, change, request.reason)
            return await _view_of(session, key)
    except SettingMoved as error:
        refusal = moved("setting", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    await audit_refusal(
        services, caller, _REFUSED, key, refusal, {"value": request.value}, request.reason, request.expected_version
    )
    raise refusal


async def change_all(services: Services, caller: Caller, request: SettingBulkRequest) -> list[SettingView]:
    """Make every change of the request in one transaction, or none of them."""
    changes = [Change(each.key, each.value, each.seen_version) for each in request.changes]
    try:
        async with services.database.session(actor=caller.who, reason=request.reason) as session:
            await _make_all(session, caller, changes, request.reason)
            return [await _view_of(session, change.key) for change in changes]
    except SettingMoved as error:
        refusal = moved("setting", str(error))
    except BadValue as error:
        refusal = bad_value(error)
    asked = {change.key: change.value for change in changes}
    await audit_refusal(services, caller, _REFUSED, _BULK, refusal, asked, request.reason, None)
    raise refusal


async def _make_all(session: AsyncSession, caller: Caller, changes: Sequence[Change], reason: str) -> None:
    """In the order of keys, so that two bulk edits never wait for each other's rows."""
    for place, change in sorted(enumerate(changes), key=lambda each: each[1].key):
        try:
            await _make(session, caller, change, reason)
        except BadValue as error:
            raise BadValue(f"changes.{place}.{error.field}", f"{change.key}: {error.rule}") from None


async def _make(session: AsyncSession, caller: Caller, change: Change, reason: str) -> None:
    before = await find_setting(session, change.key)
    if before is None:
        raise not_found("setting", change.key)
    if change.key == TRADING_HALTED:
        raise BadValue("key", "has commands of its own: POST /v1/system/halt and POST /v1/system/resume")
    value, old = checked_setting(change.key, change.value), before.value
    if value == old and change.seen == before.version:
        return
    await change_setting(session, change.key, value, change.seen)
    after = await _view_of(session, change.key)
    detail = {"from": old, "to": value, "reason": reason, "versions": [change.seen, after.version]}
    record_event(session, "setting_changed", change.key, who=caller.who, detail=detail)


async def _view_of(session: AsyncSession, key: str) -> SettingView:
    row = await find_setting(session, key)
    if row is None:
        raise not_found("setting", key)
    return setting_view(row)
