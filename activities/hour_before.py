"""The snapshot before an hour's own: what it said, or what today's books say of its instant.

The two differ when something that happened before it was booked after it (somebody's sale of coins of ours is, seconds
later). Then a change since is told from today's books at both ends, so that the late booking is in both; otherwise from
what was written, so that books which changed without an execution show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from db.models import PortfolioHourlySnapshot
from db.repositories.snapshots import LedgerAt
from domain.market import Category
from domain.portfolio import Holding, Movement, Prices, booked_apart, coins_not_ours, holdings_at, value


@dataclass(frozen=True)
class HourBefore:
    """``ledger``: as of ``hour``. Without a ``row`` there is nothing to compare with; the stretch is the hour.

    ``late``: something that happened before it was booked after the row was written.
    """

    hour: datetime
    row: PortfolioHourlySnapshot | None
    ledger: LedgerAt
    late: bool

    def told(self, name: str) -> dict[str, Decimal]:
        """Decimals by name out of the row's detail."""
        return {} if self.row is None else {key: Decimal(text) for key, text in self.row.detail[name].items()}

    @cached_property
    def holdings(self) -> Sequence[Holding]:
        return holdings_at(self.ledger.lots, self.ledger.closings, self.hour)

    @property
    def partly_closed(self) -> list[datetime]:
        """When linear positions open at that instant had been closed in part: the log must reach back to there."""
        return closings_of_open(self.holdings, self.ledger)

    @cached_property
    def not_ours(self) -> dict[str, Decimal]:
        """Coins other than dollars beyond what our lots held of them."""
        return coins_not_ours(self.holdings, self.told("balances")) if self.late else self.told("not_ours")

    def standing(self, log: Sequence[Movement]) -> tuple[Decimal, Decimal]:
        """(equity, unrealised profit) at its instant."""
        assert self.row is not None
        prices = Prices(self.told("coin_prices"), self.told("linear_prices"))
        if not self.late or not all(_priced(each, prices) for each in self.holdings):
            return self.row.equity, self.row.unrealised_pnl
        apart = booked_apart(self.holdings, self.ledger.closings, log, self.hour)
        then = value(self.holdings, self.told("balances"), prices, apart)
        return then.equity, then.unrealised


def closings_of_open(holdings: Sequence[Holding], ledger: LedgerAt) -> list[datetime]:
    """When the linear positions of ``holdings`` were closed in part."""
    open_then = {holding.position_id for holding in holdings if holding.category is Category.LINEAR}
    return [closing.at for closing in ledger.closings if closing.position_id in open_then]


def _priced(holding: Holding, prices: Prices) -> bool:
    if holding.category is Category.LINEAR:
        return holding.symbol in prices.linear
    return bool(prices.of_coin(holding.coin))
