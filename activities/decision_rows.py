"""What a scan writes down of its decisions: facts of the gates, signals, and what each strategy decided on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from activities.due_strategies import ScanRequest
from activities.evaluating import Evaluated
from activities.market_readings import MarketReadings
from db.models import BtcMarketStateHistory, Scan, Signal, StrategyScan
from db.repositories.book import limits_of
from db.repositories.regimes import regime_fact
from domain.candidates import Candidate, leavings
from domain.gate_facts import Backtested, GateFacts
from domain.holdings import Held, Holdings
from domain.ids import position_id
from domain.strategies.contract import Panel
from observability.tracing import current_trace_id


@dataclass(frozen=True, slots=True)
class Wish:
    """One candidate of one strategy."""

    by: Evaluated
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the same for every wish of a scan; ``backtested`` by strategy, ``regime`` None: none is known."""

    request: ScanRequest
    market: MarketReadings
    settings: Mapping[str, Any]
    settings_version: int
    regime: BtcMarketStateHistory | None
    backtested: Mapping[str, Backtested]


def facts_of(wish: Wish, now: Circumstances, holdings: Holdings) -> GateFacts:
    """Everything the gates look at. ``holdings`` hold what this scan accepted before."""
    config, symbol = wish.by.due.config, wish.candidate.symbol
    market, instrument = now.market, wish.by.due.instruments[symbol]
    price = market.prices.get((config.category, symbol))
    cash = market.balances.get(instrument.quote_coin)
    return GateFacts(
        config=config,
        limits=limits_of(now.settings),
        book=holdings.book(config.strategy, config.category, symbol),
        close_at=now.request.close_at,
        now=market.now,
        missing_candles=wish.by.missing().get(symbol, 0),
        microstructure=wish.candidate.microstructure,
        instrument=instrument,
        price=price.price if price else None,
        price_age_seconds=price.age_seconds if price else None,
        free_balance=None if cash is None else cash - holdings.unpaid(market.paid),
        clock_offset_ms=market.clock_offset_ms,
        disaster_buffer_pct=Decimal(str(now.settings["disaster_buffer_pct"])),
        regime=regime_fact(now.regime),
        backtested=now.backtested[config.strategy],
        funding_rate=price.funding_rate if price else None,
    )


def signal_of(wish: Wish, now: Circumstances) -> Signal:
    """The row of a wish, but for what the gates saw and said."""
    config, candidate, request = wish.by.due.config, wish.candidate, now.request
    price = now.market.prices.get((config.category, candidate.symbol))
    needs = {each.name: each.value for each in candidate.microstructure}
    return Signal(
        signal_id=position_id(
            request.epoch, config.strategy, config.category, candidate.symbol, config.timeframe, request.close_at
        ),
        epoch=request.epoch,
        close_at=request.close_at,
        strategy=config.strategy,
        category=config.category,
        symbol=candidate.symbol,
        side=config.side,
        timeframe=config.timeframe,
        score=candidate.score,
        price=price.price if price else None,
        evidence=candidate.evidence,
        inputs={
            **_windows(wish.by),
            "microstructure": needs,
            "price_age_seconds": _finite(price.age_seconds) if price else None,
        },
        regime_id=now.regime.id if now.regime else None,
        config_version=config.version,
        settings_version=now.settings_version,
        decided_at=now.market.now,
        trace_id=current_trace_id(),
    )


def strategy_scan_of(evaluated: Evaluated, now: Circumstances) -> StrategyScan:
    """What a strategy decided on, whether it wants anything or not."""
    due, config = evaluated.due, evaluated.due.config
    return StrategyScan(
        epoch=now.request.epoch,
        close_at=now.request.close_at,
        strategy=config.strategy,
        category=config.category,
        timeframe=config.timeframe,
        config_version=config.version,
        settings_version=now.settings_version,
        regime_id=now.regime.id if now.regime else None,
        windows=_windows(evaluated),
        symbols=list(due.symbols),
        observed=sorted(set(due.symbols) - due.eligible),
        digests=evaluated.digests,
        missing=evaluated.missing(),
        held={
            each.symbol: {"exit": each.exit, "evidence": each.evidence}
            for each in leavings(evaluated.evaluation, evaluated.panel, due.held)
        },
        candidates=len(evaluated.candidates()),
    )


def score_rows(evaluated: Sequence[Evaluated], close_at: datetime) -> list[dict[str, Any]]:
    """What ``upsert_scores`` stores, of strategies whose watchlist gate is on."""
    return [
        {
            "strategy": each.due.config.strategy,
            "category": each.due.config.category,
            "symbol": scored.symbol,
            "score": scored.score,
            "evidence": scored.evidence,
            "close_at": close_at,
        }
        for each in evaluated
        if each.due.config.watchlist_gate
        for scored in each.scores()
    ]


def held_by(wish: Wish, signal: Signal) -> Held:
    """The place that an accepted wish takes."""
    config = wish.by.due.config
    return Held(signal.signal_id, config.strategy, config.category, signal.symbol, config.trade_usd)


def count(scan: Scan, evaluated: Sequence[Evaluated], now: datetime, wishes: int, accepted: int) -> None:
    """The scan's own figures."""
    scan.decided_at = now
    scan.symbols = len({(each.due.config.category, symbol) for each in evaluated for symbol in each.due.symbols})
    scan.incomplete = len({(each.due.config.category, symbol) for each in evaluated for symbol in each.missing()})
    scan.candidates, scan.accepted, scan.blocked = wishes, accepted, wishes - accepted


def _finite(seconds: float) -> float | None:
    """None for a stream that never was whole: JSON has no infinity."""
    return seconds if math.isfinite(seconds) else None


def _windows(evaluated: Evaluated) -> dict[str, Any]:
    """Enough to load the very same candles again."""
    windows = {str(timeframe): _window(panel) for timeframe, panel in evaluated.panels.items()}
    if evaluated.looked_at is not None:
        looked_at = {"symbols": list(evaluated.looked_at.symbols), "bars": evaluated.looked_at.bars}
        windows[str(evaluated.due.config.timeframe)]["microstructure"] = looked_at
    return windows


def _window(panel: Panel) -> dict[str, Any]:
    first, last = (panel.close_at(bar) - panel.timeframe.duration for bar in (0, -1))
    return {"first_open": first.isoformat(), "last_open": last.isoformat(), "bars": len(panel.open_time)}
