"""What a decision was made on, as the API tells it."""

from __future__ import annotations

from api.presenting_decisions import signal_view
from api.presenting_regime import regime_view
from db.deciding import SignalFacts
from db.models import BtcMarketStateHistory, StrategyScan
from db.replaying import decision_name
from domain.candle import Timeframe
from domain.market import Category
from domain.replay_views import SignalDetail, StrategyScanView


def strategy_scan_view(row: StrategyScan) -> StrategyScanView:
    return StrategyScanView(
        decision=decision_name(row),
        epoch=row.epoch,
        close_at=row.close_at,
        strategy=row.strategy,
        category=Category(row.category),
        timeframe=Timeframe(row.timeframe),
        config_version=row.config_version,
        settings_version=row.settings_version,
        regime_id=row.regime_id,
        symbols=len(row.symbols),
        incomplete=len(row.missing),
        missing=row.missing,
        candidates=row.candidates,
        windows=row.windows,
        held=row.held,
    )


def signal_detail(facts: SignalFacts, scan: StrategyScan | None, regime: BtcMarketStateHistory | None) -> SignalDetail:
    return SignalDetail(
        **signal_view(facts).model_dump(),
        facts=facts.row.facts,
        settings_version=facts.row.settings_version,
        scan=strategy_scan_view(scan) if scan is not None else None,
        regime=regime_view(regime) if regime is not None else None,
    )
