"""A whole trading worker per test: own database, own Temporal, own exchange with a market pushed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.paper import PaperExchange
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, test_settings


@pytest.fixture
async def trading(
    database: str, scratch: Path, paper_exchange: Callable[..., PaperExchange]
) -> AsyncIterator[Trading]:
    # Workflow ids such as stream/account are the system's, so two systems can't share a server.
    exchange = paper_exchange("--manual")
    with running_temporal(scratch) as temporal:
        async with running_trading(test_settings(database, temporal.address, exchange), exchange) as running:
            yield running


