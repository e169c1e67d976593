"""Candles the real exchange made while nobody listened: fetched by REST in blocks when asked for, and kept.

A candle is kept once it can't change any more: a later one is listed, or it ended a minute ago. Where the
exchange does not answer, what is known is told.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from domain.candle import Timeframe, to_ms
from domain.market import Category
from exchange.paper.feed import Bar, PriceKind
from exchange.paper.feeds.shadow_store import Series, ShadowStore
from exchange.paper.feeds.shadow_upstream import UpstreamSilent
from exchange.paper.feeds.shadow_wire import CODES, Row, candle

TRADES = "trades"
_PATHS = {TRADES: "kline", PriceKind.MARK: "mark-price-kline", PriceKind.INDEX: "index-price-kline"}
_BLOCK = 500
_BLOCKS_HELD = 400
_MOST_KEPT = 400_000
_SURE_MS = 60_000
_FORMING_SECONDS = 5.0
Ask = Callable[..., Row]

log = logging.getLogger(__name__)


@dataclass
class _Block:
    """Closed candles by open time (ms); everything that opened before ``until_ms`` is among them, or never was."""

    candles: dict[int, Bar] = field(default_factory=dict)
    until_ms: int = 0


class CandleArchive:
    """``ask`` is ``Upstream.ask``, ``wall_ms`` the real exchange's time."""

    def __init__(self, store: ShadowStore, ask: Ask, wall_ms: Callable[[], int]) -> None:
        self._store = store
        self._ask = ask
        self._wall_ms = wall_ms
        self._blocks: OrderedDict[tuple[Series, int], _Block] = OrderedDict()
        self._forming: dict[Series, tuple[float, Bar]] = {}

    def closed(
        self, kind: str, category: Category, symbol: str, timeframe: Timeframe, opens: Iterable[int]
    ) -> list[Bar]:
        """The candles that open at ``opens`` (ms, rising, all closed), as far as they are known."""
        series: Series = (kind, category, symbol, timeframe)
        wanted: OrderedDict[int, list[int]] = OrderedDict()
        for at in opens:
            wanted.setdefault((at - timeframe.origin_ms) // timeframe.milliseconds // _BLOCK, []).append(at)
        found: list[Bar] = []
        for number, inside in wanted.items():
            candles = self._block(series, timeframe, number, inside[-1] + timeframe.milliseconds)
            found += [candles[at] for at in inside if at in candles]
        return found

    def forming(
        self, kind: PriceKind, category: Category, symbol: str, timeframe: Timeframe, open_ms: int
    ) -> Bar | None:
        """A reference price's candle that opens at ``open_ms`` as listed a few seconds ago; None if it isn't."""
        series: Series = (kind, category, symbol, timeframe)
        at, bar = self._forming.get(series, (0.0, None))
        if bar is None or to_ms(bar.open_time) != open_ms or time.monotonic() - at > _FORMING_SECONDS:
            rows = self._rows(series, open_ms, open_ms + timeframe.milliseconds - 1, timeframe)
            bar = rows[0] if rows else bar
            if bar is not None:
                self._forming[series] = time.monotonic(), bar
        return bar if bar is not None and to_ms(bar.open_time) == open_ms else None

    def prune(self) -> None:
        self._store.drop_candles(_MOST_KEPT)

    def _block(self, series: Series, timeframe: Timeframe, number: int, until_ms: int) -> dict[int, Bar]:
        block = self._held(series, number)
        if block.until_ms >= until_ms:
            return block.candles
        step = timeframe.milliseconds
        begin = timeframe.origin_ms + number * _BLOCK * step
        rows = self._rows(series, max(begin, block.until_ms), begin + _BLOCK * step, timeframe)
        if rows is None:
            return block.candles
        newest = max((to_ms(bar.open_time) for bar in rows), default=0)
        sure = max(newest, self._wall_ms() - _SURE_MS)  # candles that end by then are over
        final = {at: bar for bar in rows if begin <= (at := to_ms(bar.open_time)) and at + step <= sure}
        inside = {at: bar for at, bar in final.items() if at < begin + _BLOCK * step}
        self._store.keep_candles(series, number, inside.values())
        block.candles.update(inside)
        block.until_ms = min(sure - (sure - timeframe.origin_ms) % step, begin + _BLOCK * step)
        listed = {to_ms(bar.open_time): bar for bar in rows}
        return {**listed, **block.candles}

    def _held(self, series: Series, number: int) -> _Block:
        key = series, number
        block = self._blocks.get(key)
        if block is None:
            candles = self._store.candles(series, number)
            step = Timeframe(series[3]).milliseconds
            # what is missing in the middle was not listed; what is missing at the end may be by now
            block = self._blocks[key] = _Block(candles, max(candles) + step if candles else 0)
            if len(self._blocks) > _BLOCKS_HELD:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return block

    def _rows(self, series: Series, start_ms: int, end_ms: int, timeframe: Timeframe) -> list[Bar] | None:
        """Listed candles that open in [start_ms, end_ms]; None where the exchange does not answer."""
        kind, category, symbol, _ = series
        window = {"start": start_ms, "end": end_ms, "limit": 1000}
        try:
            told = self._ask(_PATHS[kind], category=category.value, symbol=symbol, interval=CODES[timeframe], **window)
        except UpstreamSilent as silent:
            log.warning("candles of %s are told as far as they are known: %s", symbol, silent)
            return None
        return [candle(row, confirmed=True) for row in told["list"]]
