"""Calls about market data."""

from __future__ import annotations

from client.transport import Transport
from domain.decision_views import BackfillRequest, BackfillsAccepted, BackfillView


class DataCalls(Transport):
    """Part of ``AtsClient``."""

    def backfill(self, request: BackfillRequest) -> BackfillsAccepted:
        """Fetch history, durably; what is under way already goes on."""
        return self._post("/v1/backfills", request, BackfillsAccepted)

    def backfills(self) -> list[BackfillView]:
        """The last one of each symbol and timeframe, running ones first."""
        return self._get("/v1/backfills", list[BackfillView])
