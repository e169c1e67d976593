"""A paper exchange that real clients trade on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

LINEAR, SPOT = "BTC/USDT:USDT", "BTC/USDT"
PRICE = 50_000


@contextmanager
def private_exchange() -> Iterator[PaperExchange]:
    """A manual market of BTC at 50,000 and ETH at 3,000, 100,000 USDT and 10 BTC on it, and no rate limits."""
    market = ("--manual", "--symbols", f"BTCUSDT={PRICE}", "ETHUSDT=3000")
    with scratch_folder() as folder:
        money = ("--deposit", "USDT=100000", "BTC=10", "--rate-limits", "off")
        started = paper_exchange_process(folder / "data", *market, *money).start()
        try:
            yield started
        finally:
            started.stop()
