"""System settings: read the current ones or those of any instant, change one under optimistic lock, halt trading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import SystemSetting, SystemSettingHistory
from db.repositories.audit import record_event
from domain.system_settings import TRADING_HALTED


class SettingMoved(Exception):
    """The setting was changed since it was read: read it again and decide anew. ``current`` is its version now."""

    def __init__(self, key: str, seen: int, current: int) -> None:
        super().__init__(f"{key} is at version {current}, not {seen}: read it again")
        self.current = current


async def current_settings(session: AsyncSession) -> dict[str, Any]:
    """Every setting by key."""
    rows = await session.execute(select(SystemSetting.key, SystemSetting.value))
    return {row.key: row.value for row in rows}


async def settings_version(session: AsyncSession, at: datetime | None = None) -> int:
    """A number that rises with every change of any setting (the newest history row's id): now, or ``at`` (wall)."""
    newest = select(func.max(SystemSettingHistory.id))
    if at is not None:
        newest = newest.where(SystemSettingHistory.valid_from <= at)
    return await session.scalar(newest) or 0


async def list_settings(session: AsyncSession) -> Sequence[SystemSetting]:
    return (await session.scalars(select(SystemSetting).order_by(SystemSetting.key))).all()


async def find_setting(session: AsyncSession, key: str) -> SystemSetting | None:
    return await session.get(SystemSetting, key, populate_existing=True)


async def change_setting(session: AsyncSession, key: str, value: Any, seen_version: int) -> None:
    """Set ``key``. Raises SettingMoved unless its version is still ``seen_version``; the trigger writes the history.

    LookupError for a key without a row. ``value`` has been through ``domain.system_settings.checked_setting``.
    """
    changed = await session.execute(
        update(SystemSetting)
        .where(SystemSetting.key == key, SystemSetting.version == seen_version)
        .values(value=value)
        .returning(SystemSetting.key)
    )
    if changed.scalar_one_or_none() is not None:
        return
    current = await session.scalar(select(SystemSetting.version).where(SystemSetting.key == key))
    if current is None:
        raise LookupError(f"no setting {key}")
    raise SettingMoved(key, seen_version, current)


async def set_halted(session: AsyncSession, halted: bool, *, who: str, reason: str) -> bool:
    """Halt trading or let it go on, with its audit event; False when it stood so already.

    The history takes actor and reason from the session: open it with the same ones.
    """
    row = await session.get(SystemSetting, TRADING_HALTED, with_for_update=True, populate_existing=True)
    if row is None:
        raise LookupError(f"no setting {TRADING_HALTED}: is the database migrated?")
    if row.value is halted:
        return False
    await change_setting(session, TRADING_HALTED, halted, row.version)
    kind, severity = ("trading_halted", "warning") if halted else ("trading_resumed", "info")
    record_event(session, kind, TRADING_HALTED, who=who, severity=severity, detail={"reason": reason})
    return True


async def settings_in_force(session: AsyncSession, at: datetime) -> Sequence[SystemSettingHistory]:
    """Every setting, by key, in the version that was in force at wall time ``at``."""
    query = select(SystemSettingHistory).where(*_in_force(at)).order_by(SystemSettingHistory.key)
    return (await session.scalars(query)).all()


async def settings_as_of(session: AsyncSession, at: datetime) -> dict[str, Any]:
    """Every setting by key as it was in force at wall time ``at``."""
    return {row.key: row.row["value"] for row in await settings_in_force(session, at)}


async def settings_at(session: AsyncSession, version: int) -> dict[str, Any]:
    """Every setting by key as of ``version`` (see ``settings_version``)."""
    history = SystemSettingHistory
    newest = select(history).where(history.id <= version).ext(distinct_on(history.key))
    newest = newest.order_by(history.key, history.id.desc())
    return {row.key: row.row["value"] for row in await session.scalars(newest)}


async def setting_history(
    session: AsyncSession, key: str, as_of: datetime | None = None, *, before: int | None = None, limit: int = 1_000
) -> Sequence[SystemSettingHistory]:
    """Values a setting had, newest first (rows with an id under ``before``); with ``as_of`` the one in force then."""
    query = select(SystemSettingHistory).where(SystemSettingHistory.key == key)
    query = query.order_by(SystemSettingHistory.id.desc()).limit(limit)
    if as_of is not None:
        query = query.where(*_in_force(as_of))
    if before is not None:
        query = query.where(SystemSettingHistory.id < before)
    return (await session.scalars(query)).all()


async def settings_changed(
    session: AsyncSession, since: datetime, until: datetime, *, limit: int = 1_000
) -> Sequence[SystemSettingHistory]:
    """Versions of any setting that came into force after ``since`` and up to ``until`` (wall), oldest first."""
    history = SystemSettingHistory
    query = select(history).where(history.valid_from > since, history.valid_from <= until)
    return (await session.scalars(query.order_by(history.id).limit(limit))).all()


def _in_force(at: datetime) -> tuple[Any, ...]:
    history = SystemSettingHistory
    return history.valid_from <= at, or_(history.valid_to.is_(None), history.valid_to > at)
