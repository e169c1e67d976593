"""What must hold of the books at every full hour, and by how much it doesn't.

- Coins: lots left = the exchange's balance less dust and what is foreign.
- Linear symbols: lots left = the exchange's size less what is foreign.
- Equity moved by what was realised, unrealised, paid and transferred, and by what others did.

Everything is as of the hour. What is *foreign* of a coin can't be told from a balance: it is what was there at the
first look, and every change of the exchange's log since that no fill of ours stands behind. What a look finds
unexplained stays so in the next, until something explains it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, localcontext
from enum import StrEnum

from domain.market import Category
from domain.portfolio import CENT, DOLLARS, TRANSFERS, Holding, LogBehind, Movement, Prices, SoldBeyond, total

_ZERO = Decimal(0)
_EXACT = Context(prec=200, traps=[Inexact])


class Invariant(StrEnum):
    """What is held against the exchange. Each is said at most once an hour."""

    SPOT_LOTS = "spot_lots"
    LINEAR_LOTS = "linear_lots"
    EQUITY = "equity"


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: ``exchange`` = ``lots`` + ``dust`` + ``foreign`` + ``unexplained``, in ``subject``'s own unit.

    ``worth`` is what is unexplained in dollars, without sign; None where nothing prices it. Of equity ``exchange`` is
    by how much it moved, ``lots`` what our books explain of that, ``foreign`` what others did.
    """

    kind: Invariant
    subject: str
    exchange: Decimal
    lots: Decimal
    dust: Decimal
    foreign: Decimal
    unexplained: Decimal
    worth: Decimal | None

    @property
    def broken(self) -> bool:
        """Whether more than a cent is unexplained."""
        return self.unexplained != 0 and (self.worth is None or self.worth > CENT)

    @property
    def sentence(self) -> str:
        if self.kind is Invariant.EQUITY:
            return (
                f"equity moved by {self.exchange:f}, the books explain {self.lots:f} and others {self.foreign:f}: "
                f"{self.unexplained:f} is unexplained"
            )
        return (
            f"the exchange held {self.exchange:f} {self.subject}, our lots {self.lots:f}, dust {self.dust:f}, "
            f"others {self.foreign:f}: {self.unexplained:f} is unexplained"
        )


@dataclass(frozen=True, slots=True)
class Others:
    """Rows of the exchange's log that no fill of ours stands behind. ``coins`` of each fill of ours, by its id, are the
    two that it is booked in; ``beyond`` is what its sales took that no position held."""

    rows: Sequence[Movement]
    coins: Mapping[str, tuple[str, str]]
    beyond: Sequence[SoldBeyond]

    def changes(self, after: datetime, until: datetime) -> dict[str, Decimal]:
        """By how much (after, until] changed each coin beside our lots, transfers too. Dollars are left out."""
        found: defaultdict[str, Decimal] = defaultdict(Decimal)
        with localcontext(_EXACT):
            for row in self._not_ours(after, until):
                if row.coin not in DOLLARS:
                    found[row.coin] += row.change
            for sale in self.beyond:
                if after < sale.at <= until:
                    found[sale.coin] -= sale.qty
        return dict(found)

    def brought(self, prices: Prices, after: datetime, until: datetime) -> Decimal:
        """What (after, until] brought by them, dollars, without transfers and funding, which are told apart."""
        with localcontext(_EXACT):
            return sum(
                (
                    (row.change - row.funding) * prices.of_coin(row.coin)
                    for row in self._not_ours(after, until)
                    if row.kind not in TRANSFERS
                ),
                _ZERO,
            )

    def traded(self, after: datetime, until: datetime) -> set[str]:
        """Linear symbols that others traded in (after, until]."""
        rows = self._not_ours(after, until)
        return {row.symbol for row in rows if row.category is Category.LINEAR and row.traded}

    def _not_ours(self, after: datetime, until: datetime) -> list[Movement]:
        inside = (row for row in self.rows if after < row.at <= until)
        return [row for row in inside if row.coin not in self.coins.get(row.exec_id, ())]


def foreign_coins(
    not_ours: Mapping[str, Decimal], changes: Mapping[str, Decimal], standing: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """What is foreign of each coin: what the look before found beyond our lots, less what was unexplained of that
    (``standing``), and others' ``changes`` since."""
    with localcontext(_EXACT):
        return {
            coin: not_ours.get(coin, _ZERO) - standing.get(coin, _ZERO) + changes.get(coin, _ZERO)
            for coin in {*not_ours, *changes, *standing}
        }


def check_coins(
    balances: Mapping[str, Decimal], holdings: Sequence[Holding], foreign: Mapping[str, Decimal] | None, prices: Prices
) -> list[Check]:
    """Lots of each coin against its balance. At a market's first look (``foreign`` None) what lots don't hold is."""
    mine = [each for each in holdings if each.category is Category.SPOT]
    checks = []
    for coin in sorted(({each.coin for each in mine} | set(balances) | set(foreign or {})) - DOLLARS):
        lots = total(each.qty for each in mine if each.coin == coin and not each.dust)
        dust = total(each.qty for each in mine if each.coin == coin and each.dust)
        with localcontext(_EXACT):
            balance = balances.get(coin, _ZERO)
            theirs = max(balance - lots - dust, _ZERO) if foreign is None else foreign.get(coin, _ZERO)
            gap = balance - lots - dust - theirs
            if lots or dust or gap:
                worth = _worth(gap, prices.of_coin(coin))
                checks.append(Check(Invariant.SPOT_LOTS, coin, balance, lots, dust, theirs, gap, worth))
    return checks


def check_sizes(
    sizes: Mapping[str, Decimal], holdings: Sequence[Holding], foreign: Mapping[str, Decimal], prices: Prices
) -> list[Check]:
    """Lots of each linear symbol against the exchange's size, signed. ``foreign`` is what others hold."""
    mine = [each for each in holdings if each.category is Category.LINEAR]
    checks = []
    for symbol in sorted({each.symbol for each in mine} | set(sizes) | set(foreign)):
        held = [each for each in mine if each.symbol == symbol]
        lots = total(each.side.sign * each.qty for each in held if not each.dust)
        dust = total(each.side.sign * each.qty for each in held if each.dust)
        with localcontext(_EXACT):
            size, theirs = sizes.get(symbol, _ZERO), foreign.get(symbol, _ZERO)
            gap = size - lots - dust - theirs
            if size or lots or dust or gap:
                worth = _worth(gap, prices.linear.get(symbol, _ZERO))
                checks.append(Check(Invariant.LINEAR_LOTS, symbol, size, lots, dust, theirs, gap, worth))
    return checks


def check_equity(moved: Decimal, explained: Decimal, others: Decimal) -> Check:
    """A change of equity against what the books say of it and what others did."""
    with localcontext(_EXACT):
        gap = moved - explained - others
    return Check(Invariant.EQUITY, "equity", moved, explained, _ZERO, others, gap, abs(gap))


def sizes_at(
    now: Mapping[str, Decimal], rows: Sequence[Movement], at: datetime, *, proved: bool = True
) -> dict[str, Decimal]:
    """Signed size of every linear symbol at ``at``: before its first row after ``at``, else what the exchange says
    ``now``. ``rows`` as ``domain.portfolio.balances_at`` wants them; raises LogBehind as it does."""
    mine = [row for row in rows if row.category is Category.LINEAR and row.symbol]
    sizes: dict[str, Decimal] = {}
    for symbol in sorted({row.symbol for row in mine} | set(now)):
        of_symbol = [row for row in mine if row.symbol == symbol]
        later = next((row for row in of_symbol if row.at > at), None)
        earlier = [row for row in of_symbol if row.at <= at]
        with localcontext(_EXACT):
            size = now.get(symbol, _ZERO) if later is None else later.size - later.traded
        if proved and earlier and earlier[-1].size != size:
            raise LogBehind(f"{symbol}: the exchange held {size}, by its log {earlier[-1].size}")
        if size:
            sizes[symbol] = size
    return sizes


def mixed_symbols(
    ours: Iterable[set[str]], others: Iterable[set[str]], mixed_before: set[str], held_before: set[str]
) -> set[str]:
    """Linear symbols in which the exchange cut profit over others and us together: cash can't be told apart there
    until our position is over. ``ours`` and ``others``: symbols each held or traded since the look before."""
    return (set().union(*ours) & set().union(*others)) | (mixed_before & held_before)


def _worth(gap: Decimal, price: Decimal) -> Decimal | None:
    return abs(gap * price) if price or not gap else None
