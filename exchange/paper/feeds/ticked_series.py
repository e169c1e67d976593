"""One symbol's market made of base candles: its trades, its candles of every timeframe, and its liquidity.

Base candles come from a ``BarSource``; ticks are derived from them on demand (see ``tick_path``), in chunks of
candles of which a few are kept. Nothing kept matters: dropping it changes no answer.

Candles of the base timeframe and above are sums of base candles plus the ticks so far of the one that is forming;
shorter ones are sums of ticks, and where none fell, flat at the last price. A forming candle without a tick isn't
there yet. Turnover is the exact sum over the ticks from ``live_from`` on; candles before it, of which no tick was ever
published, have volume times the mean of open, high, low and close (a source may know better).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from domain.candle import Timeframe, from_ms
from domain.market import Instrument, Side
from exchange.paper.feed import Bar, Liquidity, Tick
from exchange.paper.feeds.candle_sums import Prices, Sums, columns, group_opens, sum_by
from exchange.paper.feeds.tick_path import BarBlock, Ints, tick_block

_CHUNK = 16
_CHUNKS_KEPT = 8
_LIQUIDITY_BARS = 96
_INT64_SAFE = float(2**62)


class BarSource(Protocol):
    """Base candles of one instrument in whole units, numbered from 0 at ``origin_ms``.

    There are ``count`` of them, or no end where it is None.
    """

    instrument: Instrument
    timeframe: Timeframe
    origin_ms: int
    count: int | None
    price_unit: Decimal
    qty_unit: Decimal

    def block(self, first: int, last: int) -> BarBlock:
        """Candles with numbers in [first, last), which the caller keeps within 0 and ``count``."""
        ...

    def known_turnover(self, first: int, last: int) -> npt.NDArray[np.float64] | None:
        """Turnover (quote coin) of the candles [first, last) where the source has it, NaN where it has not."""
        ...


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The ticks of a run of base candles, flat and in order; ``sequence`` is candle number x ticks a candle + place."""

    ms: Ints
    price: Ints
    qty: Ints
    buy: npt.NDArray[np.bool_]
    sequence: Ints


class TickedSeries:
    """The market of one instrument. Times are whole milliseconds UTC; an instant knows the ticks at or before it."""

    def __init__(self, source: BarSource, *, key: int, ticks_per_bar: int, live_from_ms: int) -> None:
        self.source = source
        self.instrument = source.instrument
        self._key = key
        self._per_bar = ticks_per_bar
        self._length = source.timeframe.milliseconds
        self._live_from = self.number_at(live_from_ms)
        self._chunks: OrderedDict[int, _Chunk] = OrderedDict()
        self._live_turnover: dict[int, npt.NDArray[np.object_]] = {}
        self._liquidity: tuple[int, Liquidity] | None = None

    def number_at(self, at_ms: int) -> int:
        """Number of the base candle that holds ``at_ms`` (negative before the series begins)."""
        return (at_ms - self.source.origin_ms) // self._length

    def ticks(self, after_ms: int, until_ms: int) -> Iterator[Tick]:
        """Trades with ``after_ms < at <= until_ms`` in order."""
        count = self.source.count
        first = max(self.number_at(after_ms), 0)
        last = self.number_at(until_ms) if count is None else min(self.number_at(until_ms), count - 1)
        for index in range(first // _CHUNK, last // _CHUNK + 1):
            chunk = self._chunk(index)
            begin, end = np.searchsorted(chunk.ms, (after_ms, until_ms), side="right")
            yield from self._as_ticks(chunk, int(begin), int(end))

    def recent_ticks(self, now_ms: int, limit: int) -> list[Tick]:
        """The last ``limit`` trades at or before ``now_ms``, oldest first."""
        parts: list[list[Tick]] = []
        wanted = limit
        for chunk, end in self._chunks_back_from(now_ms):
            parts.append(self._as_ticks(chunk, max(end - wanted, 0), end))
            wanted -= len(parts[-1])
            if wanted <= 0:
                break
        return [tick for part in reversed(parts) for tick in part]

    def last_price(self, now_ms: int) -> Decimal:
        """Price of the last trade at or before ``now_ms``; before any, the first candle's open."""
        for chunk, end in self._chunks_back_from(now_ms):
            if end > 0:
                return int(chunk.price[end - 1]) * self.source.price_unit
        return int(self.source.block(0, 1).open[0]) * self.source.price_unit

    def bars(self, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> list[Bar]:
        """Candles with open time in [start_ms, end_ms] as known at ``now_ms``, oldest first."""
        sums = self._sums(timeframe, start_ms, end_ms, now_ms, counted=True)
        return self._as_bars(sums, timeframe.milliseconds, now_ms) if sums else []

    def prices(self, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int) -> Prices:
        """As ``bars``, without volume and turnover, as columns in price units: for many candles at once."""
        sums = self._sums(timeframe, start_ms, end_ms, now_ms, counted=False)
        return Prices(*sums[:5]) if sums else Prices(*[np.zeros(0, np.int64)] * 5)

    def _sums(self, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int, *, counted: bool) -> Sums | None:
        earliest = timeframe.floor_ms(self.source.origin_ms)
        first = max(timeframe.ceil_ms(start_ms), earliest)
        last = min(timeframe.floor_ms(end_ms), timeframe.floor_ms(min(now_ms, self._last_ms())))
        if first > last:
            return None
        if timeframe.milliseconds < self._length:
            return self._from_ticks(timeframe, first, last, now_ms)
        return self._from_bars(timeframe, first, last, now_ms, counted=counted)

    def liquidity(self, now_ms: int) -> Liquidity:
        """The book's spread and depth from the closed base candles before ``now_ms`` (up to 96 of them).

        With s the price's standard deviation per minute in basis points (a candle's range is about 1.67 of its own),
        half the spread is 0.08 s, at least half a tick and at most 25; a basis point of price holds 0.2 / s minutes of
        volume, at least one minimum order.
        """
        number = max(self.number_at(now_ms), 1)
        if self._liquidity is None or self._liquidity[0] != number:
            count = self.source.count
            last = number if count is None else min(number, count)
            self._liquidity = (number, self._measure(self.source.block(max(last - _LIQUIDITY_BARS, 0), last)))
        return self._liquidity[1]

    def _measure(self, bars: BarBlock) -> Liquidity:
        minutes = self._length / 60_000
        price = float(bars.close[-1])
        ranges = float(np.mean((bars.high - bars.low) / bars.close))
        deviation = max(ranges / 1.67 / minutes**0.5 * 1e4, 0.05)
        tick = float(self.instrument.tick_size / self.source.price_unit)
        half_spread = max(min(0.08 * deviation, 25.0), 0.5 * tick / price * 1e4)
        per_minute = float(bars.volume.mean()) * float(self.source.qty_unit) / minutes
        smallest = float(self.instrument.min_order_amount) / (price * float(self.source.price_unit))
        return Liquidity(half_spread_bps=half_spread, qty_per_bp=max(0.2 * per_minute / deviation, smallest))

    def _last_ms(self) -> int:
        count = self.source.count
        return 2**62 if count is None else self.source.origin_ms + count * self._length - 1

    def _chunk(self, index: int) -> _Chunk:
        kept = self._chunks.get(index)
        if kept is not None:
            self._chunks.move_to_end(index)
            return kept
        first, last = index * _CHUNK, (index + 1) * _CHUNK
        if self.source.count is not None:
            last = min(last, self.source.count)
        made = self._flat_ticks(self.source.block(first, last))
        if last > self._live_from and index not in self._live_turnover:
            self._live_turnover[index] = self._sum_turnover(made, first, last)
        self._chunks[index] = made
        if len(self._chunks) > _CHUNKS_KEPT:
            self._chunks.popitem(last=False)
        return made

    def _flat_ticks(self, bars: BarBlock) -> _Chunk:
        made = tick_block(bars, self._key, self._per_bar, self._length)
        happened = made.qty > 0
        place = np.arange(self._per_bar, dtype=np.int64)
        ms = (self.source.origin_ms + bars.number * self._length)[:, None] + made.offset_ms
        sequence = bars.number[:, None] * self._per_bar + place
        return _Chunk(ms[happened], made.price[happened], made.qty[happened], made.buy[happened], sequence[happened])

    def _chunks_back_from(self, now_ms: int) -> Iterator[tuple[_Chunk, int]]:
        """Chunks from the one that holds ``now_ms`` backwards, each with the number of its ticks known then."""
        newest = self.number_at(min(now_ms, self._last_ms())) // _CHUNK
        for index in range(newest, -1, -1):
            chunk = self._chunk(index)
            yield chunk, int(np.searchsorted(chunk.ms, now_ms, side="right"))

    def _as_ticks(self, chunk: _Chunk, begin: int, end: int) -> list[Tick]:
        category, symbol = self.instrument.category, self.instrument.symbol
        price_unit, qty_unit = self.source.price_unit, self.source.qty_unit
        columns = (chunk.ms, chunk.price, chunk.qty, chunk.buy, chunk.sequence)
        return [
            Tick(
                category,
                symbol,
                from_ms(ms),
                price * price_unit,
                qty * qty_unit,
                Side.BUY if buy else Side.SELL,
                sequence,
            )
            for ms, price, qty, buy, sequence in zip(*(c[begin:end].tolist() for c in columns), strict=True)
        ]

    def _products(self, price: Ints, qty: Ints) -> npt.NDArray[Any]:
        """price x qty, exact: in int64 where every one of them fits, in Python ints where it might not."""
        if price.size and float(price.max()) * float(qty.max()) >= _INT64_SAFE:
            return price.astype(object) * qty
        return price * qty

    def _from_bars(self, timeframe: Timeframe, first: int, last: int, now_ms: int, *, counted: bool) -> Sums:
        """Sums of closed base candles, and of the ticks so far of the forming one, opening in [first, last].

        Turnover, which may need the ticks of all of them, is left at 0 unless ``counted``.
        """
        origin, length, count = self.source.origin_ms, self._length, self.source.count
        closed_end = self.number_at(now_ms) if count is None else min(self.number_at(now_ms), count)
        begin = max((first - origin) // length, 0)
        end = (last + timeframe.milliseconds - origin) // length
        closed = self.source.block(begin, max(min(end, closed_end), begin))
        turnover = self._turnover(closed) if counted else np.zeros(len(closed), np.int64)
        parts = [Sums(origin + closed.number * length, *columns(closed), closed.volume, turnover)]
        if begin <= closed_end < end and (count is None or closed_end < count):
            open_ms = origin + closed_end * length
            chunk = self._chunk(closed_end // _CHUNK)
            seen = slice(*np.searchsorted(chunk.ms, (open_ms - 1, now_ms), side="right"))
            parts.append(self._group(chunk, seen, np.full(len(chunk.ms[seen]), open_ms, np.int64)))
        joined = Sums(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return sum_by(group_opens(joined.open_ms, timeframe), joined)

    def _from_ticks(self, timeframe: Timeframe, first: int, last: int, now_ms: int) -> Sums:
        """Sums of ticks for candles shorter than the base, those without a tick filled with the price before."""
        step = timeframe.milliseconds
        begin = self.number_at(first)
        end = self.number_at(last) + 1
        bars = self.source.block(begin, end)
        chunk = self._flat_ticks(bars)
        seen = slice(0, int(np.searchsorted(chunk.ms, now_ms, side="right")))
        made = self._group(chunk, seen, chunk.ms[seen] - (chunk.ms[seen] - timeframe.origin_ms) % step)

        grid = np.arange(self.source.origin_ms + begin * self._length, last + step, step, dtype=np.int64)
        at = np.searchsorted(made.open_ms, grid, side="right") - 1
        hit = (at >= 0) & (made.open_ms[at] == grid) if len(made.open_ms) else np.zeros(len(grid), np.bool_)
        before = self.source.block(begin - 1, begin).close[0] if begin > 0 else bars.open[0]
        price = np.where(at >= 0, made.close[at], before) if len(made.open_ms) else np.full(len(grid), before)
        base = (grid - grid[0]) // self._length
        price = np.where(bars.volume[base] == 0, bars.open[base], price)
        filled = [np.where(hit, column[at], price) if len(column) else price for column in made[1:5]]
        volume = np.where(hit, made.volume[at], 0) if len(made.volume) else np.zeros(len(grid), np.int64)
        turnover = np.where(hit, made.turnover[at], 0) if len(made.turnover) else np.zeros(len(grid), object)
        wanted = (grid >= first) & (hit | (grid + step <= now_ms))
        return Sums(*(column[wanted] for column in (grid, *filled, volume, turnover)))

    def _group(self, chunk: _Chunk, seen: slice, opens: Ints) -> Sums:
        price, qty = chunk.price[seen], chunk.qty[seen]
        return sum_by(opens, Sums(opens, price, price, price, price, qty, self._products(price, qty).astype(object)))

    def _turnover(self, closed: BarBlock) -> npt.NDArray[np.object_]:
        """Turnover of closed base candles in whole units, by the rule of the module's docstring."""
        if len(closed) == 0:
            return np.zeros(0, object)
        begin, end = int(closed.number[0]), int(closed.number[-1]) + 1
        border = min(max(self._live_from, begin), end) - begin
        parts = [self._past_turnover(closed, begin, border)]
        for index in range((begin + border) // _CHUNK, (end - 1) // _CHUNK + 1) if border < end - begin else ():
            if index not in self._live_turnover:
                self._chunk(index)
            made = self._live_turnover[index]
            parts.append(made[max(begin + border - index * _CHUNK, 0) : end - index * _CHUNK])
        return np.concatenate(parts)

    def _past_turnover(self, closed: BarBlock, begin: int, border: int) -> npt.NDArray[np.object_]:
        total = closed.open[:border] + closed.high[:border] + closed.low[:border] + closed.close[:border]
        estimate = self._products(total, closed.volume[:border]) // 4
        known = self.source.known_turnover(begin, begin + border)
        if known is None:
            return estimate.astype(object)
        unit = float(self.source.price_unit) * float(self.source.qty_unit)
        told = np.array([int(value) for value in np.rint(np.nan_to_num(known) / unit).tolist()], object)
        return np.where(np.isnan(known), estimate, told)

    def _sum_turnover(self, chunk: _Chunk, first: int, last: int) -> npt.NDArray[np.object_]:
        """Turnover of each base candle [first, last) of a chunk: kept for good, where its ticks are not."""
        products = self._products(chunk.price, chunk.qty)
        if products.dtype != object and float(products.astype(np.float64).sum()) >= _INT64_SAFE:
            products = products.astype(object)
        total = np.zeros(last - first, products.dtype)
        np.add.at(total, chunk.sequence // self._per_bar - first, products)
        return total.astype(object)

    def _as_bars(self, sums: Sums, step: int, now_ms: int) -> list[Bar]:
        price, qty = self.source.price_unit, self.source.qty_unit
        money = price * qty
        return [
            Bar(from_ms(at), o * price, hi * price, lo * price, c * price, v * qty, w * money, at + step <= now_ms)
            for at, o, hi, lo, c, v, w in zip(*(column.tolist() for column in sums), strict=True)
        ]
