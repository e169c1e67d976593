"""What a paper exchange is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from exchange.paper.auth import ApiKey
from exchange.paper.clock import Speed

TICKS_PER_MINUTE = 4.0


@dataclass(frozen=True)
class PaperOptions:
    """Options of one paper exchange, as its command line gives them.

    ``port`` 0 takes any free one. ``speed`` is market seconds per wall second, or ``step``: the market
    stands still until it is told to advance. ``ticks_per_minute`` is how dense trades are (not on a manual market);
    every candle has at least 4 and at most 288. ``replay`` are OHLCV files, each one symbol's bars (``spot:`` or
    ``linear:`` before the path limits it to a category, ``funding:`` makes it a file of settled funding rates);
    ``manual`` asks for the feed whose ticks come by ``POST /paper/ticks``; ``shadow`` follows the live public streams
    at a REST address (``live`` and ``testnet`` are Bybit's) with paper execution, in wall time; none of them means the
    synthetic market. ``start`` is where market time begins.
    ``deposit`` is credited once, when ``data_dir`` is first used. No ``key``: one is made and told at the start.
    ``read_only_key`` may ask but not trade; ``withdraw_key`` has the right to withdraw (for clients that refuse such a
    key; there is nothing to withdraw to). ``rate_limits`` multiplies Bybit's (in wall time, whatever the speed);
    None: none.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8100
    speed: Speed = 1.0
    ticks_per_minute: float = TICKS_PER_MINUTE
    seed: int = 1
    replay: tuple[str, ...] = ()
    manual: bool = False
    shadow: str | None = None
    start: datetime | None = None
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "LINKUSDT")
    deposit: dict[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(100_000)})
    key: str | None = None
    secret: str | None = None
    read_only_key: ApiKey | None = None
    withdraw_key: ApiKey | None = None
    rate_limits: float | None = 1.0
