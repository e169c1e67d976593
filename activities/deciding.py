"""Deciding: strategies over panels, candidates in order, every gate's verdict, all stored in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.decision_rows import (
    Circumstances,
    Wish,
    count,
    facts_of,
    held_by,
    score_rows,
    signal_of,
    strategy_scan_of,
)
from activities.due_strategies import ScanRequest
from activities.evaluating import Evaluated, evaluate_due
from activities.failures import EXCHANGE_UNAVAILABLE, OTHER_MARKET, failure
from activities.market_readings import MarketReadings, read_market
from db.models import Signal
from db.repositories.audit import record_event
from db.repositories.backtests import backtest_facts
from db.repositories.book import lock_reservations, read_holdings
from db.repositories.regimes import regime_at
from db.repositories.scans import lock_scan
from db.repositories.settings import current_settings, settings_version
from db.repositories.signals import accepted_signals, add_signal, upsert_scores
from db.repositories.strategies import config_history
from db.repositories.watchlist import store_places
from db.session import Database
from domain.candidates import scan_order
from domain.exit_policy import ExitPolicy
from domain.gate_facts import GateVerdict
from domain.gates import judge
from domain.market import Category, PositionSide
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from exchange.protocol import Exchange, ExchangeError


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
            wishes = [Wish(each, candidate) for each in evaluated for candidate in each.candidates()]
            wishes.sort(key=lambda wish: scan_order(wish.by.due.config.strategy, wish.candidate))
            market = await self._read_market(request, wishes)
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

    async def _evaluate(self, request: ScanRequest) -> list[Evaluated]:
        try:
            return await evaluate_due(self._database, self._exchange, self._strategies, request)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"can't complete the microstructure: {error}") from error

    async def _read_market(self, request: ScanRequest, wishes: Sequence[Wish]) -> MarketReadings:
        wanted = {(wish.by.due.config.category, wish.candidate.symbol) for wish in wishes}
        try:
            market = await read_market(self._database, self._exchange, wanted)
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"can't read the market: {error}") from error
        if market.epoch != request.epoch:
            raise failure(OTHER_MARKET, f"the exchange runs market {market.epoch}, not {request.epoch}")
        return market

    async def _store(
        self, request: ScanRequest, evaluated: Sequence[Evaluated], wishes: Sequence[Wish], market: MarketReadings
    ) -> None:
        """Judge and write, alone with the book: what is reserved meanwhile comes before or after, never between."""
        async with self._database.session() as session:
            await lock_reservations(session)
            scan = await lock_scan(session, request.epoch, request.close_at)
            if scan.decided_at is not None:  # another attempt of this activity was quicker
                return
            now = await self._circumstances(session, request, evaluated, market)
            scan.settings_version = now.settings_version
            session.add_all(strategy_scan_of(each, now) for each in evaluated)
            accepted = await _judge(session, wishes, now)
            await upsert_scores(session, score_rows(evaluated, request.close_at))
            size = int(now.settings["watchlist_size"])
            await store_places(session, request.epoch, request.close_at, size, self._strategies)
            count(scan, evaluated, market.now, len(wishes), accepted)

    async def _circumstances(
        self, session: AsyncSession, request: ScanRequest, evaluated: Sequence[Evaluated], market: MarketReadings
    ) -> Circumstances:
        settings = await current_settings(session)
        configs = [each.due.config for each in evaluated]
        mode = self._exchange.mode
        return Circumstances(
            request=request,
            market=market,
            settings=settings,
            settings_version=await settings_version(session),
            regime=await regime_at(session, request.epoch, request.close_at),
            backtested={each.strategy: await backtest_facts(session, settings, mode, each) for each in configs},
        )


async def _judge(session: AsyncSession, wishes: Sequence[Wish], now: Circumstances) -> int:
    """Every gate's verdict on every wish, best first, stored; how many were accepted. What is accepted holds its place
    for those after it."""
    holdings = await read_holdings(session, now.request.epoch, now.market.now)
    accepted = 0
    for wish in wishes:
        facts = facts_of(wish, now, holdings)
        verdicts = judge(facts)
        signal = signal_of(wish, now)
        await add_signal(session, signal, facts, verdicts, now.market.now)
        _tell(session, signal, verdicts, now)
        if signal.blocked_by is None:
            accepted += 1
            holdings = holdings.accepting(held_by(wish, signal))
    return accepted


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


def _tell(session: AsyncSession, signal: Signal, verdicts: Sequence[GateVerdict], now: Circumstances) -> None:
    detail: dict[str, Any] = {"symbol": signal.symbol, "strategy": signal.strategy, "score": signal.score}
    reason = next((verdict for verdict in verdicts if not verdict.passed), None)
    if reason is not None:
        detail |= {"gate": reason.gate, "value": reason.value, "threshold": reason.threshold}
    kind = "signal_accepted" if reason is None else "signal_blocked"
    record_event(session, kind, signal.signal_id, who="scan", market_at=now.market.now, detail=detail)
