"""When a shadow market listened, and when not: only candles of unbroken stretches are sums of its trades."""

from __future__ import annotations

from collections.abc import Iterable

from domain.market import Category
from exchange.paper.feeds.shadow_store import ShadowStore

_ALWAYS = 0


class Listening:
    """The gaps of each category, kept in ``store``: one is open from the beginning, and from every cut on.

    Times are market ms. A process that was killed was cut off when it last noted that it heard.
    """

    def __init__(self, store: ShadowStore, categories: Iterable[Category], now_ms: int) -> None:
        self._store = store
        self._gaps: dict[Category, list[tuple[int, int | None]]] = {category: [] for category in categories}
        self._heard: dict[Category, int] = {}
        for category, begin, end in store.gaps():
            self._gaps.setdefault(category, []).append((begin, end))
        for category, gaps in self._gaps.items():
            if not gaps:
                self._open(category, _ALWAYS)
            elif gaps[-1][1] is not None:
                self._open(category, max(store.fact(f"heard/{category}") or _ALWAYS, gaps[-1][1]))

    def heard_until(self, now_ms: int) -> None:
        """Everything up to here was heard, of the categories that are."""
        self._heard = {category: now_ms for category, gaps in self._gaps.items() if gaps[-1][1] is not None}
        self._store.keep({f"heard/{category}": at for category, at in self._heard.items()})

    def resumed(self, category: Category, now_ms: int) -> None:
        begin, end = self._gaps[category][-1]
        if end is None:
            self._gaps[category][-1] = begin, now_ms
            self._store.keep_gap(category, begin, now_ms)
            self._heard[category] = now_ms

    def cut(self, category: Category) -> None:
        _, end = self._gaps[category][-1]
        if end is not None:
            self._open(category, max(self._heard.get(category, end), end))

    def covers(self, category: Category, begin_ms: int, end_ms: int) -> bool:
        """Whether [begin_ms, end_ms) was heard from beginning to end."""
        return all(end_ms <= begin or (end is not None and end <= begin_ms) for begin, end in self._gaps[category])

    def _open(self, category: Category, begin_ms: int) -> None:
        self._gaps[category].append((begin_ms, None))
        self._store.keep_gap(category, begin_ms, None)
