"""Calls about strategies: what they are, their gates and stage, their numbers, their versions."""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport, segment
from domain.strategy_views import (
    BulkRequest,
    GateRequest,
    ParametersView,
    StageRequest,
    StrategyChange,
    StrategyDiffView,
    StrategyVersionView,
    StrategyView,
)
from domain.views import Page


class StrategyCalls(Transport):
    """Part of ``AtsClient``."""

    def strategies(self) -> list[StrategyView]:
        """Every strategy, by name."""
        return self._get("/v1/strategies", list[StrategyView])

    def strategy(self, name: str) -> StrategyView:
        return self._get(f"/v1/strategies/{segment(name)}", StrategyView)

    def switch_gate(self, name: str, request: GateRequest) -> StrategyView:
        return self._post(f"/v1/strategies/{segment(name)}/gates", request, StrategyView)

    def set_stage(self, name: str, request: StageRequest) -> StrategyView:
        """Set all three gates as the stage wants them."""
        return self._post(f"/v1/strategies/{segment(name)}/stage", request, StrategyView)

    def change_strategy(self, name: str, request: StrategyChange) -> StrategyView:
        return self._patch(f"/v1/strategies/{segment(name)}", request, StrategyView)

    def change_strategies(self, request: BulkRequest) -> list[StrategyView]:
        """Change several for one reason, all or none; they come back in the order in which they were named."""
        return self._post("/v1/strategies/bulk", request, list[StrategyView])

    def strategy_parameters(self, name: str) -> ParametersView:
        """What can be set: every parameter with its value, default and bounds."""
        return self._get(f"/v1/strategies/{segment(name)}/parameters", ParametersView)

    def strategy_history(
        self, name: str, *, as_of: datetime | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[StrategyVersionView]:
        """Versions of the configuration, newest first; with ``as_of`` (wall) the one in force then."""
        params = {"as_of": as_of, "limit": limit, "cursor": cursor}
        return self._get(f"/v1/strategies/{segment(name)}/history", Page[StrategyVersionView], params)

    def strategy_diff(
        self, name: str, *, from_version: int | None = None, to_version: int | None = None
    ) -> StrategyDiffView:
        """What differs between two versions; unless named they are the newest and the one before it."""
        params = {"from": from_version, "to": to_version}
        return self._get(f"/v1/strategies/{segment(name)}/diff", StrategyDiffView, params)
