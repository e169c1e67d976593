"""Calls about market data."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport
from domain.candle import Timeframe
from domain.candle_views import CandleView
from domain.decision_views import BackfillRequest, BackfillsAccepted, BackfillView
from domain.market import Category
from domain.universe_views import UniverseView
from domain.views import Page


class DataCalls(Transport):
    """Part of ``AtsClient``."""

    def backfill(self, request: BackfillRequest) -> BackfillsAccepted:
        """Fetch history, durably; what is under way already goes on."""
        return self._post("/v1/backfills", request, BackfillsAccepted)

    def backfills(self) -> list[BackfillView]:
        """The last one of each symbol and timeframe, running ones first."""
        return self._get("/v1/backfills", list[BackfillView])

    def universe(
        self, *, category: Category | None = None, symbol: str | None = None, member: bool | None = None
    ) -> list[UniverseView]:
        """Listed symbols as of the last choice, members first; ``member`` False: only those left out."""
        params = {"category": category, "symbol": symbol, "member": member}
        return self._get("/v1/universe", list[UniverseView], params)

    def candles(
        self,
        symbol: str,
        timeframe: Timeframe,
        *,
        category: Category = Category.SPOT,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[CandleView]:
        """Closed candles, newest first: open from ``since`` on, closed by ``until`` (market times)."""
        params = {
            "symbol": symbol,
            "timeframe": timeframe,
            "category": category,
            "from": since,
            "to": until,
            "limit": limit,
            "cursor": cursor,
        }
        return self._get("/v1/market/candles", Page[CandleView], params)
