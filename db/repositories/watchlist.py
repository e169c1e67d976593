"""The watchlist's places: those of now, and those of every close that was scanned."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.cursors import decode_cursor
from db.models import Scan, WatchlistEntry, WatchlistScore
from db.repositories.strategies import current_configs
from domain.market import Category, PositionSide
from domain.strategies import STRATEGIES
from domain.strategies.contract import Strategy
from domain.strategy_config import StrategyConfig
from domain.watchlist import Place, Score, Watcher, places


async def watchers(session: AsyncSession, strategies: Mapping[str, Strategy] = STRATEGIES) -> list[Watcher]:
    """The strategies whose watchlist gate is on now, by name. One whose parameters are none watches nothing."""
    found = [
        _watcher(config, strategies[config.strategy])
        for config in await current_configs(session)
        if config.watchlist_gate and config.strategy in strategies
    ]
    return [each for each in found if each is not None]


def _watcher(config: StrategyConfig, strategy: Strategy) -> Watcher | None:
    try:
        parameters = strategy.parameters.model_validate(config.parameters)
    except ValidationError:  # the scan pages it
        return None
    only = strategy.needs(parameters, config.timeframe).only
    return Watcher(config.strategy, config.category, config.side, config.timeframe, only)


async def last_close(session: AsyncSession) -> tuple[str, datetime] | None:
    """The market (epoch) that was scanned last and the newest close decided there: what is watched is as of then."""
    decided = Scan.decided_at.is_not(None)
    epoch = await session.scalar(select(Scan.epoch).where(decided).order_by(Scan.started_wall.desc()).limit(1))
    if epoch is None:
        return None
    close_at = await session.scalar(select(func.max(Scan.close_at)).where(decided, Scan.epoch == epoch))
    assert close_at is not None
    return epoch, close_at


async def places_at(
    session: AsyncSession, close_at: datetime, strategies: Mapping[str, Strategy] = STRATEGIES
) -> list[Place]:
    """Every place of both sides by the scores that are stored now, as of ``close_at``; longs first, by rank."""
    watching = await watchers(session, strategies)
    rows = await session.execute(
        select(
            WatchlistScore.strategy,
            WatchlistScore.category,
            WatchlistScore.symbol,
            WatchlistScore.score,
            WatchlistScore.close_at,
        )
    )
    scores = [Score(row.strategy, Category(row.category), row.symbol, row.score, row.close_at) for row in rows]
    return [each for side in PositionSide for each in places(scores, watching, side, close_at)]


async def scores_of(session: AsyncSession, symbols: Collection[str]) -> dict[tuple[str, str], WatchlistScore]:
    """The newest score each strategy gave each of ``symbols``, by strategy and symbol."""
    rows = await session.scalars(
        select(WatchlistScore).where(WatchlistScore.symbol.in_(symbols)).order_by(WatchlistScore.close_at)
    )
    return {(row.strategy, row.symbol): row for row in rows}


async def store_places(
    session: AsyncSession,
    epoch: str,
    close_at: datetime,
    size: int,
    strategies: Mapping[str, Strategy] = STRATEGIES,
) -> None:
    """Keep the first ``size`` places of each side at ``close_at``, once the scores of that close are stored.

    Again changes nothing: what was the watchlist of a close stays it.
    """
    known = select(WatchlistEntry.rank).where(WatchlistEntry.epoch == epoch, WatchlistEntry.close_at == close_at)
    if await session.scalar(known.limit(1)) is not None:
        return
    rows = [
        {
            "epoch": epoch,
            "close_at": close_at,
            "side": each.side.value,
            "symbol": each.symbol,
            "rank": each.rank,
            "composite": each.composite,
            "scores": dict(each.scores),
        }
        for each in await places_at(session, close_at, strategies)
        if each.rank <= size
    ]
    for chunk in in_chunks(rows):
        await session.execute(insert(WatchlistEntry).values(list(chunk)).on_conflict_do_nothing())


async def place_history(
    session: AsyncSession,
    epoch: str,
    symbol: str,
    *,
    side: PositionSide | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: int,
) -> Sequence[WatchlistEntry]:
    """The places a symbol had, newest close first; ``since`` is the earliest close. Raises BadCursor."""
    entry = WatchlistEntry
    query = (
        select(entry)
        .where(entry.epoch == epoch, entry.symbol == symbol)
        .order_by(entry.close_at.desc(), entry.side.desc())
        .limit(limit)
    )
    if side is not None:
        query = query.where(entry.side == side.value)
    if since is not None:
        query = query.where(entry.close_at >= since)
    if cursor is not None:
        query = query.where(tuple_(entry.close_at, entry.side) < tuple_(*decode_cursor(cursor)))
    return (await session.scalars(query)).all()


async def kept_at(session: AsyncSession, epoch: str, market_instant: datetime | None) -> Sequence[WatchlistEntry]:
    """The list kept at the newest close decided by ``market_instant`` (None: of all), longs first, by rank."""
    newest = select(func.max(Scan.close_at)).where(Scan.epoch == epoch, Scan.decided_at.is_not(None))
    if market_instant is not None:
        newest = newest.where(Scan.close_at <= market_instant)
    entry = WatchlistEntry
    query = select(entry).where(entry.epoch == epoch, entry.close_at == newest.scalar_subquery())
    return (await session.scalars(query.order_by(entry.side, entry.rank))).all()


async def first_listings(
    session: AsyncSession, epoch: str, side: PositionSide, start: datetime, end: datetime
) -> dict[str, datetime]:
    """Symbols that were on the list at a close in [start, end), with the first such close."""
    entry = WatchlistEntry
    rows = await session.execute(
        select(entry.symbol, func.min(entry.close_at).label("first"))
        .where(entry.epoch == epoch, entry.side == side.value, entry.close_at >= start, entry.close_at < end)
        .group_by(entry.symbol)
    )
    return {row.symbol: row.first for row in rows}
