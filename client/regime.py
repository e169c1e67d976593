"""Calls about the market's regime."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport
from domain.regime_views import RegimeNowView, RegimeRebuildAccepted, RegimeRebuildRequest, RegimeView
from domain.views import Page


class RegimeCalls(Transport):
    """Part of ``AtsClient``."""

    def regime(self) -> RegimeNowView:
        """The regime that decides now, and the newest one with its score's terms."""
        return self._get("/v1/regime", RegimeNowView)

    def regime_history(
        self, *, since: datetime | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[RegimeView]:
        """The regime at every 4h close, newest first; ``since`` market time."""
        return self._get("/v1/regime/history", Page[RegimeView], {"since": since, "limit": limit, "cursor": cursor})

    def rebuild_regime(self, request: RegimeRebuildRequest) -> RegimeRebuildAccepted:
        """Compute a past where none is recorded, durably."""
        return self._post("/v1/regime/rebuild", request, RegimeRebuildAccepted)
