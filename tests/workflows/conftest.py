"""A whole trading worker per module: own database, own Temporal, own exchange with a market pushed by hand.

Workflow ids such as ``stream/account`` are the system's, so two systems can't share a server. Tests of a module
share one system and keep out of each other's way by using different symbols.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.folders import scratch_folder
from tests.support.paper import paper_exchange_process
from tests.support.postgres import PostgresServer
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, settings_for


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[str]:
    dsn = postgres_server.new_database()  # migrations run a loop of their own: not from an async fixture
    yield dsn
    postgres_server.drop_database(dsn)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trading(module_database: str) -> AsyncIterator[Trading]:
    with scratch_folder() as folder, running_temporal(folder) as temporal:
        (folder / "exchange").mkdir()
        exchange = paper_exchange_process(folder / "exchange", "--manual").start()
        try:
            async with running_trading(settings_for(module_database, temporal.address, exchange), exchange) as running:
                yield running
        finally:
            exchange.stop()
