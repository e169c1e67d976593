"""History and audit tables: written by trigger, never changed by hand; migrations say what the models say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from db.migrate import alembic_config
from db.models import SystemSetting
from db.repositories.settings import SettingMoved, change_setting
from db.session import Database


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def test_migrations_make_exactly_the_models(database: str) -> None:
    with ThreadPoolExecutor(1) as pool:  # alembic runs an event loop of its own
        await asyncio.get_running_loop().run_in_executor(pool, command.check, alembic_config(database))


async def test_a_change_is_recorded_with_who_and_why_and_closes_the_row_before(db: Database) -> None:
    async with db.session(actor="anna", reason="wider buffer") as session:
        await change_setting(session, "disaster_buffer_pct", "2", seen_version=1)
    async with db.session() as session:
        rows = (
            await session.execute(
                text(
                    "SELECT row->>'value' AS value, version, valid_from, valid_to, changed_by, reason "
                    "FROM system_settings_history WHERE key = 'disaster_buffer_pct' ORDER BY id"
                )
            )
        ).all()
    assert [(row.value, row.version, row.changed_by, row.reason) for row in rows][1] == (
        "2",
        2,
        "anna",
        "wider buffer",
    )
    assert rows[0].valid_to == rows[1].valid_from
    assert rows[1].valid_to is None


async def test_a_change_made_by_hand_is_recorded_too(db: Database) -> None:
    async with db.session() as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == "entry_ttl_seconds").values(value=60))
    async with db.session() as session:
        who = await session.scalar(
            text("SELECT changed_by FROM system_settings_history WHERE key='entry_ttl_seconds' AND valid_to IS NULL")
        )
    assert who == "sql:ats"


async def test_a_setting_that_moved_since_it_was_read_is_not_overwritten(db: Database) -> None:
    async with db.session() as session:
        await change_setting(session, "entry_ttl_seconds", 20, seen_version=1)
    with pytest.raises(SettingMoved):
        async with db.session() as session:
            await change_setting(session, "entry_ttl_seconds", 10, seen_version=1)


@pytest.mark.parametrize(
    "table",
    [
        "system_events",
        "system_settings_history",
        "position_targets",
        "position_evaluations",
        "order_transitions",
        "order_executions",
        "execution_applications",
        "lot_matches",
        "dust",
    ],
)
async def test_an_append_only_table_refuses_to_forget(db: Database, table: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.session() as session:
            await session.execute(text(f"TRUNCATE {table} CASCADE"))


@pytest.mark.parametrize(
    "statement", ["UPDATE system_settings_history SET reason = 'x'", "DELETE FROM system_settings_history"]
)
async def test_history_can_not_be_rewritten(db: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.session() as session:
            await session.execute(text(statement))
