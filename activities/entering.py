"""Entering a position: the reservation and its refusals, and booking what the entry order brought."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import AwareDatetime, BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.failures import EXCHANGE_UNAVAILABLE, failure
from activities.intents import exit_intent, intent_of, stop_intent
from activities.link_health import distrusted
from activities.order_placing import OrderIntent
from activities.resting_stops import guard_stop_of
from db.models import LotRow, OrderExecution, Position, Signal
from db.repositories import orders as order_rows
from db.repositories import positions as position_rows
from db.repositories.audit import record_event, told_before
from db.repositories.executions import apply_executions
from db.repositories.market import find_instrument, upsert_instruments
from db.repositories.order_versions import versions_of_intent
from db.repositories.settings import current_settings, settings_version
from db.repositories.signals import block_reservation
from db.repositories.stops import newest_stop, stop_number
from db.repositories.strategies import find_config
from db.session import Database
from domain.entry import plan_entry, resting_stop
from domain.exits import ExitPolicy
from domain.gate_facts import GateCode, GateVerdict
from domain.ids import OrderRole, order_link_id
from domain.market import Category, FilterViolation, Instrument, PositionSide
from domain.order import OrderState, is_final
from domain.position import PositionState
from exchange.protocol import Exchange, ExchangeError, Refused
from observability.logs import bind
from observability.tracing import current_trace_id

DENIED_EVENT = "position_denied"

_FIELDS = {
    GateCode.SYMBOL_EXPOSURE_CAP: "usd",
    GateCode.STRATEGY_POSITION_CAP: "strategy",
    GateCode.TRADE_RATE_LIMIT: "strategy",
    GateCode.STRATEGY_GATE_OFF: "strategy",
}
"""What of a request a gate refuses, where it is not the symbol."""


class ReserveRequest(BaseModel):
    """What is wanted; ``usd`` in quote coin or ``qty`` in base coin. ``policy`` None: the setting's."""

    position_id: str
    strategy: str
    category: Category
    symbol: str
    side: PositionSide
    usd: Decimal | None = None
    qty: Decimal | None = None
    policy: ExitPolicy | None = None
    requested_by: str
    reason: str
    requested_at: AwareDatetime
    signal_id: str | None = None
    config_version: int | None = None


class Reservation(BaseModel):
    """The verdict. Refused: ``code``, ``field`` and ``rule`` say why, and only an audit event was written."""

    accepted: bool
    state: PositionState | None = None
    code: str | None = None
    field: str | None = None
    rule: str | None = None
    entry: OrderIntent | None = None


class EntryBooked(BaseModel):
    """What the entry brought: ``qty`` held, the position's state, and the resting stop to place (spot)."""

    qty: Decimal
    state: PositionState
    entry_price: Decimal | None = None
    stop: OrderIntent | None = None


class EntryActivities:
    """Activities of ``position/<position_id>`` up to its opening. Each is one transaction and safe to repeat."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._alone = asyncio.Lock()

    @activity.defn
    async def reserve_position(self, request: ReserveRequest) -> Reservation:
        """Take the symbol's place and plan the entry; a refusal is a value and leaves an audit event alone."""
        with bind(position_id=request.position_id):
            async with self._database.session() as session:
                existing = await position_rows.find_position(session, request.position_id)
                if existing is not None:
                    return await self._reserved_before(session, existing)
            try:
                return await self._reserve(request)
            except FilterViolation as violation:
                return await self._deny(request, _code_of(violation), violation.field, violation.rule)
            except position_rows.ReservedBefore:
                async with self._database.session() as session:
                    existing = await position_rows.find_position(session, request.position_id)
                    assert existing is not None, "rows of positions are never deleted"
                    return await self._reserved_before(session, existing)
            except position_rows.NoPlace as refused:
                gate = refused.reason.gate
                return await self._deny(request, gate, _FIELDS.get(gate, "symbol"), str(refused), refused.blocks)
            except ExchangeError as error:
                if isinstance(error, Refused):
                    return await self._deny(request, "exchange_refused", "symbol", str(error))
                raise failure(EXCHANGE_UNAVAILABLE, f"can't price the entry: {error}") from error

    async def _reserve(self, request: ReserveRequest) -> Reservation:
        instrument = await self._instrument(request.category, request.symbol)
        ticker = await self._exchange.ticker(request.category, request.symbol)
        clock = await self._exchange.market_clock()
        async with self._database.session() as session:
            settings = await current_settings(session)
            version = await settings_version(session)
            await _still_wanted(session, request, clock.now)
        await self._require_trust(request, settings)
        policy = request.policy or ExitPolicy.model_validate(settings["manual_exit_policy"])
        buffer = Decimal(settings["disaster_buffer_pct"])
        plan = plan_entry(instrument, request.side, ticker.last_price, policy, buffer, usd=request.usd, qty=request.qty)
        if request.category is Category.LINEAR:
            await self._exchange.set_leverage(request.symbol, Decimal(settings["linear_leverage"]))
        entry = _entry_intent(request, plan.qty, plan.disaster_stop, settings["entry_ttl_seconds"])
        # one of this process at a time: those who wait for the database's lock would keep its connections from guards
        async with self._alone, self._database.session() as session:
            await position_rows.reserve(
                session,
                policy.model_dump(mode="json"),
                request.usd if request.usd is not None else plan.qty * ticker.last_price,
                position_id=request.position_id,
                market_epoch=clock.epoch,
                strategy=request.strategy,
                category=request.category,
                symbol=request.symbol,
                side=request.side,
                disaster_buffer_pct=buffer,
                settings_version=version,
                planned_qty=plan.qty,
                reference_price=ticker.last_price,
                requested_by=request.requested_by,
                reason=request.reason,
                signal_id=request.signal_id,
                config_version=request.config_version,
                trace_id=current_trace_id(),
                reserved_at=clock.now,
            )
            record_event(
                session,
                "position_reserved",
                request.position_id,
                who=request.requested_by,
                market_at=clock.now,
                detail={"symbol": request.symbol, "side": request.side, "qty": str(plan.qty), "reason": request.reason},
            )
        return Reservation(accepted=True, state=PositionState.RESERVED, entry=entry)

    async def _require_trust(self, request: ReserveRequest, settings: dict[str, Any]) -> None:
        """Raise NoPlace while our clock is off or the symbol's stream is dead, for trades by hand too."""
        limits = settings["max_clock_offset_ms"], settings["stale_price_seconds"]
        verdict = await distrusted(self._database, self._exchange, (request.category, request.symbol), *limits)
        if verdict is not None:
            raise position_rows.NoPlace(verdict)

    async def _reserved_before(self, session: AsyncSession, position: Position) -> Reservation:
        """A repeat of an activity whose answer was lost: the same entry is planned from the row."""
        settings = await current_settings(session)
        instrument = await find_instrument(session, Category(position.category), position.symbol)
        assert instrument is not None, "a reserved position's instrument is stored"
        side, policy = PositionSide(position.side), ExitPolicy.model_validate(position.policy)
        stop = resting_stop(instrument, side, position.reference_price, policy, position.disaster_buffer_pct)
        entry = _entry_intent(
            ReserveRequest(
                position_id=position.position_id,
                strategy=position.strategy,
                category=instrument.category,
                symbol=position.symbol,
                side=side,
                requested_by=position.requested_by,
                reason=position.reason,
                requested_at=position.created_wall,
            ),
            position.planned_qty,
            stop,
            settings["entry_ttl_seconds"],
        )
        return Reservation(accepted=True, state=PositionState(position.state), entry=entry)

    async def _instrument(self, category: Category, symbol: str) -> Instrument:
        async with self._database.session() as session:
            known = await find_instrument(session, category, symbol)
        if known is not None:
            return known
        try:
            answer = await self._exchange.instruments(category, symbol)
        except Refused as refused:
            raise FilterViolation("symbol", f"{symbol} is not listed on {category} ({refused})") from refused
        listed = [each for each in answer if each.symbol == symbol]
        if not listed:
            raise FilterViolation("symbol", f"{symbol} is not listed on {category}")
        async with self._database.session() as session:
            await upsert_instruments(session, listed)
        return listed[0]

    async def _deny(
        self, request: ReserveRequest, code: str, field: str, rule: str, blocks: Sequence[GateVerdict] = ()
    ) -> Reservation:
        """The audit event of a refusal; of an accepted signal also which gates it came to after all."""
        now = (await self._exchange.market_clock()).now if request.signal_id is not None else None
        async with self._database.session() as session:
            if request.signal_id is not None and now is not None and (blocks := blocks or _blocks_of(code, rule)):
                await block_reservation(session, request.signal_id, blocks, now)
            if await told_before(session, DENIED_EVENT, request.position_id):
                return Reservation(accepted=False, code=code, field=field, rule=rule)
            record_event(
                session,
                DENIED_EVENT,
                request.position_id,
                who=request.requested_by,
                severity="warning",
                market_at=now,
                detail={"code": code, "field": field, "rule": rule, "symbol": request.symbol},
            )
        return Reservation(accepted=False, code=code, field=field, rule=rule)

    @activity.defn
    async def book_entry(self, position_id: str) -> EntryBooked:
        """Open the position on what was filled (X1 written ahead), or release it if nothing was."""
        with bind(position_id=position_id):
            async with self._database.session() as session:
                await apply_executions(session, position_id)
                position = await position_rows.lock_position(session, position_id)
                if position.entry_qty is not None:
                    return await self._open(session, position)
                await self._require_settled_entry(session, position_id)
                if position.state != PositionState.NOT_ENTERED:
                    position_rows.step(position, PositionState.NOT_ENTERED)
                    record_event(session, "position_not_entered", position_id, who="position")
                return EntryBooked(qty=Decimal(0), state=PositionState.NOT_ENTERED)

    async def _require_settled_entry(self, session: AsyncSession, position_id: str) -> None:
        """A position is not given up while its entry may still fill: tried again until the order is final."""
        entry = await order_rows.find_order(session, order_link_id(position_id, OrderRole.ENTRY))
        if entry is None or is_final(OrderState(entry.state)):
            return
        entry = await order_rows.lock_order(session, entry.order_link_id)
        if entry.state == OrderState.PREPARED:
            order_rows.move(session, entry, OrderState.DENIED, "the position was given up")
            return
        raise failure(EXCHANGE_UNAVAILABLE, f"entry {entry.order_link_id} is {entry.state}: not final yet")

    async def _open(self, session: AsyncSession, position: Position) -> EntryBooked:
        instrument = await find_instrument(session, Category(position.category), position.symbol)
        assert instrument is not None
        assert position.entry_price is not None
        first = await _first_fill(session, position.position_id)
        if position.state in (PositionState.RESERVED, PositionState.ENTERING, PositionState.NOT_ENTERED):
            if position.state == PositionState.RESERVED:
                position_rows.step(position, PositionState.ENTERING)
            position_rows.step(position, PositionState.OPEN)
            position.opened_at, position.opened_wall = first
            position.disaster_stop = await _attached_stop(session, position.position_id)
            await session.flush()
            # the exchange's own stop may have filled already: it could not be attributed before the position was open
            await apply_executions(session, position.position_id)
            record_event(
                session,
                "position_opened",
                position.position_id,
                who="position",
                market_at=position.opened_at,
                detail={"qty": str(position.qty), "entry_price": str(position.entry_price)},
            )
        leaving = exit_intent(position, instrument, 1)
        if leaving is not None:
            versions = await versions_of_intent(session, position, leaving.role)
            fields = leaving.model_dump(exclude={"expires_at"}) | versions.columns()
            await order_rows.insert_intent(session, OrderState.PREPARED, **fields)
        stop = await self._stop_to_keep(session, position, instrument)
        state = PositionState(position.state)
        return EntryBooked(qty=position.qty, state=state, entry_price=position.entry_price, stop=stop)

    async def _stop_to_keep(
        self, session: AsyncSession, position: Position, instrument: Instrument
    ) -> OrderIntent | None:
        """The spot stop to see to: the first one, or for a process that begins again the one that is out."""
        if instrument.category is not Category.SPOT:
            return None
        newest = await newest_stop(session, position.position_id)
        if newest is None:
            return stop_intent(position, instrument)
        if not is_final(OrderState(newest.state)) or newest.cum_exec_qty > 0:
            return intent_of(newest)
        return stop_intent(position, instrument, await guard_stop_of(session, position), stop_number(newest) + 1)


async def _attached_stop(session: AsyncSession, position_id: str) -> Decimal | None:
    """The stop that came to rest with the entry's first fill (linear)."""
    entry = await order_rows.find_order(session, order_link_id(position_id, OrderRole.ENTRY))
    return None if entry is None else entry.stop_loss


async def _still_wanted(session: AsyncSession, request: ReserveRequest, now: datetime) -> None:
    """Raise NoPlace for a signal that came to its reservation too late, or whose strategy may not open any more."""
    signal = None if request.signal_id is None else await session.get(Signal, request.signal_id)
    config = await find_config(session, request.strategy)
    if signal is None or config is None:
        return
    age, allowed = (now - signal.close_at).total_seconds(), config.signal_ttl_seconds
    if not config.buy_gate:
        raise position_rows.NoPlace(
            GateVerdict(gate=GateCode.STRATEGY_GATE_OFF, passed=False, value="off", threshold="on")
        )
    if age > allowed:
        raise position_rows.NoPlace(
            GateVerdict(gate=GateCode.SIGNAL_STALE, passed=False, value=f"{age:.0f} s", threshold=f"{allowed} s")
        )


def _blocks_of(code: str, rule: str) -> Sequence[GateVerdict]:
    """A refusal as the gate it belongs to, if it is one."""
    try:
        return (GateVerdict(gate=GateCode(code), passed=False, detail=rule),)
    except ValueError:
        return ()


def _code_of(violation: FilterViolation) -> str:
    if violation.field == "symbol":
        return "unknown_symbol" if "not listed" in violation.rule else "instrument_not_tradable"
    return "below_minimum_order" if violation.field in ("usd", "qty") and "minimum" in violation.rule else "bad_request"


async def _first_fill(session: AsyncSession, position_id: str) -> tuple[datetime, datetime]:
    """(market time, wall time we learned of it) of the first fill of the position."""
    row = (
        await session.execute(
            select(func.min(OrderExecution.executed_at), func.min(OrderExecution.recorded_at))
            .join(LotRow, LotRow.exec_id == OrderExecution.exec_id)
            .where(LotRow.position_id == position_id)
        )
    ).one()
    return row[0], row[1]


def _entry_intent(request: ReserveRequest, qty: Decimal, stop: Decimal, ttl_seconds: int) -> OrderIntent:
    linear = request.category is Category.LINEAR
    return OrderIntent(
        order_link_id=order_link_id(request.position_id, OrderRole.ENTRY),
        position_id=request.position_id,
        role=OrderRole.ENTRY,
        category=request.category,
        symbol=request.symbol,
        side=request.side.entry_side,
        qty=qty,
        stop_loss=stop if linear else None,
        expires_at=request.requested_at + timedelta(seconds=ttl_seconds),
    )
