"""The paper exchange's own books, clock and trades: what its durable state tells, believed over every process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from domain.clock import MarketClock


class PaperBooks:
    """Raises httpx.HTTPError when the exchange doesn't answer."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def read(self) -> Mapping[str, Any]:
        """Orders, executions, wallet, transaction log and the exchange's own audit of them.

        Funding settlements, which the exchange tells as executions too, are left out: the log has them as such.
        """
        told = (await self._http.get("/paper/books")).raise_for_status().json()
        trades = [row for row in told["executions"] if row["execType"] != "Funding"]
        return {**told, "executions": trades}

    async def clock(self) -> MarketClock:
        told = (await self._http.get("/paper/clock")).raise_for_status().json()
        return MarketClock.model_validate(told)

    async def trades(
        self, category: str, symbol: str, after: datetime, until: datetime
    ) -> AsyncIterator[tuple[datetime, Decimal]]:
        """(instant, price) of the trades after ``after`` up to ``until``, oldest first, page by page."""
        page: str | None = after.isoformat()
        while page is not None:
            asked = {"category": category, "symbol": symbol, "from": page, "to": until.isoformat()}
            told = (await self._http.get("/paper/trades", params=asked)).raise_for_status().json()
            for trade in told["trades"]:
                yield datetime.fromisoformat(trade["at"]), Decimal(trade["price"])
            page = told["next"]


@asynccontextmanager
async def paper_books(url: str) -> AsyncIterator[PaperBooks]:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        yield PaperBooks(http)
