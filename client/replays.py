"""Calls that ask decisions again."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from client.transport import Transport
from domain.replay_views import ReplayView, StrategyScanView
from domain.views import Page


class ReplayCalls(Transport):
    """Part of ``AtsClient``."""

    def decisions(
        self,
        *,
        strategy: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[StrategyScanView]:
        """What strategies decided on at each close, newest first; ``since`` market time."""
        params = {"strategy": strategy, "since": since, "limit": limit, "cursor": cursor}
        return self._get("/v1/decisions", Page[StrategyScanView], params)

    def replay(self, decision: str) -> ReplayView:
        """Ask again: a signal's id, or STRATEGY@CLOSE for all that a strategy decided at a close."""
        return self._get(f"/v1/decisions/{quote(decision, safe='')}/replay", ReplayView)
