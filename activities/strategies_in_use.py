"""The strategies whose decisions count, and the symbols they need whatever the universe says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Position
from db.repositories.strategies import current_configs, tell_unreadable
from domain.market import Category
from domain.position import ACTIVE_STATES
from domain.strategies.contract import Needs, Strategy, StrategyParameters
from domain.strategy_config import StrategyConfig

Markets = frozenset[tuple[Category, str]]


@dataclass(frozen=True, slots=True)
class InUse:
    """A strategy with what it is configured to do and what it needs for that."""

    config: StrategyConfig
    strategy: Strategy
    parameters: StrategyParameters
    needs: Needs


def in_use(config: StrategyConfig) -> bool:
    """Whether anything a strategy decides would count."""
    return config.watchlist_gate or config.buy_gate or config.sell_gate


async def strategies_in_use(session: AsyncSession, strategies: Mapping[str, Strategy]) -> list[InUse]:
    """Of ``strategies``, by name. One whose parameters are none is paged, once a version, and left out."""
    found = []
    for config in await current_configs(session):
        strategy = strategies.get(config.strategy)
        if strategy is None or not in_use(config):
            continue
        try:
            parameters = strategy.parameters.model_validate(config.parameters)
            needs = strategy.needs(parameters, config.timeframe)
        except ValueError as error:
            await tell_unreadable(session, config.strategy, config.version, str(error))
            continue
        found.append(InUse(config, strategy, parameters, needs))
    return found


async def held_by_strategy(session: AsyncSession) -> Mapping[tuple[str, Category], frozenset[str]]:
    """Symbols of positions that are not over yet, by strategy (or what else opened them) and category."""
    held: dict[tuple[str, Category], frozenset[str]] = defaultdict(frozenset)
    found = select(Position.strategy, Position.category, Position.symbol).where(Position.state.in_(ACTIVE_STATES))
    for strategy, category, symbol in await session.execute(found):
        held[strategy, Category(category)] |= {symbol}
    return held


async def needed_markets(session: AsyncSession, strategies: Mapping[str, Strategy]) -> Markets:
    """Markets whose data strategies need, in the universe or not: their own symbols, benchmarks, and what they hold."""
    held = await held_by_strategy(session)
    needed: set[tuple[Category, str]] = set()
    for one in await strategies_in_use(session, strategies):
        category = one.config.category
        symbols = held.get((one.config.strategy, category), frozenset()) | (one.needs.only or frozenset())
        if one.needs.benchmark is not None:
            symbols |= {one.needs.benchmark}
        needed |= {(category, symbol) for symbol in symbols}
    return frozenset(needed)
