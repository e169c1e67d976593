"""Which strategies decide at a candle close, on which symbols, and which candles that takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from activities.strategies_in_use import InUse, Markets, held_by_strategy, strategies_in_use
from db.repositories.market import list_instruments
from db.repositories.settings import current_settings
from db.repositories.universe import members
from domain.candle import Timeframe
from domain.market import Category, Instrument
from domain.strategies.contract import Needs, Strategy, StrategyParameters
from domain.strategy_config import StrategyConfig
from domain.universe import UniverseRules


class ScanRequest(BaseModel):
    """One candle close of one market, and the timeframes in use that close there."""

    epoch: str
    close_at: AwareDatetime
    timeframes: list[Timeframe]


@dataclass(frozen=True, slots=True)
class DueStrategy:
    """A strategy with what it is configured to do, what it needs, and the instruments of its panels (by symbol).

    Only ``eligible`` symbols may be entered or watched. The others are its benchmark, and symbols that it holds (all
    those are ``held``) though they have left its universe: its exits go on.
    """

    config: StrategyConfig
    strategy: Strategy
    parameters: StrategyParameters
    needs: Needs
    instruments: Mapping[str, Instrument]
    eligible: frozenset[str]
    held: frozenset[str]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of its panels, in their order."""
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

    @property
    def newest(self) -> Window:
        """Its last candle alone."""
        return replace(self, first=self.last, bars=1)


@dataclass(frozen=True, slots=True)
class MicrostructureWanted:
    """What a strategy that wants to enter looks at besides candles: the kinds that ``needs`` names, of the symbols of
    ``window`` (of its own timeframe), over its bars."""

    needs: Needs
    window: Window


@dataclass(frozen=True, slots=True)
class _Markets:
    """What is known to be listed, what of it is the universe, by which rules, and what each strategy holds."""

    listed: Mapping[Category, Mapping[str, Instrument]]
    universe: Markets
    rules: UniverseRules
    held: Mapping[tuple[str, Category], frozenset[str]]


async def due_strategies(
    session: AsyncSession, strategies: Mapping[str, Strategy], timeframes: Sequence[Timeframe]
) -> list[DueStrategy]:
    """Strategies in use whose timeframe closes now, by name."""
    asked = [one for one in await strategies_in_use(session, strategies) if one.config.timeframe in timeframes]
    if not asked:
        return []
    markets = await _markets(session)
    return [_due(one, markets) for one in asked]


def _due(asked: InUse, markets: _Markets) -> DueStrategy:
    config, needs = asked.config, asked.needs
    listed = markets.listed.get(config.category, {})
    universe = {symbol for category, symbol in markets.universe if category is config.category}
    own = universe if needs.only is None else {one for one in needs.only if not markets.rules.forbids(one)}
    eligible = own & listed.keys()
    held = markets.held.get((config.strategy, config.category), frozenset())
    shown = eligible | held
    if needs.benchmark is not None:
        shown |= {needs.benchmark}
    instruments = {symbol: listed[symbol] for symbol in shown if symbol in listed}
    held &= instruments.keys()
    return DueStrategy(config, asked.strategy, asked.parameters, needs, instruments, frozenset(eligible), held)


async def _markets(session: AsyncSession) -> _Markets:
    listed: dict[Category, dict[str, Instrument]] = defaultdict(dict)
    for one in await list_instruments(session):
        listed[one.category][one.symbol] = one
    universe = frozenset((one.category, one.symbol) for one in await members(session))
    rules = UniverseRules.of(await current_settings(session))
    return _Markets(listed, universe, rules, await held_by_strategy(session))


def windows_of(due: DueStrategy, close_at: datetime) -> list[Window]:
    """The candles on which a strategy decides at ``close_at``: of each timeframe those that have closed by then."""
    return [
        _window(due.config.category, timeframe, due.symbols, bars, close_at)
        for timeframe, bars in due.needs.candles.items()
    ]


def microstructure_of(due: DueStrategy, symbols: Sequence[str], close_at: datetime) -> MicrostructureWanted:
    """What the strategy looks at of ``symbols``, which it wants to enter at ``close_at``."""
    bars = min(due.needs.microstructure_bars, due.needs.candles[due.config.timeframe])
    window = _window(due.config.category, due.config.timeframe, tuple(symbols), bars, close_at)
    return MicrostructureWanted(due.needs, window)


def together(windows: Iterable[Window]) -> list[Window]:
    """Windows of one close without doubles: of every market and timeframe each symbol once, in its longest window."""
    longest: dict[tuple[Category, Timeframe, str], Window] = {}
    for window in windows:
        for symbol in window.symbols:
            key = window.category, window.timeframe, symbol
            longest[key] = max(window, longest.get(key, window), key=lambda each: each.bars)
    merged: dict[tuple[Category, Timeframe, int], list[str]] = defaultdict(list)
    for (category, timeframe, symbol), window in longest.items():
        merged[category, timeframe, window.bars].append(symbol)
    spans = {(each.category, each.timeframe, each.bars): each for each in longest.values()}
    return [
        Window(*key[:2], tuple(sorted(symbols)), spans[key].first, spans[key].last, spans[key].bars)
        for key, symbols in merged.items()
    ]


def _window(
    category: Category, timeframe: Timeframe, symbols: tuple[str, ...], bars: int, close_at: datetime
) -> Window:
    end = timeframe.floor(close_at)
    return Window(category, timeframe, symbols, end - bars * timeframe.duration, end - timeframe.duration, bars)
