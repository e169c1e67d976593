"""The end of a scan: positions whose strategy or regime lets them go, and closing the scan's books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.due_strategies import DueStrategy, ScanRequest, due_strategies
from activities.evaluating import answer_of
from activities.strategy_panels import load_panels
from db.models import Position, StrategyScan, SystemEvent
from db.replaying import decision_name
from db.repositories.audit import record_event
from db.repositories.order_versions import EXIT_SIGNAL, REGIME_LEFT
from db.repositories.positions import targets_of
from db.repositories.regimes import regime_at
from db.repositories.scans import DONE, decision_of, finish_scan, lock_scan
from db.repositories.settings import settings_version
from db.repositories.strategies import current_configs
from db.session import Database
from domain.candidates import leavings
from domain.exit_policy import ExitPolicy, ExitReason
from domain.position import PositionState
from domain.regime import Regime
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from domain.strategy_config import RegimeExit, StrategyConfig

Said = Mapping[str, Mapping[str, Any]]
"""Why symbols are let go, by symbol: what an audit row tells."""

EXIT_IGNORED = "strategy_exit_ignored"
REGIME_IGNORED = "regime_exit_ignored"
EXIT_NOT_DELIVERED = "strategy_exit_not_delivered"


class Exits(BaseModel):
    """Ids of open positions that are to leave. ``reasons`` names those that don't leave by their strategy's exit."""

    position_ids: list[str]
    reasons: dict[str, ExitReason] = {}

    def reason(self, position_id: str) -> ExitReason:
        return self.reasons.get(position_id, ExitReason.STRATEGY_EXIT)


class ScanEnd(BaseModel):
    """``exits`` were told to leave; ``undelivered`` could not be told: nothing runs for them."""

    request: ScanRequest
    exits: int
    undelivered: list[str]


class ScanExitActivities:
    def __init__(self, database: Database, strategies: Mapping[str, Strategy] = STRATEGIES) -> None:
        self._database = database
        self._strategies = strategies

    @activity.defn
    async def find_exits(self, request: ScanRequest) -> Exits:
        """Open positions that are to leave at this close, sell gate on.

        Those whose market is in a regime that their strategy is not to be in, if it says so (at once, also within their
        minimum hold); else those whose due strategy's exit is true on the bar that closed, held long enough. Where the
        sell gate is off a warning says so: the position is left to its guard and its stop.
        """
        async with beating():
            async with self._database.session() as session:
                configs = await current_configs(session)
                asked = await due_strategies(session, self._strategies, request.timeframes)
            exits = Exits(position_ids=[])
            for config in configs:  # a regime doesn't wait for a strategy's candle, nor for its being asked at all
                left = await self._left_by_regime(request, config)
                exits.position_ids += left
                exits.reasons |= dict.fromkeys(left, ExitReason.REGIME_EXIT)
            for due in asked:
                exits.position_ids += await self._left_by_strategy(request, due, set(exits.reasons))
            return exits

    async def _left_by_regime(self, request: ScanRequest, config: StrategyConfig) -> list[str]:
        if config.regime_exit is not RegimeExit.CLOSE:
            return []
        async with self._database.session() as session:
            row = await regime_at(session, request.epoch, request.close_at)
            if row is None or row.effective is None or Regime(row.effective) in config.regimes:
                return []
            held = await _held(session, config, request.close_at)
            kind = REGIME_LEFT if config.sell_gate else REGIME_IGNORED
            why = {"regime": row.effective, "regime_id": row.id, "config_version": config.version}
            return await _tell(
                session, held, config, request.close_at, kind, dict.fromkeys((p.symbol for p in held), why)
            )

    async def _left_by_strategy(self, request: ScanRequest, due: DueStrategy, leaving: set[str]) -> list[str]:
        """A strategy that raises is paged and has no exits: its positions are left to their guards."""
        async with self._database.session() as session:
            held = [
                each for each in await _held(session, due.config, request.close_at) if each.position_id not in leaving
            ]
            held = [each for each in held if await _held_long_enough(session, each, request.close_at)]
            if not held:
                return []
            decided = await decision_of(session, request.epoch, request.close_at, due.config.strategy)
        if decided is None or decided.held is None:
            said = await self._ask(request, due)
        else:
            said = _said(decided, decided.held)
        kind = EXIT_SIGNAL if due.config.sell_gate else EXIT_IGNORED
        leave = [each for each in held if each.symbol in said]
        async with self._database.session() as session:
            return await _tell(session, leave, due.config, request.close_at, kind, said)

    async def _ask(self, request: ScanRequest, due: DueStrategy) -> Said:
        """Of a strategy whose decision at this close tells nothing of what it holds: it raised then, or was asked by a
        version that kept no such record."""
        async with self._database.session() as session:
            (panels,) = await load_panels(session, [due], request.close_at, request.epoch)
        evaluation = await answer_of(self._database, due, panels, request.close_at)
        if evaluation is None:
            return {}
        found = leavings(evaluation, panels[due.config.timeframe], due.held)
        about = {"config_version": due.config.version}
        return {each.symbol: {**about, "evidence": each.evidence} for each in found if each.exit}

    @activity.defn
    async def finish_scan(self, end: ScanEnd) -> None:
        """The scan is done and its close is behind the market clock, in one transaction."""
        async with self._database.session() as session:
            scan = await lock_scan(session, end.request.epoch, end.request.close_at)
            if scan.state == DONE:
                return
            await finish_scan(session, scan, end.exits)
            for position_id in end.undelivered:
                record_event(session, EXIT_NOT_DELIVERED, position_id, who="scan", severity="page")
            record_event(
                session,
                "scan_done",
                f"{scan.close_at:%Y-%m-%dT%H:%M:%SZ}",
                who="scan",
                market_at=scan.close_at,
                detail={
                    "timeframes": scan.timeframes,
                    "symbols": scan.symbols,
                    "incomplete": scan.incomplete,
                    "candidates": scan.candidates,
                    "accepted": scan.accepted,
                    "blocked": scan.blocked,
                    "exits": end.exits,
                },
            )


def _said(decided: StrategyScan, held: Mapping[str, Any]) -> Said:
    """Whom the strategy lets go, as its decision at the close has it: that can be asked again."""
    about = {
        "decision": decision_name(decided),
        "config_version": decided.config_version,
        "settings_version": decided.settings_version,
        "regime_id": decided.regime_id,
    }
    return {symbol: {**about, "evidence": said["evidence"]} for symbol, said in held.items() if said["exit"]}


async def _held(session: AsyncSession, config: StrategyConfig, close_at: datetime) -> Sequence[Position]:
    """The strategy's open positions that were held before the bar closed."""
    rows = await session.scalars(
        select(Position)
        .where(
            Position.strategy == config.strategy,
            Position.category == config.category,
            Position.state == PositionState.OPEN,
            Position.opened_at < close_at,
        )
        .order_by(Position.position_id)
    )
    return rows.all()


async def _held_long_enough(session: AsyncSession, position: Position, close_at: datetime) -> bool:
    """Whether the position's minimum hold is over."""
    targets = await targets_of(session, position.position_id, position.target_version)
    policy = ExitPolicy.model_validate(targets.policy)
    assert position.opened_at is not None
    return position.opened_at + timedelta(seconds=policy.min_hold_seconds) <= close_at


async def _tell(
    session: AsyncSession,
    leaving: Iterable[Position],
    config: StrategyConfig,
    close_at: datetime,
    kind: str,
    said: Said,
) -> list[str]:
    """The audit row of each exit with what was ``said``, once: a repeat of the activity finds it there. Who of them is
    to leave."""
    told = list(leaving)
    if not told:
        return []
    decided_by = {"config_version": config.version, "settings_version": await settings_version(session)}
    for position in told:
        known = await session.scalar(
            select(SystemEvent.id)
            .where(SystemEvent.subject == position.position_id, SystemEvent.kind == kind)
            .where(SystemEvent.market_at == close_at)
            .limit(1)
        )
        if known is None:
            about = {"strategy": config.strategy, "symbol": position.symbol, "sell_gate": config.sell_gate}
            record_event(
                session,
                kind,
                position.position_id,
                who="scan",
                severity="info" if config.sell_gate else "warning",
                market_at=close_at,
                detail={**about, **decided_by, **said[position.symbol]},
            )
    return [position.position_id for position in told] if config.sell_gate else []
