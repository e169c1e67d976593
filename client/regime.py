"""Calls about the market's regime."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport
from domain.regime_views import RegimeNowView, RegimeRebuildAccepted, RegimeRebuildRequest, RegimeView
from domain.views import Page


class RegimeCalls(Transport):
    """Part of ``AtsClient``."""

    def regime(self, *, as_of: datetime | None = None) -> RegimeNowView:
        """The regime that decides now, or at market time ``as_of`` as known then, and the newest with its terms."""
        return self._get("/v1/regime", RegimeNowView, {"as_of": as_of})

    def regime_history(
        self,
        *,
        since: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        as_of: datetime | None = None,
    ) -> Page[RegimeView]:
        """The regime at every 4h close, newest first; market times. With ``as_of`` only what was known then."""
        params = {"since": since, "limit": limit, "cursor": cursor, "as_of": as_of}
        return self._get("/v1/regime/history", Page[RegimeView], params)

    def rebuild_regime(self, request: RegimeRebuildRequest) -> RegimeRebuildAccepted:
        """Compute a past where none is recorded, durably."""
        return self._post("/v1/regime/rebuild", request, RegimeRebuildAccepted)
