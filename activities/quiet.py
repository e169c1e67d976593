"""Step mode: the market goes on when nothing is under way any more, so that two runs see the same at every instant.

Quiet is: what was decided is reserved or refused, every entry and exit is over, every order final or resting, every
guard has judged the newest trade, what the exchange executed is booked, and the candles and takers of the quarter hour
that ended are stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

from pydantic import AwareDatetime, BaseModel
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.beating import beating
from activities.entering import DENIED_EVENT
from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.guard_book import GuardBook
from activities.scan_exits import EXIT_NOT_DELIVERED, EXIT_SIGNAL, REGIME_LEFT
from activities.scan_takers import uncounted
from db.models import BlockedSignal, Order, OrderExecution, Position, Signal, SystemEvent
from db.repositories.candles import count_each
from db.repositories.market import upsert_candles
from db.repositories.signals import RESERVATION
from db.repositories.universe import members
from db.session import Database
from domain.candle import Timeframe
from domain.clock import MarketClock
from domain.ids import OrderRole
from domain.market import Category
from domain.order import FINAL_STATES, OrderState
from domain.position import PositionState
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

_POLL_SECONDS = 0.015
_STREAM_SECONDS = 1.2
"""How long (wall) the streams may take to bring and store what closed; then it is asked for."""
_TAKERS_SECONDS = 2.0
_SAY_EVERY_SECONDS = 5.0
_QUARTER = Timeframe.M15.duration
_IN_PASSING = (PositionState.RESERVED, PositionState.ENTERING, PositionState.EXITING)


class Advance(BaseModel):
    """The market to move on, and where it stood when that was decided: from anywhere else it isn't moved."""

    epoch: str
    now: AwareDatetime


class Advanced(BaseModel):
    """Where the market stands. ``over``: it goes no further."""

    now: AwareDatetime
    over: bool


class StepActivities:
    """Knows the guards of this process: step mode runs with one trading worker."""

    def __init__(self, database: Database, exchange: Exchange, book: GuardBook) -> None:
        self._database = database
        self._exchange = exchange
        self._book = book

    @activity.defn
    async def advance_market(self, advance: Advance) -> Advanced:
        """Wait until all is quiet, then let the market come to its next quarter hour: once, also when repeated."""
        async with beating():
            try:
                clock = await self._exchange.market_clock()
                if not clock.step or (clock.epoch, clock.now) != (advance.epoch, advance.now):
                    return Advanced(now=clock.now, over=False)
                await self._until_quiet(clock)
                target = Timeframe.M15.floor(clock.now) + _QUARTER
                return Advanced(now=(await self._exchange.advance_clock(target)).now, over=False)
            except Refused as refused:
                log.info("the market goes no further", reason=str(refused))
                return Advanced(now=advance.now, over=True)
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't move the market on: {error}") from error

    @activity.defn
    async def await_quiet(self, halted: Advance) -> None:
        """Wait until nothing is under way at the instant where the market stands; at once if it has gone on."""
        async with beating():
            try:
                clock = await self._exchange.market_clock()
                if clock.step and (clock.epoch, clock.now) == (halted.epoch, halted.now):
                    await self._until_quiet(clock)
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"can't see whether the market is quiet: {error}") from error

    async def _until_quiet(self, clock: MarketClock) -> None:
        began = said = time.monotonic()
        while (under_way := await self._under_way(clock, time.monotonic() - began)) is not None:
            if time.monotonic() - said > _SAY_EVERY_SECONDS:
                said = time.monotonic()
                log.info("the market waits", until=under_way)
            await asyncio.sleep(_POLL_SECONDS)

    async def _under_way(self, clock: MarketClock, waited: float) -> str | None:
        """What is not over yet; None when all is quiet. Cheap questions first."""
        async with self._database.session() as session:
            return (
                await _undecided(session, clock)
                or await _moving(session)
                or await _unsettled(session)
                or await self._unwatched(session, clock)
                or await self._unbooked(session, clock)
                or await self._unstored(session, clock, waited)
            )

    async def _unwatched(self, session: AsyncSession, clock: MarketClock) -> str | None:
        held = (await session.scalars(select(Position).where(Position.state == PositionState.OPEN))).all()
        markets = {(Category(position.category), position.symbol) for position in held}
        newest = {}
        for market in sorted(markets):
            trades = await self._exchange.recent_trades(*market)
            newest[market] = trades[-1] if trades else None
        for position in held:
            last = newest[Category(position.category), position.symbol]
            if not self._book.has_judged(position.position_id, last, clock.now):
                return f"the guard of {position.position_id}"
        return None

    async def _unbooked(self, session: AsyncSession, clock: MarketClock) -> str | None:
        since = clock.now - 2 * _QUARTER
        told = [one.exec_id for category in Category for one in await self._exchange.executions(category, since=since)]
        known = set(await session.scalars(select(OrderExecution.exec_id).where(OrderExecution.exec_id.in_(told))))
        return next((f"execution {exec_id}" for exec_id in told if exec_id not in known), None)

    async def _unstored(self, session: AsyncSession, clock: MarketClock, waited: float) -> str | None:
        """Candles and takers of the quarter hour that ended now, as the streams bring them; candles also by REST."""
        if Timeframe.M15.floor(clock.now) != clock.now:
            return None
        markets = [(one.category, one.symbol) for one in await members(session) if one.tradable]
        opened = clock.now - _QUARTER
        stored = await count_each(session, markets, Timeframe.M15, opened, clock.now)
        missing = [market for market, count in stored.items() if count == 0]
        if missing and waited < _STREAM_SECONDS:
            return f"the candle of {missing[0][1]}"
        if missing:
            await self._fetch(session, missing, clock)
        if waited >= _TAKERS_SECONDS:
            return None
        for category in Category:
            symbols = [symbol for each, symbol in markets if each is category]
            behind = await uncounted(session, category, symbols, clock.now)
            if behind:
                return f"what takers did in {behind[0]}"
        return None

    async def _fetch(self, session: AsyncSession, missing: Sequence[tuple[Category, str]], clock: MarketClock) -> None:
        """What can't be had is a gap for the next scan to find."""
        opened = clock.now - _QUARTER
        for category, symbol in missing:
            found = await self._exchange.candles(category, symbol, Timeframe.M15, opened, opened)
            await upsert_candles(session, [candle for candle in found if candle.confirmed])


async def _undecided(session: AsyncSession, clock: MarketClock) -> str | None:
    """An accepted signal that has neither become a position nor been refused."""
    refused = exists().where(BlockedSignal.signal_id == Signal.signal_id, BlockedSignal.stage == RESERVATION)
    denied = exists().where(SystemEvent.subject == Signal.signal_id, SystemEvent.kind == DENIED_EVENT)
    reserved = exists().where(Position.position_id == Signal.signal_id)
    signal = await session.scalar(
        select(Signal.signal_id)
        .where(Signal.epoch == clock.epoch, Signal.close_at > clock.now - timedelta(days=1))
        .where(Signal.blocked_by.is_(None), ~reserved, ~refused, ~denied)
        .limit(1)
    )
    return f"the position of signal {signal}" if signal else None


async def _moving(session: AsyncSession) -> str | None:
    """A position on its way in or out, one that is told to leave, one without its stop, or one already sold."""
    leaving = SystemEvent.kind.in_((EXIT_SIGNAL, REGIME_LEFT))
    told = exists().where(SystemEvent.subject == Position.position_id, leaving)
    silent = exists().where(SystemEvent.subject == Position.position_id, SystemEvent.kind == EXIT_NOT_DELIVERED)
    stop = (Order.position_id == Position.position_id) & (Order.role == OrderRole.STOP)
    sold = exists().where(stop, Order.cum_exec_qty > 0)
    stopless = (Position.category == Category.SPOT) & ~exists().where(stop)
    position = await session.scalar(
        select(Position.position_id)
        .where(
            or_(
                Position.state.in_(_IN_PASSING),
                (Position.state == PositionState.OPEN) & or_(told & ~silent, sold, stopless, Position.qty == 0),
            )
        )
        .limit(1)
    )
    return f"position {position}" if position else None


async def _unsettled(session: AsyncSession) -> str | None:
    """An order that is neither final, nor written ahead for later, nor a stop that rests."""
    quiet = or_(
        Order.state.in_([*FINAL_STATES, OrderState.PREPARED, OrderState.UNTRIGGERED]),
        (Order.role == OrderRole.STOP) & (Order.state == OrderState.NEW),
    )
    order = await session.scalar(select(Order.order_link_id).where(~quiet).limit(1))
    return f"order {order}" if order else None
