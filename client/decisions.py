"""Calls about decisions: settings, signals, the whole system's halt, and the portfolio's figures."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport, new_key, segment
from domain.decision_views import (
    BlockedSignalView,
    FlattenAccepted,
    FlattenRequest,
    HaltRequest,
    HaltView,
    PnlView,
    PortfolioView,
    ScanView,
    SettingBulkRequest,
    SettingChange,
    SettingsDiffView,
    SettingVersionView,
    SettingView,
    SignalView,
)
from domain.replay_views import SignalDetail
from domain.views import Page


class DecisionCalls(Transport):
    """Part of ``AtsClient``."""

    # settings

    def settings(self, *, as_of: datetime | None = None) -> list[SettingView]:
        """Every system setting, by key; with ``as_of`` (wall) as they were in force then."""
        return self._get("/v1/settings", list[SettingView], {"as_of": as_of})

    def change_setting(self, key: str, request: SettingChange) -> SettingView:
        return self._patch(f"/v1/settings/{segment(key)}", request, SettingView)

    def change_settings(self, request: SettingBulkRequest) -> list[SettingView]:
        """Change several for one reason, all or none; they come back in the order in which they were named."""
        return self._post("/v1/settings/bulk", request, list[SettingView])

    def settings_diff(self, *, since: datetime, until: datetime | None = None) -> SettingsDiffView:
        """What differs between the settings in force at two wall times; unless named the later one is now."""
        return self._get("/v1/settings/diff", SettingsDiffView, {"since": since, "until": until})

    def setting_history(
        self, key: str, *, as_of: datetime | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[SettingVersionView]:
        """Values of a setting, newest first; with ``as_of`` (wall) the one in force then."""
        params = {"as_of": as_of, "limit": limit, "cursor": cursor}
        return self._get(f"/v1/settings/{segment(key)}/history", Page[SettingVersionView], params)

    # signals

    def signals(
        self,
        *,
        symbol: str | None = None,
        strategy: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[SignalView]:
        """Newest candle close first. ``outcome`` is blocked, accepted or a position's state; ``since`` market time."""
        params = {"symbol": symbol, "strategy": strategy, "outcome": outcome, "since": since}
        return self._get("/v1/signals", Page[SignalView], {**params, "limit": limit, "cursor": cursor})

    def signal(self, signal_id: str) -> SignalDetail:
        """The whole record of one signal."""
        return self._get(f"/v1/signals/{segment(signal_id)}", SignalDetail)

    def blocked_signals(
        self,
        *,
        symbol: str | None = None,
        strategy: str | None = None,
        gate: str | None = None,
        since: datetime | None = None,
        every: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[BlockedSignalView]:
        """Newest first: the gate that was the reason, or with ``every`` each gate that blocked."""
        params = {"symbol": symbol, "strategy": strategy, "gate": gate, "since": since, "every": every}
        return self._get("/v1/blocked-signals", Page[BlockedSignalView], {**params, "limit": limit, "cursor": cursor})

    def scans(self, *, limit: int | None = None, cursor: str | None = None) -> Page[ScanView]:
        """Newest candle close first."""
        return self._get("/v1/scans", Page[ScanView], {"limit": limit, "cursor": cursor})

    # the whole system

    def halt_status(self) -> HaltView:
        return self._get("/v1/system/halt", HaltView)

    def halt(self, request: HaltRequest) -> HaltView:
        """No entries from now on."""
        return self._post("/v1/system/halt", request, HaltView)

    def resume(self, request: HaltRequest) -> HaltView:
        return self._post("/v1/system/resume", request, HaltView)

    def flatten(self, request: FlattenRequest, *, key: str | None = None) -> FlattenAccepted:
        """Halt and close everything. ``key`` makes the call safe to repeat (made if absent)."""
        return self._post("/v1/system/flatten", request, FlattenAccepted, {"Idempotency-Key": key or new_key()})

    # figures

    def portfolio(self) -> PortfolioView:
        return self._get("/v1/analytics/portfolio", PortfolioView)

    def pnl(self, period: str | None = None) -> PnlView:
        """Daily net P&L. ``period`` is today, 7d, 30d, 180d or all."""
        return self._get("/v1/analytics/pnl", PnlView, {"period": period})
