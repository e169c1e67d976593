"""The API as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from api import problems
from api.keys import key_id_of
from api.problems import database_is_down
from api.routes import (
    account,
    analytics,
    backfills,
    control,
    decisions,
    events,
    flattening,
    market,
    orders,
    positions,
    reconciliation,
    regime,
    signals,
    strategies,
    system,
    trades,
    universe,
    watchlist,
)
from api.routes import settings as setting_routes
from api.services import Services
from api.tracing import TraceRequests
from config.credentials import api_key, postgres_dsn
from config.settings import Settings
from db.session import Database

_log = structlog.get_logger(__name__)
_DATABASE_RETRY_SECONDS = 1.0
_ROUTES = (
    system,
    control,
    flattening,
    account,
    analytics,
    backfills,
    positions,
    trades,
    orders,
    reconciliation,
    strategies,
    setting_routes,
    signals,
    decisions,
    regime,
    watchlist,
    universe,
    market,
    events,
)


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """The application. ``services`` is made from ``settings`` unless given. Starts also while the database is down.

    Raises ValueError for an ATS_API__KEY that has not the shape of a key.
    """
    key = api_key(settings)
    try:
        key_id_of(key)
    except ValueError as error:
        raise ValueError(f"ATS_API__KEY can't be used: {error}") from error

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        shared = services or Services(settings, Database(postgres_dsn(settings), settings.postgres.pool_size))
        app.state.services = shared
        installing = asyncio.create_task(_install_key(shared, key))
        try:
            yield
        finally:
            installing.cancel()
            await asyncio.gather(installing, return_exceptions=True)
            await shared.close()

    app = FastAPI(
        title="ATS",
        version="1",
        summary="Automated trading system for one Bybit account",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(TraceRequests)
    for module in _ROUTES:
        app.include_router(module.router, prefix="/v1")
    return app


async def _install_key(services: Services, key: str) -> None:
    """Put the installation's key into the table as soon as there is a database to put it in."""
    while True:
        try:
            await services.keys.install(key)
        except Exception as error:
            if database_is_down(error):
                await asyncio.sleep(_DATABASE_RETRY_SECONDS)
                continue
            _log.exception("the installation's API key could not be stored")
        services.keys.ready = True
        return
