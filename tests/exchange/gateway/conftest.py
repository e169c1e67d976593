"""A paper exchange and a gateway to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from exchange.bybit import BybitExchange
from tests.exchange.gateway.paper_gateway import SYMBOLS, gateway
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperExchange]:
    """One exchange for the tests that leave it standing; each makes its own order ids."""
    with scratch_folder() as folder:
        data = folder / "data"
        data.mkdir()
        server = paper_exchange_process(data, *SYMBOLS).start()
        yield server
        server.stop()


@pytest.fixture
async def exchange(paper: PaperExchange) -> AsyncIterator[BybitExchange]:
    async with gateway(paper) as made:
        yield made
    paper.clear_faults()
