"""What the portfolio's pages read: P&L by day, strategy and symbol, snapshots, and every market that concerns us.

Finished days are the view ``portfolio_daily`` (a day's last snapshot). What came after the newest snapshot is read from
the ledger by the same definition: gross profit of what was closed, less the fee of every fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Date, Text, and_, case, column, func, literal, or_, select, table, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from db.models import (
    Dust,
    ExecutionApplication,
    InstrumentRow,
    LivePrice,
    LotMatchRow,
    LotRow,
    MarketClockCursor,
    OrderExecution,
    PortfolioHourlySnapshot,
    Position,
    WalletAccount,
    WalletBalance,
    WatchlistScore,
)
from domain.market import PositionSide
from domain.position import ACTIVE_STATES

Market = tuple[str, str]

_DAILY = table(
    "portfolio_daily",
    column("epoch", Text),
    column("day", Date),
    column("hour", PortfolioHourlySnapshot.hour.type),
    column("equity", PortfolioHourlySnapshot.equity.type),
    column("unrealised_pnl", PortfolioHourlySnapshot.unrealised_pnl.type),
    column("net_pnl_daily", PortfolioHourlySnapshot.net_pnl_daily.type),
)


@dataclass(frozen=True, slots=True)
class DayRow:
    """A day's last snapshot; ``funding`` of the day by symbol, already in ``net_pnl``."""

    day: date
    hour: datetime
    equity: Decimal
    unrealised: Decimal
    net_pnl: Decimal
    funding: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Result:
    """What fills of one UTC day made with a symbol for a strategy: gross profit less fees."""

    day: date
    strategy: str
    symbol: str
    net: Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """What positions hold of a market now. ``signed`` values count shorts below 0: for unrealised profit."""

    qty: Decimal
    cost: Decimal
    signed_qty: Decimal
    signed_cost: Decimal


async def read_as_one(session: AsyncSession) -> None:
    """Make every statement of the transaction see the same rows. Must come before the first one.

    A snapshot that is written in between would otherwise be counted twice: as a day's last and as what came after.
    """
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


async def current_epoch(session: AsyncSession) -> str | None:
    """The market being traded: the one whose clock moved last, before there is a clock that of the newest position."""
    clock = select(MarketClockCursor.epoch).order_by(MarketClockCursor.updated_at.desc()).limit(1)
    position = select(Position.market_epoch).order_by(Position.created_wall.desc()).limit(1)
    return await session.scalar(clock) or await session.scalar(position)


async def market_now(session: AsyncSession, epoch: str | None) -> datetime | None:
    """The latest market time known of: freshest live price, clock, newest snapshot, newest fill."""
    price = select(LivePrice.market_at).order_by(LivePrice.received_at.desc()).limit(1)
    cursor = select(func.greatest(MarketClockCursor.scanned_until, MarketClockCursor.snapshot_until)).where(
        MarketClockCursor.epoch == epoch
    )
    snapshot = select(func.max(PortfolioHourlySnapshot.taken_at)).where(PortfolioHourlySnapshot.epoch == epoch)
    fill = (
        select(func.max(OrderExecution.executed_at))
        .join(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .join(Position, Position.position_id == ExecutionApplication.position_id)
        .where(Position.market_epoch == epoch)
    )
    known = [await session.scalar(query) for query in (price, cursor, snapshot, fill)]
    return max((at for at in known if at is not None), default=None)


async def newest_snapshot(session: AsyncSession, epoch: str | None) -> PortfolioHourlySnapshot | None:
    return await session.scalar(
        select(PortfolioHourlySnapshot)
        .where(PortfolioHourlySnapshot.epoch == epoch)
        .order_by(PortfolioHourlySnapshot.hour.desc())
        .limit(1)
    )


async def hours_since(
    session: AsyncSession, epoch: str | None, first_day: date | None
) -> Sequence[PortfolioHourlySnapshot]:
    """Snapshots of the days from ``first_day`` on (None: all), oldest first."""
    query = select(PortfolioHourlySnapshot).where(PortfolioHourlySnapshot.epoch == epoch)
    if first_day is not None:
        query = query.where(PortfolioHourlySnapshot.day >= first_day)
    return (await session.scalars(query.order_by(PortfolioHourlySnapshot.hour))).all()


async def days_since(session: AsyncSession, epoch: str | None, first_day: date | None) -> list[DayRow]:
    """The last snapshot of each day from ``first_day`` on (None: all), oldest first."""
    row = _DAILY.c
    query = (
        select(row.day, row.hour, row.equity, row.unrealised_pnl, row.net_pnl_daily, PortfolioHourlySnapshot.detail)
        .join(
            PortfolioHourlySnapshot,
            and_(PortfolioHourlySnapshot.epoch == row.epoch, PortfolioHourlySnapshot.hour == row.hour),
        )
        .where(row.epoch == epoch)
        .order_by(row.day)
    )
    if first_day is not None:
        query = query.where(row.day >= first_day)
    return [
        DayRow(day, hour, equity, unrealised, net, _amounts(detail.get("funding_today")))
        for day, hour, equity, unrealised, net, detail in await session.execute(query)
    ]


def _amounts(told: dict[str, str] | None) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in (told or {}).items()}


async def results_since(
    session: AsyncSession, epoch: str | None, after: datetime | None, until: datetime
) -> list[Result]:
    """What (after, until] brought, by UTC day, strategy and symbol; ``after`` None: since the beginning.

    Fees count when they are paid, those of positions still open too.
    """
    gross = (
        select(
            _day(LotMatchRow.matched_at).label("day"),
            Position.strategy.label("strategy"),
            Position.symbol.label("symbol"),
            LotMatchRow.gross.label("amount"),
        )
        .join(Position, Position.position_id == LotMatchRow.position_id)
        .where(Position.market_epoch == epoch, *_inside(LotMatchRow.matched_at, after, until))
    )
    fees = (
        select(
            _day(OrderExecution.executed_at),
            Position.strategy,
            Position.symbol,
            -_fee_in_quote(),
        )
        .join(ExecutionApplication, ExecutionApplication.exec_id == OrderExecution.exec_id)
        .join(Position, Position.position_id == ExecutionApplication.position_id)
        .join(
            InstrumentRow,
            (InstrumentRow.category == OrderExecution.category) & (InstrumentRow.symbol == OrderExecution.symbol),
        )
        .where(Position.market_epoch == epoch, *_inside(OrderExecution.executed_at, after, until))
    )
    parts = gross.union_all(fees).subquery().c
    key = (parts.day, parts.strategy, parts.symbol)
    query = select(*key, func.sum(parts.amount)).group_by(*key).order_by(*key)
    return [Result(*row) for row in await session.execute(query)]


def _inside(at: InstrumentedAttribute[datetime], after: datetime | None, until: datetime) -> list[ColumnElement[bool]]:
    return [at <= until] if after is None else [at > after, at <= until]


def _day(at: InstrumentedAttribute[datetime]) -> ColumnElement[date]:
    """``domain.portfolio.day_of``: midnight belongs to the day it ends."""
    return func.timezone("UTC", at - timedelta(microseconds=1)).cast(Date)


def _fee_in_quote() -> ColumnElement[Decimal]:
    """``domain.ledger.fee_in_quote``, a third coin's fee as the ledger books it: without value."""
    return case(
        (OrderExecution.fee_coin == InstrumentRow.quote_coin, OrderExecution.fee),
        (OrderExecution.fee_coin == InstrumentRow.base_coin, OrderExecution.fee * OrderExecution.price),
        else_=literal(0),
    )


async def account(session: AsyncSession, name: str) -> WalletAccount | None:
    return await session.get(WalletAccount, name)


async def exposures(session: AsyncSession, epoch: str | None) -> dict[Market, Exposure]:
    """What open lots hold, by market; markets without any are left out."""
    sign = case((LotRow.side == PositionSide.LONG.value, 1), else_=-1)
    cost = LotRow.qty_left * LotRow.price
    query = (
        select(
            LotRow.category,
            LotRow.symbol,
            func.sum(LotRow.qty_left),
            func.sum(cost),
            func.sum(sign * LotRow.qty_left),
            func.sum(sign * cost),
        )
        .join(Position, Position.position_id == LotRow.position_id)
        .where(Position.market_epoch == epoch, LotRow.qty_left > 0)
        .group_by(LotRow.category, LotRow.symbol)
    )
    return {(row[0], row[1]): Exposure(*row[2:]) for row in await session.execute(query)}


async def dust_left(session: AsyncSession, epoch: str | None) -> dict[Market, Exposure]:
    """What closed positions could not sell, by market, at the price of the lot it is left of: the oldest."""
    oldest = select(LotRow.position_id, LotRow.price).ext(distinct_on(LotRow.position_id))
    lots = oldest.order_by(LotRow.position_id, LotRow.opened_at, LotRow.exec_id).subquery().c
    cost = func.sum(Dust.qty * lots.price)
    query = (
        select(Position.category, Position.symbol, func.sum(Dust.qty), cost, func.sum(Dust.qty), cost)
        .join(Position, Position.position_id == Dust.position_id)
        .join(lots.position_id.table, lots.position_id == Dust.position_id)
        .where(Position.market_epoch == epoch)
        .group_by(Position.category, Position.symbol)
    )
    return {(row[0], row[1]): Exposure(*row[2:]) for row in await session.execute(query)}


async def markets_held(session: AsyncSession, epoch: str | None) -> dict[Market, bool]:
    """Markets a position is or was open in; True where one is active."""
    active = Position.state.in_(ACTIVE_STATES)
    query = (
        select(Position.category, Position.symbol, func.bool_or(active))
        .where(Position.market_epoch == epoch, or_(active, Position.opened_at.is_not(None)))
        .group_by(Position.category, Position.symbol)
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(query)}


async def bought_since(session: AsyncSession, epoch: str | None, after: datetime) -> dict[Market, Decimal]:
    """What was put into positions after ``after``, by market, quote coin."""
    query = (
        select(LotRow.category, LotRow.symbol, func.sum(LotRow.qty * LotRow.price))
        .join(Position, Position.position_id == LotRow.position_id)
        .where(Position.market_epoch == epoch, LotRow.opened_at > after)
        .group_by(LotRow.category, LotRow.symbol)
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(query)}


async def realised_by_market(session: AsyncSession, epoch: str | None) -> dict[Market, Decimal]:
    """Net profit of everything closed, by market."""
    query = (
        select(Position.category, Position.symbol, func.sum(LotMatchRow.net))
        .join(LotMatchRow, LotMatchRow.position_id == Position.position_id)
        .where(Position.market_epoch == epoch)
        .group_by(Position.category, Position.symbol)
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(query)}


async def watched(session: AsyncSession) -> dict[Market, list[WatchlistScore]]:
    """Scores by market, the best first."""
    found: dict[Market, list[WatchlistScore]] = {}
    for row in await session.scalars(
        select(WatchlistScore).order_by(WatchlistScore.score.desc(), WatchlistScore.strategy)
    ):
        found.setdefault((row.category, row.symbol), []).append(row)
    return found


async def live_prices(session: AsyncSession, markets: Sequence[Market]) -> dict[Market, LivePrice]:
    query = select(LivePrice).where(tuple_(LivePrice.category, LivePrice.symbol).in_(markets))
    return {(row.category, row.symbol): row for row in await session.scalars(query)}


async def base_balances(session: AsyncSession, name: str, markets: Sequence[Market]) -> dict[Market, Decimal]:
    """The account's balance of each spot market's base coin, where it has one."""
    query = (
        select(InstrumentRow.category, InstrumentRow.symbol, WalletBalance.wallet_balance)
        .join(WalletBalance, WalletBalance.coin == InstrumentRow.base_coin)
        .where(
            WalletBalance.account == name,
            InstrumentRow.category == "spot",
            tuple_(InstrumentRow.category, InstrumentRow.symbol).in_(markets),
        )
    )
    return {(row[0], row[1]): row[2] for row in await session.execute(query)}
