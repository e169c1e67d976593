"""The told trades of a shadow market, each placed once, at its own instant or the first not yet told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from domain.candle import Timeframe, from_ms, to_ms
from exchange.paper.feed import Tick
from exchange.paper.feeds.shadow_store import ShadowStore, ToldTrade
from exchange.paper.feeds.shadow_upstream import UpstreamTrade
from exchange.paper.feeds.shadow_wire import Name
from exchange.paper.feeds.trade_tape import TradeTape

KEPT = timedelta(hours=48)
MOST_KEPT = 200_000  # trades of an instrument
_REMEMBERED = 4_000  # ids: more than any list of last trades holds
_MICROSECOND = timedelta(microseconds=1)


class _Known:
    """The last ids of an instrument's trades."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._ids

    def add(self, trade_id: str) -> None:
        self._order.append(trade_id)
        self._ids.add(trade_id)
        if len(self._order) > _REMEMBERED:
            self._ids.discard(self._order.popleft())


class ShadowTapes:
    """Tapes by instrument, taken up from ``store``; ``opening`` are prices from before their first trades."""

    def __init__(self, store: ShadowStore, opening: Mapping[Name, Decimal]) -> None:
        self._store = store
        self._tapes = {name: TradeTape(price) for name, price in opening.items()}
        self._known = {name: _Known() for name in opening}
        self._last: dict[Name, tuple[datetime, int]] = {}
        self._begin_ms: dict[Name, int] = {}
        for told in store.trades():
            name = told.tick.category, told.tick.symbol
            if name in self._tapes:
                self._known[name].add(told.trade_id)
                self._last[name] = told.tick.at, told.tick.sequence
                self._tapes[name].append(told.tick)
        for name in self._tapes:
            self._begin_ms[name] = store.fact(f"begin/{name[0]}/{name[1]}") or 0

    @property
    def last_at(self) -> datetime | None:
        """When the last trade of all was told; None before any."""
        return max((at for at, _ in self._last.values()), default=None)

    def of(self, name: Name) -> TradeTape:
        return self._tapes[name]

    def begin_ms(self, name: Name) -> int:
        """Before this (ms) trades were dropped: candles that begin earlier can't be summed."""
        return self._begin_ms[name]

    def between(self, after: datetime, until: datetime) -> list[Tick]:
        """Trades of all instruments with ``after < at <= until``, in the feed's order."""
        found = [tick for tape in self._tapes.values() for tick in tape.between(after, until)]
        found.sort(key=lambda tick: (tick.at, tick.category, tick.symbol, tick.sequence))
        return found

    def place(self, trades: Iterable[UpstreamTrade], told_until: datetime, until: datetime) -> list[ToldTrade]:
        """Trades not known yet, stamped within (``told_until``, ``until``]; ``append`` them once they are stored."""
        return [self._placed(trade, told_until + _MICROSECOND, until) for trade in trades if self._is_new(trade)]

    def place_recent(
        self, name: Name, trades: Sequence[UpstreamTrade], start: datetime, told_until: datetime, until: datetime
    ) -> list[ToldTrade]:
        """As ``place``, but what an instrument that never traded here did before ``start`` is history at its stamp."""
        if name in self._last:
            return self.place(trades, told_until, until)
        past = [trade for trade in trades if from_ms(trade.traded_ms) <= start]
        made = [self._placed(trade, from_ms(0), start) for trade in past if self._is_new(trade)]
        return made + self.place(trades[len(past) :], told_until, until)

    def append(self, made: Iterable[ToldTrade]) -> None:
        for tick, _ in made:
            self._tapes[tick.category, tick.symbol].append(tick)

    def prune(self, now: datetime) -> None:
        """Keep at most the trades of the last ``KEPT``, and ``MOST_KEPT`` of an instrument."""
        for name, tape in self._tapes.items():
            before = now - KEPT
            if len(tape) > MOST_KEPT:
                before = max(before, tape.recent(now, MOST_KEPT)[0].at)
            before = Timeframe.M1.floor(before) + Timeframe.M1.duration
            if tape.first_at is not None and tape.first_at < before:
                tape.forget(before)
                self._store.prune(name, before)
                self._begin_ms[name] = to_ms(before)
                self._store.keep({f"begin/{name[0]}/{name[1]}": to_ms(before)})

    def _is_new(self, trade: UpstreamTrade) -> bool:
        return trade.name in self._tapes and trade.trade_id not in self._known[trade.name]

    def _placed(self, trade: UpstreamTrade, first: datetime, until: datetime) -> ToldTrade:
        last_at, sequence = self._last.get(trade.name, (first, 0))
        at = min(max(from_ms(trade.traded_ms), first, last_at), max(until, last_at))
        self._known[trade.name].add(trade.trade_id)
        self._last[trade.name] = at, sequence + 1
        tick = Tick(*trade.name, at, trade.price, trade.qty, trade.side, sequence + 1)
        return ToldTrade(tick, trade.trade_id)
