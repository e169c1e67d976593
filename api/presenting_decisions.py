"""Strategies, settings, signals and scans as the API tells them."""

from __future__ import annotations

from db.deciding import SignalFacts, StrategyFigures
from db.models import (
    BlockedSignal,
    Scan,
    Signal,
    StrategyConfiguration,
    SystemSetting,
    SystemSettingHistory,
    WatchlistScore,
)
from db.repositories.strategies import ConfigVersion, config_of
from domain.candle import Timeframe
from domain.decision_views import (
    BlockedSignalView,
    GateVerdictView,
    HaltView,
    ScanView,
    SettingVersionView,
    SettingView,
    SignalView,
    StrategyVersionView,
    StrategyView,
    WatchlistView,
)
from domain.market import Category, PositionSide
from domain.strategies import STRATEGIES
from domain.strategy_config import StrategyConfig


def stage_of(config: StrategyConfig, open_positions: int) -> str:
    """What the gates together let a strategy do."""
    if config.buy_gate:
        return "active"
    if config.sell_gate and open_positions > 0:
        return "reduce_only"
    return "watchlist" if config.watchlist_gate else "off"


def strategy_view(row: StrategyConfiguration, figures: StrategyFigures) -> StrategyView:
    config = config_of(row)
    known = STRATEGIES.get(config.strategy)
    return StrategyView(
        **{name: getattr(config, name) for name in StrategyConfig.model_fields},
        title=known.title if known is not None else config.strategy,
        stage=stage_of(config, figures.open_positions),
        updated_at=row.updated_at,
        open_positions=figures.open_positions,
        signals_24h=figures.signals_24h,
        realised_pnl=figures.realised_pnl,
    )


def strategy_version_view(version: ConfigVersion) -> StrategyVersionView:
    return StrategyVersionView.model_validate(version, from_attributes=True)


def setting_view(row: SystemSetting) -> SettingView:
    return SettingView.model_validate(row, from_attributes=True)


def setting_version_view(row: SystemSettingHistory) -> SettingVersionView:
    return SettingVersionView(
        key=row.key,
        value=row.row["value"],
        version=row.version,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        changed_by=row.changed_by,
        reason=row.reason,
    )


def halt_view(row: SystemSettingHistory) -> HaltView:
    return HaltView(halted=row.row["value"] is True, changed_by=row.changed_by, reason=row.reason, since=row.valid_from)


def signal_view(facts: SignalFacts) -> SignalView:
    row = facts.row
    return SignalView(
        signal_id=row.signal_id,
        close_at=row.close_at,
        decided_at=row.decided_at,
        strategy=row.strategy,
        category=Category(row.category),
        symbol=row.symbol,
        side=PositionSide(row.side),
        timeframe=Timeframe(row.timeframe),
        score=row.score,
        price=row.price,
        outcome=facts.outcome,
        blocked_by=facts.blocked_by,
        position_id=row.signal_id if facts.has_position else None,
        evidence=row.evidence,
        inputs=row.inputs,
        verdicts=[GateVerdictView.model_validate(verdict) for verdict in row.verdicts],
        config_version=row.config_version,
        trace_id=row.trace_id,
    )


def blocked_view(block: BlockedSignal, signal: Signal) -> BlockedSignalView:
    return BlockedSignalView(
        id=block.id,
        signal_id=block.signal_id,
        close_at=signal.close_at,
        at=block.at,
        strategy=signal.strategy,
        category=Category(signal.category),
        symbol=signal.symbol,
        side=PositionSide(signal.side),
        stage=block.stage,
        place=block.place,
        gate=block.gate,
        value=block.value,
        threshold=block.threshold,
        detail=block.detail,
    )


def scan_view(row: Scan) -> ScanView:
    seconds = (row.finished_wall - row.started_wall).total_seconds() if row.finished_wall is not None else None
    return ScanView(
        close_at=row.close_at,
        timeframes=row.timeframes,
        state=row.state,
        decided_at=row.decided_at,
        symbols=row.symbols,
        incomplete=row.incomplete,
        candidates=row.candidates,
        accepted=row.accepted,
        blocked=row.blocked,
        exits=row.exits,
        seconds=seconds,
    )


def watchlist_view(row: WatchlistScore) -> WatchlistView:
    return WatchlistView.model_validate(row, from_attributes=True)
