"""The portfolio as the API tells it: days, sums and assets worked out from what the database holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from db.models import LivePrice, PortfolioHourlySnapshot, WatchlistScore
from db.repositories.funding_payments import FundingResult
from db.repositories.portfolio import DayRow, Exposure, Market, Result
from domain.decision_views import PERIODS, AssetRow, InvariantView, PnlDay, SnapshotView
from domain.market import Category
from domain.portfolio import total
from domain.views import PositionView, WatchState, age_seconds

FUNDING = "funding"
"""Name of what funding brought to none of our strategies, in sums by strategy."""

_ZERO = Decimal(0)
_WORST_FIRST: tuple[WatchState, ...] = ("none", "stale", "watching")


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """All that is known of the markets that concern us, each by (category, symbol)."""

    held: Mapping[Market, bool]
    watched: Mapping[Market, Sequence[WatchlistScore]]
    exposures: Mapping[Market, Exposure]
    bought_today: Mapping[Market, Decimal]
    realised: Mapping[Market, Decimal]
    prices: Mapping[Market, LivePrice] = field(default_factory=dict)
    balances: Mapping[Market, Decimal] = field(default_factory=dict)
    dust: Mapping[Market, Exposure] = field(default_factory=dict)
    positions: Sequence[PositionView] = ()

    @property
    def markets(self) -> list[Market]:
        return sorted({*self.held, *self.watched, *self.exposures})

    def unrealised(self, market: Market) -> Decimal | None:
        """Profit of what is open, before fees. None without a price."""
        exposure = self.exposures.get(market)
        return None if exposure is None else self._gain(market, exposure)

    def unrealised_with_dust(self) -> Decimal | None:
        """Profit of everything held, dust too, as snapshots count it. None while something has no price."""
        held = [*self.exposures.items(), *self.dust.items()]
        gains = [self._gain(market, exposure) for market, exposure in held]
        known = [gain for gain in gains if gain is not None]
        return total(known) if len(known) == len(gains) else None

    def _gain(self, market: Market, exposure: Exposure) -> Decimal | None:
        price = self.prices.get(market)
        return None if price is None else total([exposure.signed_qty * price.price, -exposure.signed_cost])


def snapshot_view(row: PortfolioHourlySnapshot) -> SnapshotView:
    view = SnapshotView.model_validate(row, from_attributes=True)
    return view.model_copy(update={"broken": sum(1 for each in invariant_views(row) if each.broken)})


def invariant_views(row: PortfolioHourlySnapshot | None) -> list[InvariantView]:
    """As the snapshot judged them; one of an older version judged none."""
    told = [] if row is None else row.detail.get("invariants", {}).get("checks", [])
    return [InvariantView.model_validate(each) for each in told]


def not_judged(row: PortfolioHourlySnapshot | None) -> list[str]:
    return [] if row is None else list(row.detail.get("invariants", {}).get("not_judged", []))


def first_day(period: str, today: date) -> date | None:
    """The first UTC day of a period; None: since the beginning."""
    days = PERIODS[period]
    return None if days is None else today - timedelta(days=days - 1)


def daily_pnl(
    days: Iterable[DayRow], since_snapshot: Iterable[Result], today: date, first: date | None
) -> dict[date, Decimal]:
    """Net P&L of each day from ``first`` on, oldest first: a day's last snapshot, plus what came after the newest."""
    net: defaultdict[date, list[Decimal]] = defaultdict(list, {today: []})
    for row in days:
        net[row.day].append(row.net_pnl)
    for result in since_snapshot:
        net[result.day].append(result.net)
    return {day: total(net[day]) for day in sorted(net) if first is None or day >= first}


def day_views(
    net: Mapping[date, Decimal],
    days: Iterable[DayRow],
    today: date,
    equity: Decimal | None,
    unrealised: Decimal | None,
) -> list[PnlDay]:
    """The days; the running one with what the account is worth now."""
    ends: dict[date, tuple[Decimal | None, Decimal | None]] = {row.day: (row.equity, row.unrealised) for row in days}
    ends[today] = (equity, unrealised)
    return [
        PnlDay(day=day.isoformat(), net_pnl=amount, equity=end[0], unrealised_pnl=end[1])
        for day, amount in net.items()
        for end in [ends.get(day, (None, None))]
    ]


def with_funding(results: Iterable[Result], funding: Iterable[FundingResult]) -> list[Result]:
    """Both as one; what funding brought to none of our strategies is ``FUNDING``'s."""
    return [*results, *(Result(each.day, each.strategy or FUNDING, each.symbol, each.amount) for each in funding)]


def unrecorded_funding(days: Iterable[DayRow], recorded: Iterable[FundingResult]) -> list[FundingResult]:
    """Funding that the snapshots of ``days`` count and no payment stands for: of hours before payments were kept."""
    by_payment: defaultdict[tuple[date, str], list[Decimal]] = defaultdict(list)
    for each in recorded:
        by_payment[each.day, each.symbol].append(-each.amount)
    found = [
        FundingResult(row.day, None, symbol, total([amount, *by_payment[row.day, symbol]]))
        for row in days
        for symbol, amount in row.funding.items()
    ]
    return [each for each in found if each.amount]


def by_strategy(results: Iterable[Result]) -> dict[str, Decimal]:
    return _sums((result.strategy, result.net) for result in results)


def by_symbol(results: Iterable[Result]) -> dict[str, Decimal]:
    return _sums((result.symbol, result.net) for result in results)


def _sums(parts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    found: defaultdict[str, list[Decimal]] = defaultdict(list)
    for name, amount in parts:
        found[name].append(amount)
    return {name: total(found[name]) for name in sorted(found)}


def asset_rows(facts: AssetFacts, now: datetime) -> list[AssetRow]:
    """One row a market: owned ones first, then traded, then watched; each by score, then by name."""
    rows = [_asset(market, facts, now) for market in facts.markets]
    order = {"owned": 0, "traded": 1, "watched": 2}
    return sorted(rows, key=lambda row: (order[row.kind], -(row.score or 0.0), row.symbol, row.category))


def _asset(market: Market, facts: AssetFacts, now: datetime) -> AssetRow:
    exposure, price = facts.exposures.get(market), facts.prices.get(market)
    scores = facts.watched.get(market, ())
    active = facts.held.get(market)
    qty = exposure.qty if exposure else _ZERO
    return AssetRow(
        category=Category(market[0]),
        symbol=market[1],
        kind="owned" if active else "watched" if active is None else "traded",
        balance=facts.balances.get(market),
        qty=qty,
        price=price.price if price else None,
        price_age_seconds=age_seconds(price.received_at, now) if price else None,
        value=qty * price.price if price and exposure else None,
        invested=exposure.cost if exposure else _ZERO,
        invested_today=facts.bought_today.get(market, _ZERO),
        unrealised_pnl=facts.unrealised(market),
        realised_pnl=facts.realised.get(market, _ZERO),
        protected=_protected(market, facts.positions),
        watch=_watch(market, facts.positions),
        score=scores[0].score if scores else None,
        watched_by=[row.strategy for row in scores],
    )


def _protected(market: Market, positions: Sequence[PositionView]) -> bool | None:
    """Whether every position held in the market has a live guard or a resting stop; None: nothing is held."""
    held = [each for each in positions if (each.category, each.symbol) == market and each.qty > 0]
    if not held:
        return None
    return all(_is_protected(each) for each in held)


def _watch(market: Market, positions: Sequence[PositionView]) -> WatchState | None:
    held = [each.watch for each in positions if (each.category, each.symbol) == market and each.qty > 0]
    return next((state for state in _WORST_FIRST if state in held), None)


def _is_protected(position: PositionView) -> bool:
    if position.protection is None:  # just filled, not booked as open yet: on linear its stop came with the entry
        return position.category is Category.LINEAR
    return position.protection.guard_live or position.protection.resting_stop
