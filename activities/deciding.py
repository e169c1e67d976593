"""Deciding: strategies over panels, candidates in order, every gate's verdict, all stored in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.due_strategies import DueStrategy, ScanRequest, due_strategies, windows_of
from activities.failures import EXCHANGE_UNAVAILABLE, OTHER_MARKET, failure
from activities.market_readings import MarketReadings, read_market
from db.models import Scan, Signal
from db.repositories.audit import record_event
from db.repositories.book import Held, Holdings, limits_of, lock_reservations, read_holdings
from db.repositories.panels import load_panel
from db.repositories.scans import lock_scan
from db.repositories.settings import current_settings, settings_version
from db.repositories.signals import accepted_signals, add_signal, upsert_scores
from db.repositories.strategies import config_history
from db.session import Database
from domain.candidates import Candidate, candidates, scan_order, scores
from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.gates import GateFacts, GateVerdict, judge
from domain.ids import position_id
from domain.market import Category, PositionSide
from domain.strategies import STRATEGIES
from domain.strategies.contract import Evaluation, Panel, Strategy
from exchange.protocol import Exchange, ExchangeError
from observability.tracing import current_trace_id

Panels = Mapping[Timeframe, Panel]


class Accepted(BaseModel):
    """A signal that every gate let pass: the position to open. ``usd`` is quote coin."""

    position_id: str
    strategy: str
    category: Category
    symbol: str
    side: PositionSide
    usd: Decimal
    policy: ExitPolicy
    config_version: int


class Decided(BaseModel):
    """What one scan decided. ``accepted`` in the order in which they are to be opened."""

    accepted: list[Accepted]
    candidates: int


@dataclass(frozen=True, slots=True)
class _Evaluated:
    due: DueStrategy
    panels: Panels
    evaluation: Evaluation

    @property
    def panel(self) -> Panel:
        return self.panels[self.due.config.timeframe]

    def missing(self, symbol: str) -> int:
        """Bars of the strategy's windows that the symbol has no candle for."""
        row = self.panel.symbols.index(symbol)
        return sum(int(np.isnan(panel.close[row]).sum()) for panel in self.panels.values())


@dataclass(frozen=True, slots=True)
class _Wish:
    """One candidate of one strategy."""

    by: _Evaluated
    candidate: Candidate


class DecisionActivities:
    def __init__(self, database: Database, exchange: Exchange, strategies: Mapping[str, Strategy] = STRATEGIES) -> None:
        self._database = database
        self._exchange = exchange
        self._strategies = strategies

    @activity.defn
    async def decide(self, request: ScanRequest) -> Decided:
        """Decide on the close once: asked again, the stored decision is the answer."""
        async with beating():
            known = await self._decided_before(request)
            if known is not None:
                return known
            evaluated = await self._evaluate(request)
            wishes = [
                _Wish(each, candidate) for each in evaluated for candidate in candidates(each.evaluation, each.panel)
            ]
            wishes.sort(key=lambda wish: scan_order(wish.by.due.config.strategy, wish.candidate))
            try:
                market = await read_market(
                    self._database,
                    self._exchange,
                    {(wish.by.due.config.category, wish.candidate.symbol) for wish in wishes},
                )
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't read the market: {error}") from error
            if market.epoch != request.epoch:
                raise failure(OTHER_MARKET, f"the exchange runs market {market.epoch}, not {request.epoch}")
            await self._store(request, evaluated, wishes, market)
            decided = await self._decided_before(request)
            assert decided is not None, "just stored"
            return decided

    async def _decided_before(self, request: ScanRequest) -> Decided | None:
        async with self._database.session() as session:
            scan = await lock_scan(session, request.epoch, request.close_at)
            if scan.decided_at is None:
                return None
            signals = await accepted_signals(session, request.epoch, request.close_at)
            accepted = [await _accepted(session, signal) for signal in signals]
            return Decided(accepted=accepted, candidates=scan.candidates)

    async def _evaluate(self, request: ScanRequest) -> list[_Evaluated]:
        """Arithmetic on a thread: the guards of this process see their prices meanwhile."""
        async with self._database.session() as session:
            due = await due_strategies(session, self._strategies, request.timeframes)
            panels = [await load_panels(session, one, request.close_at) for one in due]
        return [
            _Evaluated(one, panel, await asyncio.to_thread(evaluate, one, panel))
            for one, panel in zip(due, panels, strict=True)
        ]

    async def _store(
        self, request: ScanRequest, evaluated: Sequence[_Evaluated], wishes: Sequence[_Wish], market: MarketReadings
    ) -> None:
        """Judge and write, alone with the book: what is reserved meanwhile comes before or after, never between."""
        async with self._database.session() as session:
            await lock_reservations(session)
            scan = await lock_scan(session, request.epoch, request.close_at)
            if scan.decided_at is not None:  # another attempt of this activity was quicker
                return
            settings = await current_settings(session)
            scan.settings_version = await settings_version(session)
            holdings = await read_holdings(session, request.epoch, market.now)
            accepted = 0
            for wish in wishes:
                verdicts = judge(_facts(request, wish, market, holdings, settings))
                signal = _signal(request, wish, market, scan)
                await add_signal(session, signal, verdicts, market.now)
                _tell(session, signal, verdicts, market.now)
                if signal.blocked_by is None:
                    accepted += 1
                    holdings = holdings.accepting(_held(signal, wish))
            await _store_scores(session, evaluated, request.close_at)
            _count(scan, evaluated, market.now, len(wishes), accepted)


async def load_panels(session: AsyncSession, due: DueStrategy, close_at: datetime) -> dict[Timeframe, Panel]:
    """What the strategy decides on at ``close_at``; microstructure on its own timeframe."""
    panels = {}
    for window in windows_of(due, close_at):
        own = window.timeframe is due.config.timeframe
        panels[window.timeframe] = await load_panel(
            session,
            window.category,
            window.timeframe,
            window.symbols,
            window.first,
            window.last,
            taker_volume=own and due.needs.taker_volume,
            open_interest=own and due.needs.open_interest,
        )
    return panels


def evaluate(due: DueStrategy, panels: Panels) -> Evaluation:
    return due.strategy.evaluate(panels, due.config.timeframe, due.parameters)


async def _accepted(session: AsyncSession, signal: Signal) -> Accepted:
    """The position of a stored signal, under the configuration it was decided by."""
    versions = await config_history(session, signal.strategy)
    row = next(each.row for each in versions if each.version == signal.config_version)
    return Accepted(
        position_id=signal.signal_id,
        strategy=signal.strategy,
        category=Category(signal.category),
        symbol=signal.symbol,
        side=PositionSide(signal.side),
        usd=Decimal(str(row["trade_usd"])),
        policy=ExitPolicy.model_validate(row["exit_policy"]),
        config_version=signal.config_version,
    )


def _facts(
    request: ScanRequest, wish: _Wish, market: MarketReadings, holdings: Holdings, settings: Mapping[str, Any]
) -> GateFacts:
    config, symbol = wish.by.due.config, wish.candidate.symbol
    price = market.prices.get((config.category, symbol))
    instrument = wish.by.due.instruments[symbol]
    cash = market.balances.get(instrument.quote_coin)
    return GateFacts(
        config=config,
        limits=limits_of(settings),
        book=holdings.book(config.strategy, config.category, symbol),
        close_at=request.close_at,
        now=market.now,
        missing_candles=wish.by.missing(symbol),
        microstructure=wish.candidate.microstructure,
        instrument=instrument,
        price=price.price if price else None,
        price_age_seconds=price.age_seconds if price else None,
        free_balance=None if cash is None else cash - holdings.unpaid(),
        clock_offset_ms=market.clock_offset_ms,
        disaster_buffer_pct=Decimal(str(settings["disaster_buffer_pct"])),
    )


def _signal(request: ScanRequest, wish: _Wish, market: MarketReadings, scan: Scan) -> Signal:
    config, candidate = wish.by.due.config, wish.candidate
    price = market.prices.get((config.category, candidate.symbol))
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
        inputs=_inputs(wish, price.age_seconds if price else None),
        config_version=config.version,
        settings_version=scan.settings_version,
        decided_at=market.now,
        trace_id=current_trace_id(),
    )


def _inputs(wish: _Wish, price_age_seconds: float | None) -> dict[str, Any]:
    """What the signal was decided on: enough to load the very same window again."""
    windows: dict[str, Any] = {
        timeframe: {
            "first_open": panel.close_at(0) - timeframe.duration,
            "last_open": panel.close_at(-1) - timeframe.duration,
            "bars": len(panel.open_time),
        }
        for timeframe, panel in wish.by.panels.items()
    }
    told = {
        timeframe: {name: value.isoformat() if isinstance(value, datetime) else value for name, value in window.items()}
        for timeframe, window in windows.items()
    }
    needs = {each.name: each.value for each in wish.candidate.microstructure}
    return {**told, "microstructure": needs, "price_age_seconds": price_age_seconds}


def _held(signal: Signal, wish: _Wish) -> Held:
    config = wish.by.due.config
    return Held(signal.signal_id, config.strategy, config.category, signal.symbol, config.trade_usd)


def _tell(session: AsyncSession, signal: Signal, verdicts: Sequence[GateVerdict], now: datetime) -> None:
    detail: dict[str, Any] = {"symbol": signal.symbol, "strategy": signal.strategy, "score": signal.score}
    reason = next((verdict for verdict in verdicts if not verdict.passed), None)
    if reason is not None:
        detail |= {"gate": reason.gate, "value": reason.value, "threshold": reason.threshold}
    kind = "signal_accepted" if reason is None else "signal_blocked"
    record_event(session, kind, signal.signal_id, who="scan", market_at=now, detail=detail)


async def _store_scores(session: AsyncSession, evaluated: Sequence[_Evaluated], close_at: datetime) -> None:
    rows = [
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
        for scored in scores(each.evaluation, each.panel)
        if np.isfinite(scored.score)
    ]
    await upsert_scores(session, rows)


def _count(scan: Scan, evaluated: Sequence[_Evaluated], now: datetime, wishes: int, accepted: int) -> None:
    scan.decided_at = now
    scan.symbols = len({(each.due.config.category, symbol) for each in evaluated for symbol in each.due.symbols})
    scan.incomplete = len(
        {
            (each.due.config.category, symbol)
            for each in evaluated
            for symbol in each.due.symbols
            if each.missing(symbol)
        }
    )
    scan.candidates, scan.accepted, scan.blocked = wishes, accepted, wishes - accepted
