"""``python -m api``: serve the API as the settings say, bound to loopback unless told otherwise."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from config.settings import Settings
from observability.logs import configure_logging
from observability.tracing import configure_tracing


class _Server(uvicorn.Server):
    """Ends the live streams first: a shutdown must not wait for those who listen."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.services.closing.set()
        await super().shutdown(sockets)


def main() -> None:
    settings = Settings()
    configure_logging("api", settings)
    configure_tracing("ats-api")
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    _Server(config, app).run()


if __name__ == "__main__":
    main()
