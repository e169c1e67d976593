"""Which public socket a symbol is on: one may carry only so many characters of topic names."""

from __future__ import annotations

from domain.market import Category

_CHARACTERS = 20_000
"""Bybit takes 21,000 a connection."""
_TOPICS_A_SYMBOL = 8
_TOPIC_CHARACTERS = 16
"""Of the longest topic's name besides the symbol, with what separates it from the next."""


class Shards:
    """All topics of a symbol are on one socket, so that its trades keep their order to its candles."""

    def __init__(self) -> None:
        self._shard: dict[tuple[Category, str], int] = {}
        self._subscriptions: dict[tuple[Category, str], int] = {}
        self._characters: dict[tuple[Category, int], int] = {}

    def enter(self, category: Category, symbol: str) -> int:
        """The number of the socket for one more subscription of ``symbol``, from 1 on."""
        key = (category, symbol)
        if key not in self._shard:
            needed, number = _needed(symbol), 1
            while self._characters.get((category, number), 0) + needed > _CHARACTERS:
                number += 1
            self._shard[key] = number
            self._characters[category, number] = self._characters.get((category, number), 0) + needed
        self._subscriptions[key] = self._subscriptions.get(key, 0) + 1
        return self._shard[key]

    def leave(self, category: Category, symbol: str) -> None:
        """One subscription less; with the last the place is free."""
        key = (category, symbol)
        self._subscriptions[key] -= 1
        if self._subscriptions[key] == 0:
            del self._subscriptions[key]
            self._characters[category, self._shard.pop(key)] -= _needed(symbol)


def _needed(symbol: str) -> int:
    return _TOPICS_A_SYMBOL * (len(symbol) + _TOPIC_CHARACTERS)
