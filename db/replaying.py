"""Decisions as they were written down, with the panels they were made on loaded anew: what a replay needs.

A decision is named by a signal's id, or STRATEGY@CLOSE (an instant) for everything a strategy decided at a close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.cursors import decode_cursor
from db.models import BtcMarketStateHistory, Signal, StrategyScan
from db.repositories.book import limits_of
from db.repositories.panel_microstructure import LookedAt
from db.repositories.regimes import regime_fact
from db.repositories.settings import settings_at
from db.repositories.strategies import config_history
from db.repositories.strategy_panels import PanelRows, load_strategy_panels
from domain.candle import Timeframe
from domain.gate_facts import Limits
from domain.market import Category
from domain.replay_views import ReplayView
from domain.replaying import StoredDecision, StoredSignal, replay
from domain.strategies.contract import Panel, Strategy
from domain.strategy_config import StrategyConfig

AT: Final = "@"


class UnknownDecision(LookupError):
    """Nothing was decided under this name."""


class NotReplayable(Exception):
    """What the decision was made on, or by, is not there any more; the message says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A decision and everything to ask it again with."""

    stored: StoredDecision
    strategy: Strategy
    panels: Mapping[Timeframe, Panel]

    def again(self) -> ReplayView:
        """Pure arithmetic, for a thread."""
        return replay(self.stored, self.strategy, self.panels)


def decision_name(scan: StrategyScan) -> str:
    """STRATEGY@CLOSE."""
    return f"{scan.strategy}{AT}{scan.close_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def load_decision(session: AsyncSession, decision: str, strategies: Mapping[str, Strategy]) -> Asked:
    """The decision of this name. Raises UnknownDecision and NotReplayable."""
    if AT in decision:
        scan = await _scan_named(session, decision)
        return await load_scan(session, scan, strategies)
    signal = await session.get(Signal, decision)
    if signal is None:
        raise UnknownDecision(decision)
    scan = await scan_of(session, signal)
    if scan is None:
        raise NotReplayable("it was decided before the inputs of decisions were kept")
    return await _asked(session, decision, scan, [signal], strategies, whole=False)


async def load_scan(session: AsyncSession, scan: StrategyScan, strategies: Mapping[str, Strategy]) -> Asked:
    """Everything that a strategy decided at one close. Raises NotReplayable."""
    signals = await session.scalars(
        select(Signal)
        .where(Signal.epoch == scan.epoch, Signal.close_at == scan.close_at, Signal.strategy == scan.strategy)
        .order_by(Signal.score.desc(), Signal.symbol)
    )
    return await _asked(session, decision_name(scan), scan, signals.all(), strategies, whole=True)


async def scan_of(session: AsyncSession, signal: Signal) -> StrategyScan | None:
    """What the signal's strategy decided on; None of a signal from before that was kept."""
    return await session.get(StrategyScan, (signal.epoch, signal.close_at, signal.strategy))


async def regime_of(session: AsyncSession, signal: Signal) -> BtcMarketStateHistory | None:
    """The regime that the signal's decision knew."""
    return None if signal.regime_id is None else await session.get(BtcMarketStateHistory, signal.regime_id)


async def list_decisions(
    session: AsyncSession,
    *,
    strategy: str | None = None,
    epoch: str | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: int,
) -> Sequence[StrategyScan]:
    """What strategies decided on, newest close first; ``since`` is the earliest close. Raises BadCursor."""
    row = StrategyScan
    query = select(row).order_by(row.close_at.desc(), row.strategy.desc(), row.epoch.desc()).limit(limit)
    if strategy is not None:
        query = query.where(row.strategy == strategy)
    if epoch is not None:
        query = query.where(row.epoch == epoch)
    if since is not None:
        query = query.where(row.close_at >= since)
    if cursor is not None:
        at, name = decode_cursor(cursor)
        before, _, market = name.partition(AT)
        query = query.where(tuple_(row.close_at, row.strategy, row.epoch) < tuple_(at, before, market))
    return (await session.scalars(query)).all()


async def _scan_named(session: AsyncSession, decision: str) -> StrategyScan:
    """The newest one of that strategy and close: another market may have had the same instant."""
    strategy, _, text = decision.partition(AT)
    try:
        close_at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnknownDecision(decision) from error
    if close_at.tzinfo is None:
        close_at = close_at.replace(tzinfo=UTC)
    row = StrategyScan
    scan = await session.scalar(
        select(row)
        .where(row.strategy == strategy, row.close_at == close_at)
        .order_by(row.recorded_wall.desc())
        .limit(1)
    )
    if scan is None:
        raise UnknownDecision(decision)
    return scan


async def _asked(
    session: AsyncSession,
    decision: str,
    scan: StrategyScan,
    signals: Sequence[Signal],
    strategies: Mapping[str, Strategy],
    *,
    whole: bool,
) -> Asked:
    strategy = strategies.get(scan.strategy)
    if strategy is None:
        raise NotReplayable(f"there is no code of strategy {scan.strategy} any more")
    config = await _config_of(session, scan)
    regime = None if scan.regime_id is None else await session.get(BtcMarketStateHistory, scan.regime_id)
    stored = StoredDecision(
        decision=decision,
        epoch=scan.epoch,
        close_at=scan.close_at,
        timeframe=Timeframe(scan.timeframe),
        config=config,
        settings_version=scan.settings_version,
        regime_id=scan.regime_id,
        regime=regime_fact(regime),
        digests=scan.digests,
        observed=frozenset(scan.observed),
        signals=[_stored(signal) for signal in signals],
        whole=whole,
        held=scan.held,
        limits=await _limits(session, scan.settings_version),
    )
    return Asked(stored, strategy, await _panels(session, scan, strategy, config))


async def _limits(session: AsyncSession, version: int) -> Limits | None:
    """The limits of then; None if the history doesn't reach back to them."""
    try:
        return limits_of(await settings_at(session, version))
    except KeyError:
        return None


def _stored(signal: Signal) -> StoredSignal:
    return StoredSignal(
        symbol=signal.symbol,
        score=signal.score,
        evidence=signal.evidence,
        facts=signal.facts,
        verdicts=signal.verdicts,
        blocked_by=signal.blocked_by,
    )


async def _config_of(session: AsyncSession, scan: StrategyScan) -> StrategyConfig:
    """The configuration version that decided, from the history."""
    for version in await config_history(session, scan.strategy):
        if version.version == scan.config_version:
            known: dict[str, Any] = {
                name: version.row[name] for name in StrategyConfig.model_fields if name in version.row
            }
            try:
                return StrategyConfig.model_validate(known)
            except ValidationError as error:
                told = f"version {scan.config_version} of {scan.strategy} makes no sense any more: {error}"
                raise NotReplayable(told) from error
    raise NotReplayable(f"the history has no version {scan.config_version} of {scan.strategy}")


async def _panels(
    session: AsyncSession, scan: StrategyScan, strategy: Strategy, config: StrategyConfig
) -> Mapping[Timeframe, Panel]:
    """The windows of then, with what the strategy needs now of the rows that were known then."""
    try:
        needs = strategy.needs(strategy.parameters.model_validate(config.parameters), Timeframe(scan.timeframe))
    except ValueError as error:
        raise NotReplayable(f"the parameters of version {scan.config_version} are none any more: {error}") from error
    spans = {
        Timeframe(timeframe): (datetime.fromisoformat(each["first_open"]), datetime.fromisoformat(each["last_open"]))
        for timeframe, each in scan.windows.items()
    }
    looked_at = scan.windows[scan.timeframe].get("microstructure")
    rows = PanelRows(
        scan.epoch,
        Category(scan.category),
        Timeframe(scan.timeframe),
        scan.symbols,
        spans,
        LookedAt(**looked_at) if looked_at is not None else None,  # decisions of before looked at everybody's
    )
    return await load_strategy_panels(session, rows, needs, known_by=scan.recorded_wall)
