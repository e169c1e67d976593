"""Replay: the market of OHLCV files, whose served candles are the file's and whose ticks add up to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe, from_ms
from domain.market import Category, Instrument
from exchange.paper.feed import PriceKind
from exchange.paper.feeds.bar_feed import BarFeed
from exchange.paper.feeds.candle_file import (
    CandleFile,
    CandleFileRefused,
    FundingFile,
    read_candle_file,
    read_funding_file,
)
from exchange.paper.feeds.tick_path import MIN_TICKS, BarBlock, Ints
from exchange.paper.feeds.ticked_series import BarSource
from exchange.paper.instruments import make_instrument
from exchange.paper.options import TICKS_PER_MINUTE

_MOST_DECIMALS = 10
_EXACT = 2.0**53
_HISTORY_SHARE = 0.6
_LONG = timedelta(days=10)
_FUNDING = "funding"
_QUOTED = 4096  # a reference price has no volume: any that leaves every tick of its path some


class ReplayRefused(ValueError):
    """The files are sound each but not one market; the message says what to change."""


class RecordedPrices:
    """The candles of a recorded reference price, as whole units. See ``BarSource``.

    Their inner path is drawn with the key of the trades', so that it makes its extremes when they do.
    """

    qty_unit = Decimal(1)

    def __init__(self, file: CandleFile, kind: PriceKind, instrument: Instrument) -> None:
        rows = file.references[kind]
        self.instrument: Instrument = instrument
        self.timeframe: Timeframe = file.timeframe
        self.origin_ms = int(file.series.open_time[0])
        self.count: int | None = len(file.series)
        self.price_unit = _price_unit(file.path, rows, instrument.tick_size)
        self._prices = _in_units(rows, self.price_unit)

    def block(self, first: int, last: int) -> BarBlock:
        prices = self._prices[:, first:last]
        count = prices.shape[1]
        return BarBlock(np.arange(first, first + count), *prices, volume=np.full(count, _QUOTED, np.int64))

    def known_turnover(self, first: int, last: int) -> npt.NDArray[np.float64] | None:
        return None


class FileSource:
    """The base candles of one file for one category, as whole units. See ``MarketSource``.

    ``funding`` is told in place of the candle file's own rates. Raises CandleFileRefused when a number has too many
    digits to be a price or volume.
    """

    def __init__(self, file: CandleFile, category: Category, funding: FundingFile | None = None) -> None:
        s = file.series
        self.timeframe: Timeframe = file.timeframe
        self.origin_ms = int(s.open_time[0])
        self.count: int | None = len(s)
        self.instrument: Instrument = make_instrument(category, file.symbol, Decimal(repr(float(np.median(s.close)))))
        prices = np.stack([s.open, s.high, s.low, s.close])
        self.price_unit = _price_unit(file.path, prices, self.instrument.tick_size)
        self.qty_unit = _qty_unit(file.path, s.volume)
        self._turnover = file.turnover
        self._open_interest = file.open_interest
        self._long_ratio = file.long_ratio
        self._open_times = s.open_time
        self._funding = _funding_by_instant(file, funding)
        self._references = {kind: RecordedPrices(file, kind, self.instrument) for kind in file.references}
        open_, high, low, close = _in_units(prices, self.price_unit)
        self._bars = BarBlock(np.arange(len(s)), open_, high, low, close, _in_units(s.volume, self.qty_unit))

    def block(self, first: int, last: int) -> BarBlock:
        b = self._bars
        part = slice(first, last)
        return BarBlock(b.number[part], b.open[part], b.high[part], b.low[part], b.close[part], b.volume[part])

    def known_turnover(self, first: int, last: int) -> npt.NDArray[np.float64] | None:
        return None if self._turnover is None else self._turnover[first:last]

    def open_interest(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        """The file's own stamps: no interval has more of them than the file."""
        return _stamps(self._open_times, self._open_interest, interval_ms, (first_ms, last_ms), limit)

    def account_ratio(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[tuple[int, Decimal]]:
        """The file's, each stamped a candle later: whether one counts what follows its stamp is not documented."""
        known = self._open_times + self.timeframe.milliseconds
        return _stamps(known, self._long_ratio, interval_ms, (first_ms, last_ms), limit)

    def known_funding(self, at_ms: int) -> Decimal | None:
        return self._funding.get(at_ms)

    def reference(self, kind: PriceKind) -> BarSource | None:
        return self._references.get(kind)


def replay_feed(
    files: Sequence[str], *, seed: int, start: datetime | None = None, ticks_per_minute: float = TICKS_PER_MINUTE
) -> BarFeed:
    """The market of ``files`` (each one symbol; ``spot:`` or ``linear:`` before a path limits it to that category).

    ``funding:`` before a path makes it a file of settled funding rates of a perpetual that another file replays. The
    market ends where the first file ends. ``start`` is floored to the longest base timeframe; without it the market
    starts 60 % into the time that all files share, at 00:00 UTC if that is longer than ten days. Raises
    CandleFileRefused for a file, ReplayRefused for a set of files or a start that make no market.
    """
    named = [_split(name) for name in files if not name.startswith(f"{_FUNDING}:")]
    if not named:
        raise ReplayRefused("funding rates alone are no market: give a candle file besides")
    read = {path: read_candle_file(path) for path in dict.fromkeys(path for _, path in named)}
    perpetuals = {read[path].symbol for categories, path in named if Category.LINEAR in categories}
    funding = _funding_files([name for name in files if name.startswith(f"{_FUNDING}:")], perpetuals)
    sources = [
        FileSource(read[path], category, funding.get(read[path].symbol))
        for categories, path in named
        for category in categories
    ]
    _refuse_doubles(sources, [path for categories, path in named for _ in categories])
    begin = max(from_ms(source.origin_ms) for source in sources)
    end = min(_end(source) for source in sources)
    longest = max((source.timeframe for source in sources), key=lambda timeframe: timeframe.milliseconds)
    chosen = _start(begin, end, longest, start)
    content = [f"{','.join(categories)}:{read[path].symbol}:{read[path].digest}" for categories, path in sorted(named)]
    content += [f"{_FUNDING}:{each.symbol}:{each.digest}" for each in funding.values()]
    told = "\n".join([*content, str(seed), chosen.isoformat(), repr(ticks_per_minute)])
    epoch = f"replay-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    return BarFeed(sources, epoch=epoch, start=chosen, end=end, seed=seed, ticks_per_minute=ticks_per_minute)


def _split(name: str) -> tuple[tuple[Category, ...], Path]:
    prefix, colon, rest = name.partition(":")
    if colon and prefix in tuple(Category):
        return (Category(prefix),), Path(rest)
    return tuple(Category), Path(name)


def _funding_files(names: Sequence[str], perpetuals: set[str]) -> dict[str, FundingFile]:
    """Funding files by symbol, in the symbols' order."""
    found: dict[str, FundingFile] = {}
    for name in names:
        file = read_funding_file(Path(name.removeprefix(f"{_FUNDING}:")))
        if file.symbol not in perpetuals:
            raise ReplayRefused(f"{file.path}: funding rates of {file.symbol}, whose perpetual no file replays")
        if file.symbol in found:
            raise ReplayRefused(f"{file.path}: the funding of {file.symbol} is already in {found[file.symbol].path}")
        found[file.symbol] = file
    return dict(sorted(found.items()))


def _funding_by_instant(file: CandleFile, funding: FundingFile | None) -> dict[int, Decimal]:
    """Recorded rates by settlement instant (ms); the candle file's are those of candles that open at one."""
    if funding is not None:
        times, rates = funding.at, funding.rate
    elif file.funding_rate is not None:
        times, rates = file.series.open_time, file.funding_rate
    else:
        return {}
    known = ~np.isnan(rates)
    return {int(at): Decimal(repr(rate)) for at, rate in zip(times[known].tolist(), rates[known].tolist(), strict=True)}


def _stamps(
    times: Ints, values: npt.NDArray[np.float64] | None, interval_ms: int, window: tuple[int, int], limit: int
) -> list[tuple[int, Decimal]]:
    """The newest ``limit`` known values whose stamps are in ``window`` (both ends) and on the interval."""
    if values is None:
        return []
    begin, end = np.searchsorted(times, (window[0], window[1] + 1))
    stamps, values = times[begin:end], values[begin:end]
    told = np.flatnonzero((stamps % interval_ms == 0) & (values > 0))[-limit:]
    return [(int(stamps[i]), Decimal(repr(float(values[i])))) for i in told]


def _refuse_doubles(sources: Sequence[FileSource], paths: Sequence[Path]) -> None:
    seen: dict[tuple[Category, str], Path] = {}
    for source, path in zip(sources, paths, strict=True):
        name = source.instrument.category, source.instrument.symbol
        if name in seen:
            raise ReplayRefused(
                f"{path}: {name[1]} ({name[0]}) is already replayed from {seen[name]}: give one of them"
            )
        seen[name] = path


def _end(source: FileSource) -> datetime:
    """Close of a file's last candle: every tick is before it, and at it every candle is closed."""
    return from_ms(source.origin_ms + (source.count or 0) * source.timeframe.milliseconds)


def _start(begin: datetime, end: datetime, longest: Timeframe, start: datetime | None) -> datetime:
    if begin >= end:
        span = f"one begins at {begin:%Y-%m-%d %H:%M}, another ends at {end:%Y-%m-%d %H:%M}"
        raise ReplayRefused(f"the files share no time: {span}")
    if start is None:
        grid = Timeframe.D1 if end - begin > _LONG and longest.milliseconds < Timeframe.D1.milliseconds else longest
        return max(grid.floor(begin + (end - begin) * _HISTORY_SHARE), begin)
    chosen = longest.floor(start.astimezone(UTC))
    if not begin <= chosen < end:
        raise ReplayRefused(
            f"start: {start} is outside the files' time, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
        )
    return chosen


def _decimals(path: Path, values: npt.NDArray[np.float64], what: str) -> int:
    """Fewest decimals that write every value. Digits beyond 10 decimals or 15 in all are noise of binary floats."""
    for decimals in range(_MOST_DECIMALS + 1):
        scale = 10.0**decimals
        if float(values.max()) * scale >= _EXACT:
            break
        rounded = np.rint(values * scale) / scale
        if bool((np.abs(rounded - values) <= values * 1e-14).all()):
            return decimals
    row = int(np.argmax(values.reshape(-1, values.shape[-1]).max(axis=0))) + 1
    raise CandleFileRefused(path, f"{what} has more digits than {_MOST_DECIMALS} decimals or 15 in all", row)


def _price_unit(path: Path, prices: npt.NDArray[np.float64], tick: Decimal) -> Decimal:
    """The instrument's tick (a power of ten) where every price is on it, else the one that fits them all."""
    finest = Decimal(1).scaleb(-_decimals(path, prices, "a price"))
    return tick if finest >= tick else finest


def _qty_unit(path: Path, volume: npt.NDArray[np.float64]) -> Decimal:
    """A power of ten in which every volume is whole and, where there is any, enough for four trades."""
    decimals = _decimals(path, volume, "volume")
    traded = volume[volume > 0]
    while len(traded) and np.rint(traded.min() * 10.0**decimals) < MIN_TICKS:
        decimals += 1
    return Decimal(1).scaleb(-decimals)


def _in_units(values: npt.NDArray[np.float64], unit: Decimal) -> Ints:
    return np.rint(values / float(unit)).astype(np.int64)
