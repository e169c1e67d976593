"""What a worker process holds open: database, exchange, Temporal client. Opened once, closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError

from config.credentials import exchange_keys, postgres_dsn
from config.settings import Settings
from db.session import Database
from exchange.bybit import BybitExchange
from exchange.protocol import Exchange, ExchangeError
from observability.logs import get_logger
from workers.key_check import check_key
from workflows.plugin import ats_plugin

log = get_logger(__name__)

_RETRY = timedelta(seconds=1)
_SAY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Connections:
    settings: Settings
    database: Database
    exchange: Exchange
    client: Client


def exchange_of(settings: Settings) -> BybitExchange:
    """The exchange the settings name, with their keys (in paper mode the installation's made ones). Not started."""
    chosen = settings.exchange
    key, secret = exchange_keys(settings)
    url = settings.paper_url if chosen.mode == "paper" else chosen.url
    return BybitExchange(
        chosen.mode,
        key,
        secret,
        url,
        chosen.recv_window_ms,
        chosen.http_timeout_seconds,
        order_entry=chosen.order_entry,
        rate_share=chosen.rate_share,
    )


async def connect_temporal(settings: Settings, metrics_address: str | None = None) -> Client:
    """A client with the plugin. Raises RuntimeError or RPCError while the server can't be reached."""
    runtime = None
    if metrics_address is not None:
        runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=metrics_address)))
    key = settings.temporal.api_key
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal.namespace,
        api_key=key.get_secret_value() if key else None,
        tls=settings.temporal.tls,
        plugins=[ats_plugin()],
        runtime=runtime,
    )


@asynccontextmanager
async def open_connections(settings: Settings, trading: bool = False) -> AsyncIterator[Connections]:
    """Everything a worker needs, waiting for servers that are not there yet (said after a few seconds).

    ``trading``: the process places orders. Raises UnsafeKey when its key may do too much, or too little for that.
    """
    database = Database(postgres_dsn(settings), settings.postgres.pool_size)
    exchange = exchange_of(settings)
    try:
        await _until_there("exchange", exchange.start)
        await _until_there("exchange key", lambda: check_key(settings.exchange, exchange, database, trading))
        client = await _client(settings)
        yield Connections(settings, database, exchange, client)
    finally:
        await exchange.close()
        await database.close()


async def _client(settings: Settings) -> Client:
    found: list[Client] = []

    async def connect() -> None:
        found.append(await connect_temporal(settings))

    await _until_there("Temporal", connect)
    return found[0]


async def _until_there(name: str, attempt: Callable[[], Awaitable[None]]) -> None:
    tries = 0
    while True:
        try:
            await attempt()
            return
        except (ExchangeError, RPCError, RuntimeError, OSError) as error:
            tries += 1
            if tries % _SAY_AFTER == 0:
                log.warning("waiting", what=name, error=str(error))
            await asyncio.sleep(_RETRY.total_seconds())
