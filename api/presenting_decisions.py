"""Settings, signals and scans as the API tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from db.deciding import SignalFacts
from db.models import (
    BlockedSignal,
    Scan,
    Signal,
    SystemSetting,
    SystemSettingHistory,
)
from domain.candle import Timeframe
from domain.config_diff import differences
from domain.decision_views import (
    BlockedSignalView,
    GateVerdictView,
    HaltView,
    ScanView,
    SettingsDiffView,
    SettingStep,
    SettingVersionView,
    SettingView,
    SignalView,
)
from domain.market import Category, PositionSide
from domain.strategy_views import FieldChange


def setting_view(row: SystemSetting) -> SettingView:
    return SettingView.model_validate(row, from_attributes=True)


def past_setting_view(row: SystemSettingHistory) -> SettingView:
    """A setting as it was then."""
    described = row.row["description"]
    return SettingView(
        key=row.key, value=row.row["value"], description=described, version=row.version, updated_at=row.valid_from
    )


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


def settings_diff_view(
    since: datetime,
    until: datetime,
    told: tuple[Mapping[str, Any], Mapping[str, Any]],
    between: Sequence[SystemSettingHistory],
) -> SettingsDiffView:
    """``told`` are the values in force at both instants, by key; ``between`` the versions that came between them."""
    return SettingsDiffView(
        since=since,
        until=until,
        changes=[FieldChange(field=each.field, was=each.was, now=each.now) for each in differences(*told)],
        steps=[
            SettingStep(
                key=row.key, version=row.version, changed_by=row.changed_by, reason=row.reason, at=row.valid_from
            )
            for row in between
        ],
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
