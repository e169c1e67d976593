"""The exchange that real clients are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process


@pytest.fixture(scope="session")
def public_exchange() -> Iterator[PaperExchange]:
    """A synthetic market of three symbols, ten times as fast as the wall; for tests that only read."""
    with scratch_folder() as folder:
        symbols = ("--symbols", "BTCUSDT", "ETHUSDT", "SOLUSDT")
        started = paper_exchange_process(folder / "data", "--speed", "10", *symbols).start()
        yield started
        started.stop()
