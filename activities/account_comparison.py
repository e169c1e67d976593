"""One look at the account and at our rows: what is foreign, missing, wrong or unexplained right now.

A running system is always in the middle of something, so a look is lenient, and one look decides nothing:

- our rows are read before and after the exchange is asked; a symbol whose rows changed meanwhile, or of which the
  exchange tells an execution that isn't recorded yet, is *moving* and judged by neither size nor coins;
- orders in doubt have a workflow that looks for them; only those that were open here both times can be missing;
- a stop is looked at once its position has been open for a while;
- what a look found counts when a second one, seconds later, finds the very same (``agreed``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from activities.balance_check import BalanceChecks
from db.models import Order
from db.repositories.balances import sizes_before
from db.repositories.foreign import foreign_sizes, known_orders
from db.repositories.reconciliations import (
    Held,
    entry_stops,
    orders_open_here,
    positions_held,
    unknown_executions,
)
from db.session import Database
from domain.clock import MarketClock
from domain.market import Category, Instrument, PositionSide
from domain.position import PositionState
from domain.reconciling import (
    ZERO,
    Drift,
    Holding,
    OpenOrder,
    OurOrder,
    SizeDifference,
    StopFault,
    compare_sizes,
    is_foreign,
    linear_stop_faults,
    missing_orders,
    orders_without_row,
    shortfalls,
    size_drift,
    spot_stop_faults,
)
from domain.sizing import stop_qty
from exchange.protocol import Exchange, Execution, OrderReport, PositionReport, Wallet

_STOP_GRACE = timedelta(seconds=10)
_FRESH = timedelta(seconds=20)
_STEP_FRESH = timedelta(hours=1)

OrderKey = tuple[Category, str]


@dataclass(frozen=True, slots=True)
class Ours:
    """Our rows at one moment."""

    held: Sequence[Held]
    orders: Sequence[Order]
    foreign: Mapping[str, Decimal]
    before: Mapping[str, Decimal] | None
    entry_stops: Mapping[str, Decimal]

    def linear(self) -> dict[str, Decimal]:
        sizes: dict[str, Decimal] = {}
        for each in self.held:
            if each.row.category == Category.LINEAR:
                signed = PositionSide(each.row.side).sign * each.row.qty
                sizes[each.row.symbol] = sizes.get(each.row.symbol, ZERO) + signed
        return sizes

    def spot(self) -> dict[str, Decimal]:
        held = [each.row for each in self.held if each.row.category == Category.SPOT]
        return {row.position_id: row.qty for row in held}


@dataclass(frozen=True, slots=True)
class Theirs:
    """What the exchange answered."""

    orders: Sequence[OrderReport]
    positions: Sequence[PositionReport]
    wallet: Wallet
    executions: Sequence[Execution]


@dataclass
class Look:
    """What one look found. ``sizes`` are those of symbols that stand still; ``unknown_before`` a market's first look,
    when what nothing explains was there before we came; ``missed`` executions that only the exchange's log told of."""

    foreign: dict[OrderKey, OrderReport] = field(default_factory=dict)
    missing: dict[str, OurOrder] = field(default_factory=dict)
    sizes: dict[str, SizeDifference] = field(default_factory=dict)
    entry_prices: dict[str, Decimal | None] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    stops: dict[str, StopFault] = field(default_factory=dict)
    short: dict[str, Decimal] = field(default_factory=dict)
    holdings: list[Holding] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    unknown_before: bool = False
    missed: list[Execution] = field(default_factory=list)
    unjudged: set[str] = field(default_factory=set)
    """Keys of drift of which this look can't say whether it is there: ``log`` stands for every row of the log."""
    orders_compared: int = 0
    balances_compared: int = 0


def agreed(first: Look, second: Look) -> Look:
    """What both looks found; the second's figures where they differ in nothing that counts."""
    return Look(
        foreign={key: order for key, order in second.foreign.items() if key in first.foreign},
        missing={key: order for key, order in second.missing.items() if key in first.missing},
        sizes={name: size for name, size in second.sizes.items() if first.sizes.get(name) == size},
        entry_prices=second.entry_prices,
        moving=first.moving | second.moving | _differ(first.sizes, second.sizes),
        stops={key: fault for key, fault in second.stops.items() if first.stops.get(key) == fault},
        short={coin: qty for coin, qty in second.short.items() if first.short.get(coin) == qty},
        holdings=second.holdings,
        drift=[each for each in second.drift if each in first.drift],
        unknown_before=second.unknown_before,
        unjudged=first.unjudged | second.unjudged | _only_once(first.drift, second.drift),
        orders_compared=second.orders_compared,
        balances_compared=max(first.balances_compared, second.balances_compared),
    )


def _differ(first: Mapping[str, SizeDifference], second: Mapping[str, SizeDifference]) -> set[str]:
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def _only_once(first: Iterable[Drift], second: Iterable[Drift]) -> set[str]:
    """What one look found and the other did not, or otherwise: known drift of that name isn't over yet."""
    return {each.key for each in set(first) ^ set(second)}


class AccountComparison:
    def __init__(self, database: Database, exchange: Exchange, balances: BalanceChecks) -> None:
        self._database = database
        self._exchange = exchange
        self._balances = balances

    async def look(self, clock: MarketClock, *, whole: bool) -> Look:
        """One look; ``whole`` holds the balances against the exchange's log too. Raises ExchangeError."""
        before = await self._ours(clock.epoch)
        theirs = await self._theirs(clock)
        after = await self._ours(clock.epoch)
        unrecorded = await self._unrecorded(theirs.executions)
        look = Look(unknown_before=after.before is None, orders_compared=len(theirs.orders))
        look.holdings = [_holding(each, after.entry_stops) for each in after.held]
        await self._look_at_orders(look, before, after, theirs)
        _look_at_sizes(look, before, after, theirs, unrecorded)
        _look_at_stops(look, theirs)
        _look_at_coins(look, before, after, theirs, unrecorded)
        look.drift += _books_apart(after.held, unrecorded)
        if whole:
            checked = await self._balances.check(clock)
            look.balances_compared = checked.compared
            look.drift += checked.drift
            look.missed = checked.missed
            look.unjudged |= {f"balance {coin}" for coin in checked.moving} | ({"log"} if checked.moving else set())
        return look

    async def _ours(self, epoch: str) -> Ours:
        async with self._database.session() as session:
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            held = await positions_held(session, epoch)
            return Ours(
                held=held,
                orders=await orders_open_here(session),
                foreign=await foreign_sizes(session),
                before=await sizes_before(session, epoch),
                entry_stops=await entry_stops(session, [each.row.position_id for each in held]),
            )

    async def _theirs(self, clock: MarketClock) -> Theirs:
        since = clock.now - (_STEP_FRESH if clock.speed <= 0 else _FRESH * max(clock.speed, 1.0))
        spot, linear, positions, wallet = await asyncio.gather(
            self._exchange.open_orders(Category.SPOT),
            self._exchange.open_orders(Category.LINEAR),
            self._exchange.positions(Category.LINEAR),
            self._exchange.wallet(),
        )
        told = [await self._exchange.executions(category, since=since) for category in Category]
        executions = [each for answer in told for each in answer if each.exec_type != "Funding"]
        return Theirs([*spot, *linear], positions, wallet, executions)

    async def _unrecorded(self, executions: Sequence[Execution]) -> set[tuple[Category, str]]:
        """Markets with an execution that nobody has written down yet."""
        async with self._database.session() as session:
            unknown = await unknown_executions(session, [each.exec_id for each in executions])
        return {(each.category, each.symbol) for each in executions if each.exec_id in unknown}

    async def _look_at_orders(self, look: Look, before: Ours, after: Ours, theirs: Theirs) -> None:
        told = [_open_order(each) for each in theirs.orders]
        for report, order in zip(theirs.orders, told, strict=True):
            if is_foreign(order, look.holdings):
                look.foreign[order.category, order.order_id] = report
        still_open = {row.order_link_id for row in before.orders} & {row.order_link_id for row in after.orders}
        ours = [_our_order(row) for row in after.orders if row.order_link_id in still_open]
        look.missing = {order.order_link_id: order for order in missing_orders(ours, told)}
        async with self._database.session() as session:
            known = await known_orders(session, [each.order_link_id for each in told if each.order_link_id])
        look.drift += orders_without_row(told, known)


def _look_at_sizes(
    look: Look, before: Ours, after: Ours, theirs: Theirs, unrecorded: set[tuple[Category, str]]
) -> None:
    """Linear symbols that stand still. What was there before we came counts as foreign."""
    ours, ours_before = after.linear(), before.linear()
    foreign = _sum(after.foreign, after.before or {})
    told = {each.symbol: (each.side.sign * each.size if each.side is not None else ZERO) for each in theirs.positions}
    look.entry_prices = {each.symbol: each.avg_price for each in theirs.positions}
    for size in compare_sizes(told, ours, foreign):
        changed = (ours.get(size.symbol), after.foreign.get(size.symbol)) != (
            ours_before.get(size.symbol),
            before.foreign.get(size.symbol),
        )
        if changed or (Category.LINEAR, size.symbol) in unrecorded:
            look.moving.add(size.symbol)
            look.unjudged.add(f"size {size.symbol}")
        else:
            look.sizes[size.symbol] = size
    if not look.unknown_before:
        look.drift += size_drift(look.sizes.values())


def _look_at_stops(look: Look, theirs: Theirs) -> None:
    stops = {each.symbol: each.stop_loss for each in theirs.positions if each.size}
    spot = [_open_order(each) for each in theirs.orders if each.category is Category.SPOT]
    faults = [*linear_stop_faults(look.holdings, stops), *spot_stop_faults(look.holdings, spot)]
    look.stops = {fault.position_id: fault for fault in faults}


def _look_at_coins(
    look: Look, before: Ours, after: Ours, theirs: Theirs, unrecorded: set[tuple[Category, str]]
) -> None:
    """Coins of which the wallet holds less than our positions, by at least what can be sold."""
    balances = {coin.coin: coin.wallet_balance for coin in theirs.wallet.coins}
    steps = {each.instrument.base_coin: each.instrument.qty_step for each in after.held}
    then, now = before.spot(), after.spot()
    moving = {each.coin for each in look.holdings if then.get(each.position_id) != now.get(each.position_id)}
    moving |= {each.coin for each in look.holdings if (Category.SPOT, each.symbol) in unrecorded}
    look.unjudged |= {f"coin_short {coin}" for coin in moving}
    for coin, qty in shortfalls(look.holdings, balances).items():
        if coin not in moving and qty >= steps[coin]:
            look.short[coin] = qty


def _books_apart(held: Iterable[Held], unrecorded: set[tuple[Category, str]]) -> list[Drift]:
    """Positions whose row and lots tell different quantities, where nothing is on its way into them."""
    return [
        Drift(
            "books",
            each.row.position_id,
            each.row.qty - each.lots,
            f"position {each.row.position_id} ({each.row.symbol}) says {each.row.qty:f}, its lots say {each.lots:f}",
        )
        for each in held
        if each.row.qty != each.lots and (each.row.category, each.row.symbol) not in unrecorded
    ]


def _holding(held: Held, stops: Mapping[str, Decimal]) -> Holding:
    row = held.row
    instrument = Instrument.model_validate(held.instrument, from_attributes=True)
    linear = row.category == Category.LINEAR
    stop = row.disaster_stop or (stops.get(row.position_id) if linear else None)
    opened = row.opened_wall is not None and datetime.now(UTC) - row.opened_wall > _STOP_GRACE
    wanted = row.disaster_stop or row.entry_price or ZERO
    return Holding(
        position_id=row.position_id,
        category=Category(row.category),
        symbol=row.symbol,
        coin=instrument.base_coin,
        side=PositionSide(row.side),
        qty=row.qty,
        stop=stop,
        stop_qty=ZERO if linear else stop_qty(instrument, row.qty, wanted),
        settled=row.state == PositionState.OPEN and opened,
        opened_at=row.opened_at,
    )


def _open_order(report: OrderReport) -> OpenOrder:
    return OpenOrder(
        category=report.category,
        symbol=report.symbol,
        order_id=report.order_id,
        order_link_id=report.order_link_id,
        qty=report.qty,
        trigger_price=report.trigger_price,
        stop_order_type=report.stop_order_type,
    )


def _our_order(row: Order) -> OurOrder:
    return OurOrder(row.order_link_id, row.position_id, Category(row.category), row.symbol)


def _sum(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: first.get(name, ZERO) + second.get(name, ZERO) for name in first.keys() | second.keys()}
