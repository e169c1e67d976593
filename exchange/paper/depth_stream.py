"""One ``orderbook`` topic: the book its listeners have, and what brings it up to date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from exchange.paper.shown_book import Level
from exchange.paper.wire import EPOCH, to_millis

# How often a depth is told, in seconds of the wall (0: whenever the market moved), as Bybit does it
DEPTH_SECONDS = {1: 0.0, 50: 0.0, 200: 0.1, 500: 0.1, 1000: 0.2}
_MICROSECOND = timedelta(microseconds=1)

Book = tuple[Sequence[Level], Sequence[Level]]  # bids and asks, best first
Told = tuple[str, dict[str, Any], int]  # a message's type, data and cts


def sequence_of(at: datetime) -> int:
    """Number of the book that stands at a market instant: rising, and the same in every topic and in REST."""
    return (at - EPOCH) // _MICROSECOND


class DepthStream:
    """Messages of one topic. ``update`` is the number of its last one, which goes on from one listener to the next."""

    def __init__(self, symbol: str, depth: int, update: int) -> None:
        self.depth = depth
        self.update = update
        self._symbol = symbol
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self._at: datetime | None = None

    def snapshot(self, book: Book, at: datetime) -> Told:
        """Tell the whole book anew."""
        self._set(book, at)
        return self.repeated()

    def repeated(self) -> Told:
        """The book as it was last told: what a listener begins with whom the next changes will reach."""
        return "snapshot", self._data(list(self._bids.items()), list(self._asks.items())), self._cts()

    def changes(self, book: Book, at: datetime) -> Told | None:
        """What makes the book last told into ``book``; None if that is nothing. The top alone is told whole."""
        bids, asks = book
        changed = _changes(self._bids, bids), _changes(self._asks, asks)
        if not any(changed):
            return None
        self._set(book, at)
        if self.depth == 1:
            return self.repeated()
        return "delta", self._data(*changed), self._cts()

    def _set(self, book: Book, at: datetime) -> None:
        self._bids, self._asks = (dict(side) for side in book)
        self._at = at
        self.update += 1

    def _data(self, bids: list[Level], asks: list[Level]) -> dict[str, Any]:
        assert self._at is not None
        return {"s": self._symbol, "b": bids, "a": asks, "u": self.update, "seq": sequence_of(self._at)}

    def _cts(self) -> int:
        assert self._at is not None
        return to_millis(self._at)


def _changes(told: dict[str, str], side: Sequence[Level]) -> list[Level]:
    """Levels that are new or hold another quantity, and those that are gone, with the quantity "0"."""
    standing = {price for price, _ in side}
    gone = [(price, "0") for price in told if price not in standing]
    return gone + [level for level in side if told.get(level[0]) != level[1]]
