"""The stop that rests at the exchange, moved and re-sized: one at a time for a position, each time confirmed.

Linear: the stop loss of the whole position, which follows its size. Spot: a StopOrder of ours, amended where it rests,
so that there is never a moment with two or with none. An answer that was lost is asked for before anything else is
done; the rows say what the exchange last confirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from weakref import WeakKeyDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from activities.guard_notes import state_from_json
from db.models import Order, Position
from db.repositories.audit import record_event
from db.repositories.guards import last_evaluation
from db.repositories.market import find_instrument
from db.repositories.orders import find_order, lock_order
from db.repositories.positions import find_position, lock_position, targets_of
from db.repositories.stops import (
    STOP_MOVED,
    STOP_TOO_SMALL,
    amend_stop,
    confirm_stop,
    newest_stop,
    told_too_small,
    try_lock_stop,
)
from db.session import Database
from domain.exits import ExitPolicy, GuardState, retarget
from domain.ids import OrderRole, order_link_id
from domain.market import Category, Instrument, PositionSide
from domain.order import OrderState, is_final
from domain.position import PositionState
from domain.protection import is_tighter
from domain.sizing import disaster_trigger, stop_qty
from exchange.protocol import Exchange, ExchangeError, ExchangeOrderStatus, Refused
from observability.logs import get_logger

log = get_logger(__name__)

CONFIRM_SECONDS = 6.0
"""How long a move is tried and asked for: longer than a request signed before can still be taken."""
_LOOK_AGAIN_SECONDS = 0.2
_LOCK_AGAIN_SECONDS = 0.1
_AT_ONCE = 4
_NOT_THERE = frozenset({110001, 170213})
_HELD = (PositionState.OPEN, PositionState.EXITING)
_places: WeakKeyDictionary[Database, asyncio.Semaphore] = WeakKeyDictionary()
"""One for all of a process that use a database: their connections come from the same few."""


class StopNotMoved(Exception):
    """The stop is not confirmed where it was wanted.

    ``gone``: nothing rests (it fires, was cancelled, or is not there yet). ``refused``: the exchange says no.
    ``unconfirmed``: it did not answer; ``found`` is what was last seen there.
    """

    def __init__(
        self, outcome: Literal["gone", "refused", "unconfirmed"], message: str, found: Rests | None = None
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.found = found


@dataclass(frozen=True, slots=True)
class Rests:
    """Where a stop rests; ``qty`` is None where it follows the position by itself (linear)."""

    trigger: Decimal
    qty: Decimal | None


@dataclass(frozen=True, slots=True)
class HeldStop:
    """A held position and its stop as the rows tell them. ``order`` is the newest stop order (spot), at rest or not.

    ``attached`` is the stop that came with the entry (linear), for a position in which it was never confirmed since.
    """

    position: Position
    instrument: Instrument
    order: Order | None
    attached: Decimal | None

    @property
    def side(self) -> PositionSide:
        return PositionSide(self.position.side)

    @property
    def linear(self) -> bool:
        return self.instrument.category is Category.LINEAR

    @property
    def rests(self) -> Rests | None:
        """None when nothing rests, as far as is known."""
        if self.linear:
            trigger = self.position.disaster_stop or self.attached
            return None if trigger is None else Rests(trigger, None)
        if self.order is None or self.order.state != OrderState.UNTRIGGERED or self.order.trigger_price is None:
            return None
        return Rests(self.order.trigger_price, self.order.qty)

    @property
    def under_way(self) -> bool:
        """A stop order that neither rests nor is over: being placed, or firing."""
        order = self.order
        return order is not None and self.rests is None and not is_final(OrderState(order.state))


class RestingStops:
    """Use ``move`` inside ``alone``; the others see to that themselves."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._places = _places.setdefault(database, asyncio.Semaphore(_AT_ONCE))

    @asynccontextmanager
    async def alone(self, position_id: str) -> AsyncIterator[None]:
        """Nobody else, in whatever process, moves this position's stop meanwhile.

        The lock is the database's and ends with its connection, so a killed process leaves none behind. Few are held
        at a time: each keeps a connection.
        """
        while True:
            async with self._places, self._database.session() as session:
                if await try_lock_stop(session, position_id):
                    yield
                    return
            await asyncio.sleep(_LOCK_AGAIN_SECONDS)  # not in a place: whoever holds the lock may be frozen

    async def held(self, position_id: str) -> HeldStop | None:
        """None when the position holds nothing (any more)."""
        async with self._database.session() as session:
            position = await find_position(session, position_id)
            if position is None or position.state not in _HELD:
                return None
            instrument = await find_instrument(session, Category(position.category), position.symbol)
            assert instrument is not None, "a held position's instrument is stored"
            entry = await find_order(session, order_link_id(position_id, OrderRole.ENTRY))
            stop = await newest_stop(session, position_id)
            return HeldStop(position, instrument, stop, entry.stop_loss if entry is not None else None)

    async def move(self, held: HeldStop, trigger: Decimal | None, why: str, who: str = "position") -> bool:
        """Rest at ``trigger`` (None: stay) for what is held, confirmed. False when it does already. StopNotMoved.

        A quantity the exchange takes no order for is taken off it instead, and said.
        """
        rests = held.rests
        if rests is None:
            raise StopNotMoved("gone", "no stop rests")
        trigger = rests.trigger if trigger is None else trigger
        qty = None if held.linear else stop_qty(held.instrument, held.position.qty, trigger)
        if qty == 0:
            await self._take_away(held, trigger)
            return True
        return await self.bring(held, Rests(trigger, qty), why, who)

    async def bring(self, held: HeldStop, wanted: Rests, why: str, who: str, *, surely: bool = False) -> bool:
        """Make it rest as wanted. ``surely``: also where the rows say that it does already."""
        if held.rests == wanted and not surely:
            return False
        try:
            await self._put(held, wanted)
        except StopNotMoved as missed:
            if missed.found is not None and missed.found != held.rests:
                await self._record(held, missed.found, f"found there: {why}", who)
            raise
        await self._record(held, wanted, why, who)
        return True

    async def follow(
        self, position_id: str, guard_epoch: int, target_version: int, guard_stop: Decimal, why: str
    ) -> None:
        """Bring the stop to where a guard's stop is now, if that guard and its targets are still those in force.

        StopNotMoved as ``move``.
        """
        async with self.alone(position_id):
            held = await self.held(position_id)
            if held is None or held.rests is None or held.position.state != PositionState.OPEN:
                return
            position = held.position
            if (position.guard_epoch, position.target_version) != (guard_epoch, target_version):
                return
            trigger = disaster_trigger(held.instrument, held.side, guard_stop, position.disaster_buffer_pct)
            inside = not is_tighter(held.side, guard_stop, held.rests.trigger)
            if not inside and not is_tighter(held.side, trigger, held.rests.trigger):
                trigger = held.rests.trigger  # looser than it rests: the quantity alone may have to follow
            await self.move(held, trigger, why, "guard")

    async def resize(self, position_id: str, why: str) -> bool:
        """Let a spot stop sell no more than is left; False: it is under way, ask again. StopNotMoved as ``move``."""
        async with self.alone(position_id):
            held = await self.held(position_id)
            if held is None or held.linear:
                return True
            if held.rests is not None:
                await self.move(held, None, why)
            return not held.under_way

    # the exchange

    async def _put(self, held: HeldStop, wanted: Rests) -> None:
        deadline = time.monotonic() + CONFIRM_SECONDS
        accepted, found = False, None
        while True:
            if not accepted:
                accepted = await self._send(held, wanted)
            found = await self._look_or_none(held) or found
            if found == wanted:
                return
            if time.monotonic() >= deadline:
                raise StopNotMoved("unconfirmed", f"the exchange does not confirm the stop at {wanted.trigger}", found)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _send(self, held: HeldStop, wanted: Rests) -> bool:
        """Whether the exchange took it. Not taken, or not known: the same again does no harm once it was looked."""
        position, order = held.position, held.order
        try:
            if held.linear:
                await self._exchange.set_stop_loss(position.symbol, wanted.trigger)
            else:
                assert order is not None
                await self._exchange.amend_order(
                    Category.SPOT,
                    position.symbol,
                    order.order_link_id,
                    qty=wanted.qty,
                    trigger_price=wanted.trigger,
                )
        except Refused as error:
            found = await self._look_or_none(held)  # raises when it is gone
            gone = error.code in _NOT_THERE
            raise StopNotMoved("gone" if gone else "refused", f"the exchange refuses: {error}", found) from error
        except ExchangeError as error:
            log.warning("stop not known to be moved", position_id=position.position_id, error=str(error))
            return False
        return True

    async def _look_or_none(self, held: HeldStop) -> Rests | None:
        try:
            return await self.look(held)
        except ExchangeError as error:
            log.warning("stop not looked at", position_id=held.position.position_id, error=str(error))
            return None

    async def look(self, held: HeldStop) -> Rests | None:
        """What rests at the exchange; None: no stop loss on it, or the order was not found (which proves nothing).

        StopNotMoved (gone) when there is nothing to protect, or the order is not waiting any more. ExchangeError.
        """
        symbol = held.position.symbol
        if held.linear:
            for report in await self._exchange.positions(Category.LINEAR, symbol):
                if report.size > 0 and report.side is held.side:
                    return None if report.stop_loss is None else Rests(report.stop_loss, None)
            raise StopNotMoved("gone", f"the exchange holds no {held.side} position of {symbol}")
        assert held.order is not None
        report = await self._exchange.find_order(Category.SPOT, symbol, held.order.order_link_id)
        if report is None or report.trigger_price is None:
            return None
        if report.status is not ExchangeOrderStatus.UNTRIGGERED:
            raise StopNotMoved("gone", f"{held.order.order_link_id} is {report.status}")
        return Rests(report.trigger_price, report.qty)

    async def _take_away(self, held: HeldStop, trigger: Decimal) -> None:
        """What is left is too little for an order: the stop can't be made that small, and must not sell more."""
        assert held.order is not None
        order_id, position = held.order.order_link_id, held.position
        detail = {"order": order_id, "qty": str(position.qty), "trigger": str(trigger)}
        material = position.qty >= held.instrument.min_order_qty
        severity = "page" if material else "warning"
        async with self._database.session() as session:
            if not await told_too_small(session, position.position_id, order_id):
                record_event(
                    session, STOP_TOO_SMALL, position.position_id, who="position", severity=severity, detail=detail
                )
        try:
            await self._exchange.cancel_order(Category.SPOT, position.symbol, order_id)
        except Refused as error:
            raise StopNotMoved("gone", f"{order_id} can't be cancelled: {error}") from error
        except ExchangeError as error:
            raise StopNotMoved("unconfirmed", f"{order_id} may not be cancelled: {error}") from error

    async def _record(self, held: HeldStop, now: Rests, why: str, who: str) -> None:
        position_id, before = held.position.position_id, held.rests
        async with self._database.session() as session:
            await lock_position(session, position_id)  # before its order, as all do
            await confirm_stop(session, position_id, now.trigger)
            if held.order is not None and now.qty is not None:
                amend_stop(session, await lock_order(session, held.order.order_link_id), now.trigger, now.qty, why)
            detail = {"from": _told(before), "to": _told(now), "why": why}
            record_event(session, STOP_MOVED, position_id, who=who, detail=detail)
        log.info("stop at the exchange moved", position_id=position_id, **detail)


async def guard_stop_of(session: AsyncSession, position: Position, policy: ExitPolicy | None = None) -> Decimal:
    """Where the guard's stop is, or under another ``policy`` would be; never tighter than it really is.

    From what the guard last wrote down: what it has seen since can only have tightened it. Raises ValueError for a
    policy that can't be reached on the position's side.
    """
    if policy is None:
        row = await targets_of(session, position.position_id, position.target_version)
        policy = ExitPolicy.model_validate(row.policy)
    noted = await last_evaluation(session, position.position_id)
    if noted is not None:
        state, _ = state_from_json(noted.state)
    else:
        assert position.entry_price is not None
        assert position.opened_at is not None
        state = GuardState.opened(PositionSide(position.side), position.entry_price, position.opened_at, policy)
    return retarget(state, policy).stop_price


def _told(rests: Rests | None) -> str:
    if rests is None:
        return "nowhere"
    return f"{rests.trigger:f}" if rests.qty is None else f"{rests.qty:f} at {rests.trigger:f}"
