"""The session scope: one unit of work, one transaction. Repositories and services never commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine


def sqlalchemy_url(dsn: str) -> str:
    """``postgresql://`` in any spelling, for the asyncpg driver."""
    scheme, rest = dsn.split("://", 1)
    if scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"the database address must start with postgresql://, not {scheme}://")
    return f"postgresql+asyncpg://{rest}"


class Database:
    """A pool of connections to one database. ``dsn`` is kept for those who need a connection of their own (LISTEN)."""

    def __init__(self, dsn: str, pool_size: int = 10) -> None:
        self.dsn = dsn
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(dsn),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=False,
            pool_timeout=5,
            connect_args={"timeout": 3, "command_timeout": 10, "server_settings": {"timezone": "UTC"}},
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def session(self, *, actor: str = "system", reason: str = "") -> AsyncIterator[AsyncSession]:
        """A transaction, committed on leaving and rolled back on an error.

        ``actor`` and ``reason`` are what the history triggers record for a change of configuration made inside.
        """
        async with self._sessions() as session, session.begin():
            if actor != "system" or reason:
                await session.execute(
                    text("SELECT set_config('ats.actor', :actor, true), set_config('ats.reason', :reason, true)"),
                    {"actor": actor, "reason": reason},
                )
            yield session

    async def close(self) -> None:
        await self.engine.dispose()
