"""The closed orders that ``order/realtime`` still tells: the last of each symbol, in memory, gone with a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from domain.market import Category
from exchange.paper.core.events import Event, OrderChanged

KEPT = 500


class ClosedOrders:
    """Sequences of orders that closed since the start, the last ``KEPT`` of each category and symbol."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Category, str], deque[int]] = {}

    def note(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, OrderChanged) and not event.order.is_open:
                key = (event.order.category, event.order.symbol)
                self._kept.setdefault(key, deque(maxlen=KEPT)).append(event.order.sequence)

    def sequences(self, category: Category) -> tuple[int, ...]:
        """Of all the category's symbols."""
        return tuple(number for key, kept in self._kept.items() if key[0] is category for number in kept)
