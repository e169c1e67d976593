"""System settings: read the current ones, change one under optimistic lock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import SystemSetting, SystemSettingHistory


class SettingMoved(Exception):
    """The setting was changed since it was read: read it again and decide anew."""


async def current_settings(session: AsyncSession) -> dict[str, Any]:
    """Every setting by key."""
    rows = await session.execute(select(SystemSetting.key, SystemSetting.value))
    return {row.key: row.value for row in rows}


async def settings_version(session: AsyncSession) -> int:
    """A number that rises with every change of any setting (the newest history row's id)."""
    return await session.scalar(select(func.coalesce(func.max(SystemSettingHistory.id), 0))) or 0


async def change_setting(session: AsyncSession, key: str, value: Any, seen_version: int) -> None:
    """Set ``key``. Raises SettingMoved unless its version is still ``seen_version``; the trigger writes the history."""
    changed = await session.execute(
        update(SystemSetting)
        .where(SystemSetting.key == key, SystemSetting.version == seen_version)
        .values(value=value)
        .returning(SystemSetting.key)
    )
    if changed.scalar_one_or_none() is None:
        raise SettingMoved(f"{key} is no longer at version {seen_version}")
