"""Whole systems whose workers are processes: they are killed and frozen here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.settings import Settings
from tests.support.paper import PaperExchange
from tests.support.servers import Server
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, settings_for, trading_on
from tests.support.worker import trading_worker_process
from workers.verify import verify


@dataclass
class Arena:
    """A system without a worker yet; ``worker(name)`` makes one (not started), ended with the test."""

    trading: Trading
    settings: Settings
    worker: Callable[[str], Server]

    async def assert_nothing_is_wrong(self) -> None:
        """By the judge, which believes none of the processes."""
        verdict = await verify(self.settings)
        assert verdict.ok, verdict.findings


@pytest.fixture
async def arena(database: str, scratch: Path, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[Arena]:
    exchange = paper_exchange("--manual")
    workers: list[Server] = []
    with running_temporal(scratch) as temporal:
        settings = settings_for(database, temporal.address, exchange)

        def worker(name: str) -> Server:
            workers.append(trading_worker_process(settings, scratch, name))
            return workers[-1]

        try:
            async with trading_on(settings, exchange) as trading:
                yield Arena(trading, settings, worker)
        finally:
            for process in workers:
                process.stop(patience=5)
