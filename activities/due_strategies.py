"""Which strategies decide at a candle close, on which symbols, and which candles that takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.market import list_instruments
from db.repositories.settings import current_settings
from db.repositories.strategies import current_configs, tell_unreadable
from domain.candle import Timeframe
from domain.market import Category, Instrument
from domain.strategies.contract import Needs, Strategy, StrategyParameters
from domain.strategy_config import StrategyConfig


class ScanRequest(BaseModel):
    """One candle close of one market, and the timeframes in use that close there."""

    epoch: str
    close_at: AwareDatetime
    timeframes: list[Timeframe]


@dataclass(frozen=True, slots=True)
class DueStrategy:
    """A strategy with what it is configured to do, what it needs, and its universe (by symbol)."""

    config: StrategyConfig
    strategy: Strategy
    parameters: StrategyParameters
    needs: Needs
    instruments: Mapping[str, Instrument]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted(self.instruments))


@dataclass(frozen=True, slots=True)
class Window:
    """``bars`` closed candles of each symbol, with open times from ``first`` to ``last``."""

    category: Category
    timeframe: Timeframe
    symbols: tuple[str, ...]
    first: datetime
    last: datetime
    bars: int


def in_use(config: StrategyConfig) -> bool:
    """Whether anything a strategy decides would count."""
    return config.watchlist_gate or config.buy_gate or config.sell_gate


async def due_strategies(
    session: AsyncSession, strategies: Mapping[str, Strategy], timeframes: Sequence[Timeframe]
) -> list[DueStrategy]:
    """Strategies in use whose timeframe closes now, by name. One whose parameters are none is paged and left out."""
    universe = await _universe(session)
    due = []
    for config in await current_configs(session):
        strategy = strategies.get(config.strategy)
        if strategy is None or not in_use(config) or config.timeframe not in timeframes:
            continue
        try:
            parameters = strategy.parameters.model_validate(config.parameters)
        except ValidationError as error:
            await tell_unreadable(session, config.strategy, config.version, str(error))
            continue
        instruments = {one.symbol: one for one in universe if one.category is config.category}
        needs = strategy.needs(parameters, config.timeframe)
        due.append(DueStrategy(config, strategy, parameters, needs, instruments))
    return due


async def _universe(session: AsyncSession) -> list[Instrument]:
    """Instruments of the setting ``universe`` that are known; an empty setting means all."""
    wanted = set((await current_settings(session))["universe"])
    return [one for one in await list_instruments(session) if not wanted or one.symbol in wanted]


def windows_of(due: DueStrategy, close_at: datetime) -> list[Window]:
    """The candles on which a strategy decides at ``close_at``: of each timeframe those that have closed by then."""
    return [
        _window(due.config.category, timeframe, due.symbols, bars, close_at)
        for timeframe, bars in due.needs.candles.items()
    ]


def together(windows: Iterable[Window]) -> list[Window]:
    """Windows of one market and timeframe as one: the longest, of every symbol."""
    merged: dict[tuple[Category, Timeframe], Window] = {}
    for window in windows:
        key = (window.category, window.timeframe)
        other = merged.get(key, window)
        longest = max(window, other, key=lambda each: each.bars)
        symbols = tuple(sorted({*window.symbols, *other.symbols}))
        merged[key] = Window(*key, symbols, longest.first, longest.last, longest.bars)
    return list(merged.values())


def _window(
    category: Category, timeframe: Timeframe, symbols: tuple[str, ...], bars: int, close_at: datetime
) -> Window:
    end = timeframe.floor(close_at)
    return Window(category, timeframe, symbols, end - bars * timeframe.duration, end - timeframe.duration, bars)
