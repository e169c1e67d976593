"""A real API on a real port, for everything that speaks to it: API, client, CLI and UI tests."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.services import Services
from client import AtsClient, Connection
from config.credentials import api_key
from config.settings import ApiSettings, PostgresSettings, Settings, TemporalSettings
from observability.tracing import configure_tracing
from tests.support.waiting import wait_until
from workers.stack.ports import free_port


@dataclass(frozen=True)
class RunningApi:
    """Address and admin key of an API that answers."""

    settings: Settings
    url: str
    key: str

    def client(self) -> AtsClient:
        return AtsClient(Connection(self.url, self.key))

    def http(self, key: str | None = None) -> httpx.Client:
        """A bare HTTP client with a key (the admin's unless given; "" sends none)."""
        used = self.key if key is None else key
        headers = {"Authorization": f"Bearer {used}"} if used else {}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=15, verify=False)

    def environment(self) -> dict[str, str]:
        """What a UI or CLI process is told."""
        return {"ATS_API__URL": self.url, "ATS_API__KEY": self.key}


def api_settings(folder: Path, dsn: str, temporal_address: str, **more: Any) -> Settings:
    """Settings of an API on a free port over the given servers."""
    return Settings(
        data_dir=folder / "data",
        log_dir=folder / "logs",
        postgres=PostgresSettings(dsn=SecretStr(dsn), pool_size=4),
        temporal=TemporalSettings(address=temporal_address),
        api=ApiSettings(port=free_port()),
        **more,
    )


@contextmanager
def running_api(settings: Settings, services: Services | None = None) -> Iterator[RunningApi]:
    """The API in a thread of this process, answering and with its admin key known; ended at the end."""
    configure_tracing("ats-api")
    logging_before = structlog.get_config()
    # asked for anew each time, since pytest gives every test another stderr; stdout belongs to what is tested
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr), cache_logger_on_first_use=False)
    app = create_app(settings, services)
    config = uvicorn.Config(app, host="127.0.0.1", port=settings.api.port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    running = RunningApi(settings, settings.api_url, api_key(settings))
    try:
        with running.http() as http:
            wait_until(lambda: server.started and _lets_in(http), "the API to know its key")
        yield running
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        structlog.configure(**logging_before)


def _lets_in(http: httpx.Client) -> bool:
    answer = http.get("/v1/system/halt")  # an early route: FastAPI makes those before the one asked for, 4 ms each
    assert answer.status_code != 401, "a right key was called wrong while the API starts"
    return answer.status_code == 200 or (answer.status_code == 503 and answer.json()["type"] != "/problems/starting")
