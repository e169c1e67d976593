"""The portfolio and its P&L: the only figures of them on any surface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import Viewer
from api.presenting import position_view
from api.presenting_portfolio import (
    AssetFacts,
    asset_rows,
    by_strategy,
    by_symbol,
    daily_pnl,
    day_views,
    first_day,
    invariant_views,
    not_judged,
    snapshot_view,
    unrecorded_funding,
    with_funding,
)
from api.services import ServicesDep
from db import reading
from db.models import PortfolioHourlySnapshot
from db.repositories import portfolio as rows
from db.repositories.funding_payments import FundingResult, funding_between
from domain.decision_views import PERIODS, PnlView, PortfolioView
from domain.portfolio import day_of, start_of, total

router = APIRouter(prefix="/analytics", tags=["analytics"])

ACCOUNT = "unified"
_MOST_POSITIONS = 1_000
Period = Literal["today", "7d", "30d", "180d", "all"]


class _Books:
    """The current market's books up to the newest instant known, as they stood at one moment."""

    def __init__(
        self, session: AsyncSession, epoch: str | None, now: datetime, newest: PortfolioHourlySnapshot | None
    ) -> None:
        self.session = session
        self.epoch = epoch
        self.now = now
        self.newest = newest
        self.today = day_of(now)

    @classmethod
    async def open(cls, session: AsyncSession) -> _Books:
        await rows.read_as_one(session)
        epoch = await rows.current_epoch(session)
        now = await rows.market_now(session, epoch)
        return cls(session, epoch, now or datetime.now(UTC), await rows.newest_snapshot(session, epoch))

    async def since_snapshot(self) -> list[rows.Result]:
        """What the newest snapshot does not know yet, funding too."""
        return await self._between(self.newest.hour if self.newest else None)

    async def since(self, first: date | None, days: Sequence[rows.DayRow]) -> list[rows.Result]:
        """Everything since ``first``, by strategy and symbol; ``days`` are that period's."""
        after = start_of(first) if first else None
        known = await self._snapshots_funding(after)
        return with_funding(await self._between(after), unrecorded_funding(days, known))

    async def _between(self, after: datetime | None) -> list[rows.Result]:
        results = await rows.results_since(self.session, self.epoch, after, self.now)
        return with_funding(results, await funding_between(self.session, self.epoch, after, self.now))

    async def _snapshots_funding(self, after: datetime | None) -> list[FundingResult]:
        """Payments that the snapshots count."""
        if self.newest is None:
            return []
        return await funding_between(self.session, self.epoch, after, self.newest.hour)

    async def assets(self) -> AssetFacts:
        facts = AssetFacts(
            held=await rows.markets_held(self.session, self.epoch),
            watched=await rows.watched(self.session),
            exposures=await rows.exposures(self.session, self.epoch),
            bought_today=await rows.bought_since(self.session, self.epoch, start_of(self.today)),
            realised=await rows.realised_by_market(self.session, self.epoch),
            dust=await rows.dust_left(self.session, self.epoch),
        )
        return replace(
            facts,
            prices=await rows.live_prices(self.session, facts.markets),
            balances=await rows.base_balances(self.session, ACCOUNT, facts.markets),
        )

    async def worth(self, tail: Iterable[rows.Result], facts: AssetFacts) -> Decimal | None:
        """The newest snapshot, what the ledger brought since, and what is held moved since: a figure of one instant.

        Transfers count from the next full hour on. Before the first snapshot, and while a held symbol
        has no price, it is the exchange's last word.
        """
        unrealised = facts.unrealised_with_dust()
        if self.newest is not None and unrealised is not None:
            since = [*(result.net for result in tail), unrealised, -self.newest.unrealised_pnl]
            return total([self.newest.equity, *since])
        account = await rows.account(self.session, ACCOUNT)
        return account.total_equity if account else None


@router.get("/portfolio")
async def show_portfolio(services: ServicesDep, _caller: Viewer) -> PortfolioView:
    """What the account is worth, what each period brought, and every market held, once held, or watched."""
    wall = datetime.now(UTC)
    async with services.database.session() as session:
        books = await _Books.open(session)
        days = await rows.days_since(session, books.epoch, None)
        tail = await books.since_snapshot()
        facts = await books.assets()
        equity = await books.worth(tail, facts)
        active = await reading.list_positions(session, state="active", symbol=None, cursor=None, limit=_MOST_POSITIONS)
        count = await reading.count_open_positions(session)
    facts = replace(facts, positions=[position_view(each, wall) for each in active])
    newest = books.newest
    return PortfolioView(
        as_of=books.now,
        equity=equity,
        unified_balance=equity,
        funding_balance=None,
        invested=total(exposure.cost for exposure in facts.exposures.values()),
        unrealised_pnl=_unrealised(facts),
        pnl={
            period: total(daily_pnl(days, tail, books.today, first_day(period, books.today)).values())
            for period in PERIODS
        },
        open_positions=count,
        snapshot_hour=newest.hour if newest else None,
        snapshot_equity=newest.equity if newest else None,
        invariants=invariant_views(newest),
        not_judged=not_judged(newest),
        assets=asset_rows(facts, wall),
    )


@router.get("/pnl")
async def show_pnl(services: ServicesDep, _caller: Viewer, period: Annotated[Period, Query()] = "today") -> PnlView:
    """Net P&L by day. Sums by strategy and by symbol are of the same fills: each adds up to ``net_pnl``."""
    async with services.database.session() as session:
        books = await _Books.open(session)
        first = first_day(period, books.today)
        days = await rows.days_since(session, books.epoch, first)
        hours = await rows.hours_since(session, books.epoch, first)
        tail = await books.since_snapshot()
        results = await books.since(first, days)
        facts = await books.assets()
        equity = await books.worth(tail, facts)
    net = daily_pnl(days, tail, books.today, first)
    return PnlView(
        period=period,
        as_of=books.now,
        net_pnl=total(net.values()),
        days=day_views(net, days, books.today, equity, _unrealised(facts)),
        hours=[snapshot_view(row) for row in hours],
        by_strategy=by_strategy(results),
        by_symbol=by_symbol(results),
    )


def _unrealised(facts: AssetFacts) -> Decimal:
    """Of everything open that has a live price."""
    return total(gain for market in facts.exposures if (gain := facts.unrealised(market)) is not None)
