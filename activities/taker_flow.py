"""What takers bought and sold, summed from the public trades into quarter hours.

Sums are of what was seen: they are never more than what happened. A trade told twice counts once, and a stream that
starts anew goes on from the sums that are stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.repositories.microstructure import TakerSums
from domain.candle import EPOCH, Timeframe
from domain.market import Category, Side
from exchange.protocol import Trade

QUARTER = Timeframe.M15
_REMEMBERED_TRADES = 1024
"""Per market: a repeated trade is known by its id, and one as old as any that was forgotten isn't counted."""

_ZERO = Decimal(0)


@dataclass(slots=True)
class _Sums:
    """Exact sums of one quarter hour; ``written`` is what of them the database has."""

    bought: Decimal = _ZERO
    sold: Decimal = _ZERO
    written: tuple[float, float] = (0.0, 0.0)

    @property
    def told(self) -> tuple[float, float]:
        return float(self.bought), float(self.sold)


class TakerFlow:
    """The sums of all markets of one stream."""

    def __init__(self) -> None:
        self._markets: dict[tuple[Category, str], MarketFlow] = {}

    def resume(self, rows: Iterable[TakerSums]) -> None:
        """Take stored sums as the base of what comes. To be called before the first trade can arrive."""
        for row in rows:
            self.market(row.category, row.symbol).resume(row)

    def market(self, category: Category, symbol: str) -> MarketFlow:
        known = self._markets.get((category, symbol))
        if known is None:
            known = self._markets[category, symbol] = MarketFlow(category, symbol)
        return known

    def changes(self) -> list[TakerSums]:
        """The sums that the database doesn't have yet, as they are now."""
        return [row for market in self._markets.values() for row in market.changes()]

    def written(self, rows: Iterable[TakerSums]) -> None:
        """``rows`` of ``changes`` are in the database."""
        for row in rows:
            self.market(row.category, row.symbol).written(row)


class MarketFlow:
    """The quarter hours of one market: the running one, and the one before it for a trade that comes late."""

    def __init__(self, category: Category, symbol: str) -> None:
        self._category = category
        self._symbol = symbol
        self._quarters: dict[datetime, _Sums] = {}
        self._begins = self._ends = EPOCH
        self._ids: set[str] = set()
        self._remembered: deque[tuple[datetime, str]] = deque()
        self._forgotten = EPOCH

    def resume(self, row: TakerSums) -> None:
        bought, sold = Decimal(repr(row.bought)), Decimal(repr(row.sold))
        self._quarters[row.open_time] = _Sums(bought, sold, (row.bought, row.sold))

    def take(self, trades: Sequence[Trade]) -> bool:
        """Count trades of this market. Whether they began another quarter hour: then the one before is complete."""
        began = self._begins
        for trade in trades:
            if not self._is_new(trade):
                continue
            sums = self._sums(trade.at)
            if trade.side is Side.BUY:
                sums.bought += trade.qty
            else:
                sums.sold += trade.qty
        return self._begins > began

    def changes(self) -> list[TakerSums]:
        return [
            TakerSums(self._category, self._symbol, open_time, *sums.told)
            for open_time, sums in self._quarters.items()
            if sums.told != sums.written
        ]

    def written(self, row: TakerSums) -> None:
        sums = self._quarters.get(row.open_time)
        if sums is not None:
            sums.written = (row.bought, row.sold)

    def _sums(self, at: datetime) -> _Sums:
        if not self._begins <= at < self._ends:
            open_time = QUARTER.floor(at)
            if open_time < self._begins:
                return self._quarters.setdefault(open_time, _Sums())
            self._begins, self._ends = open_time, open_time + QUARTER.duration
            self._drop_old()
        return self._quarters.setdefault(self._begins, _Sums())

    def _drop_old(self) -> None:
        oldest = self._begins - QUARTER.duration
        for open_time, sums in list(self._quarters.items()):
            if open_time < oldest and sums.told == sums.written:
                del self._quarters[open_time]

    def _is_new(self, trade: Trade) -> bool:
        if trade.trade_id in self._ids or trade.at <= self._forgotten:
            return False
        if len(self._remembered) >= _REMEMBERED_TRADES:
            forgotten_at, forgotten_id = self._remembered.popleft()
            self._forgotten = max(self._forgotten, forgotten_at)
            self._ids.discard(forgotten_id)
        self._remembered.append((trade.at, trade.trade_id))
        self._ids.add(trade.trade_id)
        return True
