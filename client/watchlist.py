"""Calls about the watchlist: who is interesting now, the places a symbol had, and what the list was worth."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport
from domain.market import PositionSide
from domain.views import Page
from domain.watchlist_views import CaptureView, WatchlistEntryView, WatchlistView


class WatchlistCalls(Transport):
    """Part of ``AtsClient``."""

    def watchlist(
        self,
        *,
        side: PositionSide | None = None,
        strategy: str | None = None,
        symbol: str | None = None,
        limit: int | None = None,
    ) -> list[WatchlistView]:
        """Both sides now, the highest composite first; ``limit`` is of each side."""
        params = {"side": side, "strategy": strategy, "symbol": symbol, "limit": limit}
        return self._get("/v1/watchlist", list[WatchlistView], params)

    def watchlist_kept(
        self,
        *,
        as_of: datetime | None = None,
        side: PositionSide | None = None,
        strategy: str | None = None,
        symbol: str | None = None,
    ) -> list[WatchlistEntryView]:
        """Both sides as kept at the newest close decided by market time ``as_of`` (None: the newest of all)."""
        params = {"as_of": as_of, "side": side, "strategy": strategy, "symbol": symbol}
        return self._get("/v1/watchlist/kept", list[WatchlistEntryView], params)

    def watchlist_history(
        self,
        symbol: str,
        *,
        side: PositionSide | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[WatchlistEntryView]:
        """The places a symbol had, newest candle close first; ``since`` market time."""
        params = {"symbol": symbol, "side": side, "since": since, "limit": limit, "cursor": cursor}
        return self._get("/v1/watchlist/history", Page[WatchlistEntryView], params)

    def watchlist_capture(
        self, *, since: datetime | None = None, until: datetime | None = None, k: int | None = None
    ) -> CaptureView:
        """The list against the top ``k`` movers of each seven days; by default of the last four weeks."""
        return self._get("/v1/watchlist/capture", CaptureView, {"from": since, "to": until, "k": k})
