"""What is held and was done, as the gates see it: one reading for many candidates, current while they are accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from domain.gate_facts import OTHERS, Book
from domain.market import Category


@dataclass(frozen=True, slots=True)
class Held:
    """An active position, or one about to be: what it costs (quote coin)."""

    position_id: str
    strategy: str
    category: Category
    symbol: str
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Holdings:
    """Every active position of ours, linear symbols that others hold, and what strategies did in one market's time."""

    held: tuple[Held, ...]
    foreign: frozenset[str]
    last_closed: Mapping[tuple[str, str, str], datetime]
    entries_today: Mapping[str, int]
    net_pnl_today: Decimal

    def book(self, strategy: str, category: Category, symbol: str) -> Book:
        """The book as a candidate of ``strategy`` on the symbol sees it."""
        return Book(
            holder=self._holder(strategy, category, symbol),
            strategy_positions=sum(one.strategy == strategy for one in self.held),
            open_positions=len(self.held),
            symbol_exposure=sum((one.cost for one in self.held if one.symbol == symbol), Decimal(0)),
            last_closed_at=self.last_closed.get((strategy, category, symbol)),
            trades_today=self.entries_today.get(strategy, 0),
            net_pnl_today=self.net_pnl_today,
        )

    def _holder(self, strategy: str, category: Category, symbol: str) -> str | None:
        """Who has the place: on spot each strategy has its own, on linear the exchange nets whatever is held."""
        linear = category is Category.LINEAR
        for one in self.held:
            if (one.category, one.symbol) == (category, symbol) and (linear or one.strategy == strategy):
                return one.position_id
        return OTHERS if linear and symbol in self.foreign else None

    def unpaid(self, paid: Collection[str]) -> Decimal:
        """Quote coin that is spoken for of a wallet which was read after ``paid`` were its paid positions.

        Margin of linear positions (1x), entries not bought yet, and what was bought since: that the wallet's figure is
        without its price is not sure, and money counted twice would be spent twice.
        """
        return sum((one.cost for one in self.held if one.position_id not in paid), Decimal(0))

    def accepting(self, candidate: Held) -> Holdings:
        """The same after ``candidate`` was accepted: it holds its place from now on."""
        entries = {**self.entries_today, candidate.strategy: self.entries_today.get(candidate.strategy, 0) + 1}
        return replace(self, held=(*self.held, candidate), entries_today=entries)
