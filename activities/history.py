"""History of the exchange, asked for at one pace by everything in this process that wants it."""

from __future__ import annotations

import asyncio
from datetime import datetime

from domain.candle import Timeframe
from domain.market import Category
from exchange.protocol import Candle, Exchange

REQUESTS_PER_SECOND = 20.0
"""Bybit allows 600 requests in 5 s from one address. History takes a sixth, so that exits never wait for it."""

REQUESTS_AT_ONCE = 3
"""Half of the gateway's threads for queries: the others are for guards and orders."""


class PacedHistory:
    """Candles by REST, at most ``per_second`` requests a second and ``at_once`` under way. One a worker process."""

    def __init__(
        self, exchange: Exchange, per_second: float = REQUESTS_PER_SECOND, at_once: int = REQUESTS_AT_ONCE
    ) -> None:
        self._exchange = exchange
        self._interval = 1 / per_second
        self._places = asyncio.Semaphore(at_once)
        self._next_turn = 0.0

    async def candles(
        self, category: Category, symbol: str, timeframe: Timeframe, start: datetime, end: datetime
    ) -> list[Candle]:
        """Candles with open time in [start, end), oldest first: one request if they are no more than a page.

        The forming candle comes unconfirmed. Raises the exchange's errors.
        """
        last = end - timeframe.duration
        async with self._places:
            await self._turn()
            return await self._exchange.candles(category, symbol, timeframe.value, start, last)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn = max(self._next_turn, loop.time())
        self._next_turn = turn + self._interval
        await asyncio.sleep(turn - loop.time())
