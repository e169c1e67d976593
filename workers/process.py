"""What every worker process does the same: settings, logs, one event loop, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop
from pydantic import ValidationError

from config.settings import Settings
from observability.logs import configure_logging, get_logger
from observability.tracing import configure_tracing
from workers.key_check import UnsafeKey

log = get_logger(__name__)


def run_process(service: str, serve: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Run ``serve(settings, stop)`` until it ends or the process is told to stop (``stop`` is set then).

    Exits with code 2 and one sentence a setting when the settings are wrong, with 3 and a sentence when the exchange's
    API key must not be worked with.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors(include_url=False):
            where = ".".join(str(part) for part in each["loc"])
            sys.stderr.write(f"setting {where or 'combination'}: {each['msg']}\n")
        sys.exit(2)
    configure_logging(service, settings)
    configure_tracing(service)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        log.info("starting", service=service)
        await serve(settings, stop)
        log.info("stopped", service=service)

    try:
        uvloop.run(main())
    except UnsafeKey as unsafe:
        log.error("not started", reason=str(unsafe))
        sys.stderr.write(f"{unsafe}\n")
        sys.exit(3)
