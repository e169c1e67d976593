"""A shadow market's candles of trades: sums of told ones where all were heard, the real exchange's own otherwise."""

from __future__ import annotations

from datetime import datetime

from domain.candle import Timeframe, from_ms, to_ms
from exchange.paper.feed import Bar
from exchange.paper.feeds.shadow_archive import TRADES, CandleArchive
from exchange.paper.feeds.shadow_listening import Listening
from exchange.paper.feeds.shadow_tapes import ShadowTapes
from exchange.paper.feeds.shadow_wire import Name
from exchange.paper.feeds.trade_tape import merged

_SMALLER = (Timeframe.D1, Timeframe.H4, Timeframe.H1, Timeframe.M15, Timeframe.M1)


class ShadowCandles:
    """Candles by instrument; times are market ms, and nothing is told of what has not happened by then."""

    def __init__(self, tapes: ShadowTapes, listening: Listening, archive: CandleArchive) -> None:
        self._tapes = tapes
        self._listening = listening
        self._archive = archive

    def closed(self, name: Name, frame: Timeframe, first_ms: int, last_ms: int) -> list[Bar]:
        """Closed candles that open in [first_ms, last_ms]: told trades where they are all known, else fetched ones."""
        step = frame.milliseconds
        opens = range(frame.ceil_ms(first_ms), last_ms + 1, step)
        missed = [at for at in opens if not self._covered(name, at, at + step)]
        fetched = {to_ms(bar.open_time): bar for bar in self._archive.closed(TRADES, *name, frame, missed)}
        told: list[Bar] = []
        for at in opens:
            bar = fetched.get(at)
            if bar is None and (self._covered(name, at, at + step) or self._traded_by(name, at + step)):
                bar = self._tapes.of(name).bar(from_ms(at), frame.duration, from_ms(at + step))
            if bar is not None:
                told.append(bar)
        return told

    def forming(self, name: Name, frame: Timeframe, open_ms: int, now: datetime) -> Bar | None:
        """The forming candle: told trades, or the closed shorter candles inside it and the trades since them.

        Within the minute after a gap, the trades that were missed count where they were told.
        """
        tape, now_ms = self._tapes.of(name), to_ms(now)
        if frame is Timeframe.M1 or self._covered(name, open_ms, now_ms):
            return tape.bar(from_ms(open_ms), frame.duration, now)
        parts: list[Bar] = []
        at = open_ms
        for smaller in (each for each in _SMALLER if each.milliseconds < frame.milliseconds):
            parts += self.closed(name, smaller, at, smaller.floor_ms(now_ms) - 1)
            at = max(at, smaller.floor_ms(now_ms))
        last = tape.bar(from_ms(at), Timeframe.M1.duration, now)
        return merged(from_ms(open_ms), [*parts, last] if last is not None else parts)

    def _traded_by(self, name: Name, at_ms: int) -> bool:
        first = self._tapes.of(name).first_at
        return first is not None and to_ms(first) < at_ms

    def _covered(self, name: Name, begin_ms: int, end_ms: int) -> bool:
        return begin_ms >= self._tapes.begin_ms(name) and self._listening.covers(name[0], begin_ms, end_ms)
