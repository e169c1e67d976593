"""What a strategy is: parameters, the data it needs, and one vectorised pure function over a panel.

Live takes the last column of what ``evaluate`` returns, a backtest takes all of them: the same function. Appending bars
never changes earlier columns. Arithmetic is float64 with NaN for "not known"; a comparison with NaN is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from domain.candle import Timeframe, from_ms
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import Regime

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Regimes = npt.NDArray[np.int8]


CANDLE_COLUMNS: Final = ("open", "high", "low", "close", "volume")
"""The arrays of a panel that are its candles."""


class StrategyParameters(BaseModel):
    """Base of a strategy's parameters. Unknown names are refused; percentages are percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Panel:
    """Closed candles of one timeframe: arrays of shape (symbols, bars), NaN where a symbol has no candle.

    ``open_time`` are the bars' open times in ms, shape (bars,), one timeframe apart. Microstructure is None where
    nobody asked for it: ``taker_buy_share`` (0 to 1, NaN where it is not completely known), ``open_interest`` (base
    coin) and ``long_short_ratio`` (accounts long / accounts short) as stamped for the bar's open time: what was known
    before the bar closed, and ``funding_rate`` (fraction a settlement interval of 8 h, above 0: longs pay), the
    newest one settled by the bar's close. Live it is there for those who want to enter alone. ``regime`` is the
    market's, shape (bars,): ``Regime.level`` of the effective one (see ``domain.regime``) as it was known at each bar's
    close, ``NO_REGIME`` where there was none.
    """

    timeframe: Timeframe
    symbols: tuple[str, ...]
    open_time: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    taker_buy_share: Floats | None = None
    open_interest: Floats | None = None
    long_short_ratio: Floats | None = None
    funding_rate: Floats | None = None
    regime: Regimes | None = None

    def close_at(self, bar: int) -> datetime:
        """The instant at which bar ``bar`` (an index, -1 the last) closes."""
        return from_ms(int(self.open_time[bar]) + self.timeframe.milliseconds)

    def part(self, symbols: Sequence[str], bars: int) -> Panel:
        """Candles of ``symbols``, in this order, over the last ``bars``: views where they can be. All must be there."""
        place = {symbol: row for row, symbol in enumerate(self.symbols)}
        rows = [place[symbol] for symbol in symbols]
        chosen = slice(None) if rows == list(range(len(self.symbols))) else rows
        first = len(self.open_time) - bars
        columns = {name: getattr(self, name)[chosen, first:] for name in CANDLE_COLUMNS}
        return Panel(self.timeframe, tuple(symbols), self.open_time[first:], **columns)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a strategy needs to decide on one bar: closed candles by timeframe, microstructure of its own timeframe.

    ``only``: the symbols it may trade at all, chosen into the universe or not (None: the universe's). ``benchmark``: a
    symbol whose candles are in every panel, tradable or not. ``regime``: the regime at every bar of its own timeframe.
    ``microstructure_bars``: how many of the last bars its requirements look at.
    """

    candles: Mapping[Timeframe, int]
    taker_volume: bool = False
    open_interest: bool = False
    long_short_ratio: bool = False
    funding_rate: bool = False
    regime: bool = False
    only: frozenset[str] | None = None
    benchmark: str | None = None
    microstructure_bars: int = 1

    @property
    def microstructure(self) -> bool:
        """Whether any kind of it is needed."""
        return self.taker_volume or self.of_perpetuals

    @property
    def of_perpetuals(self) -> bool:
        """Whether a kind is needed that spot markets don't have."""
        return self.stamped or self.funding_rate

    @property
    def stamped(self) -> bool:
        """Whether a kind is needed that the exchange stamps per interval (see ``domain.microstructure.UNSTAMPED``)."""
        return self.open_interest or self.long_short_ratio


@dataclass(frozen=True, slots=True)
class Requirement:
    """A microstructure condition on top of the entry signal, judged by a gate and not by the signal itself.

    ``value`` (symbols, bars) is NaN where it is not known (gate ``microstructure_missing``); ``met`` says where it
    holds (else gate ``microstructure_failed``). ``threshold`` is for people: "over 0.52".
    """

    name: str
    value: Floats
    met: Bools
    threshold: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Per symbol and bar, shape (symbols, bars): entry edge, exit signal, watchlist score 0-100, and the evidence.

    ``entry`` is an edge: the condition holds now and did not one bar before. ``evidence`` are indicator values by name.
    None of them depends on microstructure: that is what requirements are for, and it is asked for when they count.
    """

    entry: Bools
    exit: Bools
    score: Floats
    evidence: Mapping[str, Floats]
    requirements: tuple[Requirement, ...] = field(default=())


class Strategy(Protocol):
    """One file of ``domain/strategies``.

    ``category``, ``side``, ``timeframe``, ``exit_policy`` and ``regimes`` (those in which it may open) are defaults of
    its configuration.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    category: ClassVar[Category]
    side: ClassVar[PositionSide]
    timeframe: ClassVar[Timeframe]
    parameters: ClassVar[type[StrategyParameters]]
    exit_policy: ClassVar[ExitPolicy]
    regimes: ClassVar[frozenset[Regime]]

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        """Data needed to decide on one bar of ``timeframe``, warm-up included."""
        ...

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        """Entries, exits, scores and evidence of every symbol and bar of ``panels[timeframe]``."""
        ...
