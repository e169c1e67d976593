"""What a request needs of the process: database, Temporal, keys, limits. Made once, closed at the end."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client

from api.buckets import Buckets
from api.keyring import KeyRing
from api.problems import unavailable
from config.settings import Settings
from db.session import Database
from workflows.plugin import ats_plugin

CONNECT_SECONDS = 2.0


class TemporalLink:
    """A client of Temporal, connected when first needed, so that the API starts and answers without it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def client(self) -> Client:
        """The client. Raises ApiError 503 ``temporal-unreachable`` when there is none to have."""
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self._client = await self._connect()
                except (RuntimeError, TimeoutError, OSError) as error:
                    raise temporal_unreachable(self._settings) from error
        return self._client

    async def _connect(self) -> Client:
        given = self._settings.temporal
        return await Client.connect(
            self._settings.temporal_address,
            namespace=given.namespace,
            api_key=given.api_key.get_secret_value() if given.api_key else None,
            tls=given.tls,
            plugins=[ats_plugin()],
        )


def temporal_unreachable(settings: Settings) -> Exception:
    return unavailable("temporal-unreachable", f"Temporal does not answer at {settings.temporal_address}")


class Services:
    """Everything shared by the requests of one API process."""

    def __init__(self, settings: Settings, database: Database, temporal: TemporalLink | None = None) -> None:
        self.settings = settings
        self.database = database
        self.temporal = temporal or TemporalLink(settings)
        self.keys = KeyRing(database)
        self.closing = asyncio.Event()
        self.requests = Buckets(per_second=50, burst=200)
        self.failures = Buckets(per_second=1, burst=20)
        self.audited_failures = Buckets(per_second=1 / 30, burst=3)
        self.audited_requests = Buckets(per_second=1, burst=60)

    async def close(self) -> None:
        self.closing.set()
        await self.database.close()


def _services(request: Request) -> Services:
    return request.app.state.services


ServicesDep = Annotated[Services, Depends(_services)]
