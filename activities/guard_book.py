"""The guard book of a worker: every trade of a symbol against all its guards in one pass.

A guard enters the book in three steps that lose no trade: it joins its symbol's stream and queues what arrives, walks
the gap since it last saw the market, then plays the queue and takes its place among the rows. A stream that broke sends
all guards of the symbol through the same steps again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy.exc import SQLAlchemyError

from activities.exit_firing import ExitFiring, Firing, Trigger
from activities.gap_walk import walk_gap
from activities.guard_notes import GuardNotes
from db.repositories.guards import acknowledge, beat
from db.repositories.positions import find_position, targets_of
from db.session import Database
from domain.exit_rows import GuardRows
from domain.exits import ExitPolicy, ExitReason, GuardState, retarget, step_state
from domain.market import Category
from exchange.protocol import Exchange, ExchangeError, OrderRequest, StreamGap, Subscription, Trade
from observability.logs import get_logger

log = get_logger(__name__)

BEAT_SECONDS = 1.0
_CATCH_UP_RETRY_SECONDS = 1.0
_LIVE_WITHIN_SECONDS = 5.0


@dataclass(eq=False)
class Watch:
    """One guard in the book. ``index`` is None while it catches up; ``queued`` holds the trades of that time."""

    position_id: str
    category: Category
    symbol: str
    guard_epoch: int
    target_version: int
    policy: ExitPolicy
    state: GuardState
    exit_request: OrderRequest
    outcome: asyncio.Future[Firing]
    index: int | None = None
    queued: list[Trade] = field(default_factory=list)
    firing: bool = False
    reason: ExitReason | None = None
    last_price: Decimal | None = None
    task: asyncio.Task[None] | None = None


@dataclass(eq=False)
class _Symbol:
    rows: GuardRows = field(default_factory=GuardRows)
    by_index: dict[int, Watch] = field(default_factory=dict)
    catching_up: set[Watch] = field(default_factory=set)
    subscription: Subscription | None = None


class GuardBook:
    """All guards of this process. Use from one event loop; ``start`` before the first ``watch``."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._firing = ExitFiring(database, exchange)
        self._symbols: dict[tuple[Category, str], _Symbol] = {}
        self._watches: dict[str, Watch] = {}
        self._notes = GuardNotes(database, self.target_moved)
        self._tasks: set[asyncio.Task[None]] = set()
        self.worker = f"{socket.gethostname()}:{os.getpid()}"

    async def start(self) -> None:
        self._spawn(self._beat_forever())
        await self._notes.start()

    async def close(self) -> None:
        """Stop watching. Guards still in the book are left as they are: their leases end here."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._notes.close()
        for book in self._symbols.values():
            if book.subscription is not None:
                book.subscription.close()
        self._symbols.clear()
        self._watches.clear()

    def state_of(self, watch: Watch) -> GuardState:
        """The guard's state as of the last trade it saw."""
        if watch.index is not None:
            watch.state = self._symbol_of(watch).rows.state(watch.index)
        return watch.state

    def watch(self, watch: Watch) -> None:
        """Take a guard in; ``watch.outcome`` tells its end. A guard of the same position with an older epoch goes."""
        older = self._watches.get(watch.position_id)
        if older is not None:
            self.leave(older)
        self._watches[watch.position_id] = watch
        book = self._symbols.setdefault((watch.category, watch.symbol), _Symbol())
        if book.subscription is None:
            key = (watch.category, watch.symbol)
            book.subscription = self._exchange.subscribe_trades(
                *key, lambda trades: self._on_trades(key, trades), lambda gap: self._on_gap(key, gap)
            )
        self._catch_up(book, watch)

    def leave(self, watch: Watch) -> None:
        """Take a guard out. Nothing it saw can fire any more once its firing, if begun, is over."""
        if self._watches.get(watch.position_id) is watch:
            del self._watches[watch.position_id]
        key = (watch.category, watch.symbol)
        book = self._symbols.get(key)
        if book is None:
            return
        if watch.task is not None and not watch.firing:
            watch.task.cancel()
        book.catching_up.discard(watch)
        if watch.index is not None:
            watch.state = book.rows.remove(watch.index)
            del book.by_index[watch.index]
            watch.index = None
        if not book.by_index and not book.catching_up:
            if book.subscription is not None:
                book.subscription.close()
            del self._symbols[key]

    # trades

    def _on_trades(self, key: tuple[Category, str], trades: Sequence[Trade]) -> None:
        book = self._symbols.get(key)
        if book is None:
            return
        for watch in book.catching_up:
            watch.queued.extend(trades)
        if not book.by_index:
            return
        for trade in trades:
            stepped = book.rows.step_all(trade.price, trade.at)
            for index, reason in stepped.fired:
                self._begin_firing(book.by_index[index], reason, trade.price)
            for index in stepped.ratcheted:
                watch = book.by_index[index]
                self._notes.ratcheted(watch, book.rows.state(index), trade.price)
        last = trades[-1].price
        for watch in book.by_index.values():
            watch.last_price = last

    def _on_gap(self, key: tuple[Category, str], gap: StreamGap) -> None:
        book = self._symbols.get(key)
        if book is None:
            return
        log.warning("price stream was broken", symbol=key[1], lost_at=gap.lost_at, back_at=gap.back_at)
        for watch in list(book.by_index.values()):
            if watch.firing:
                continue
            assert watch.index is not None
            watch.state = book.rows.remove(watch.index)
            del book.by_index[watch.index]
            watch.index = None
            self._catch_up(book, watch)

    def _catch_up(self, book: _Symbol, watch: Watch) -> None:
        book.catching_up.add(watch)
        watch.queued.clear()
        watch.task = self._spawn(self._walk_then_join(book, watch))

    async def _walk_then_join(self, book: _Symbol, watch: Watch) -> None:
        while True:
            try:
                if book.subscription is None or not await book.subscription.wait_live(_LIVE_WITHIN_SECONDS):
                    log.warning("no prices yet", position_id=watch.position_id, symbol=watch.symbol)
                    continue
                clock = await self._exchange.market_clock()
                walked = await walk_gap(
                    self._exchange, watch.category, watch.symbol, watch.state, watch.policy, clock.now
                )
                break
            except ExchangeError as error:
                log.warning("gap not walked yet", position_id=watch.position_id, error=str(error))
                await asyncio.sleep(_CATCH_UP_RETRY_SECONDS)
        # from here to the row nothing is awaited: no trade can come between
        state, reason, price = walked.state, walked.reason, walked.price
        for trade in watch.queued:
            if reason is not None:
                break
            state, reason = step_state(state, watch.policy, trade.price, trade.at)
            price = trade.price
        watch.queued.clear()
        book.catching_up.discard(watch)
        watch.state = state
        watch.index = book.rows.add(state, watch.policy)
        book.by_index[watch.index] = watch
        self._notes.joined(watch, state, price or watch.state.best_price)
        if reason is not None:
            assert price is not None
            self._begin_firing(watch, reason, price)

    # firing

    def _begin_firing(self, watch: Watch, reason: ExitReason, price: Decimal) -> None:
        if watch.firing or watch.outcome.done():
            return
        watch.firing, watch.reason = True, reason
        watch.task = self._spawn(self._fire(watch, reason, price))

    async def _fire(self, watch: Watch, reason: ExitReason, price: Decimal) -> None:
        firing = await self._firing.fire(
            Trigger(watch.position_id, watch.exit_request, watch.guard_epoch, watch.target_version, reason)
        )
        if firing is Firing.FENCED and await self._targets_moved_under(watch):
            return
        self._notes.triggered(watch, self.state_of(watch), price, reason if firing is Firing.FIRED else None)
        if not watch.outcome.done():
            watch.outcome.set_result(firing)

    async def _targets_moved_under(self, watch: Watch) -> bool:
        """Fenced because newer targets are in force, not because somebody took over: go on under the new ones."""
        async with self._database.session() as session:
            position = await find_position(session, watch.position_id)
        if position is None or position.guard_epoch != watch.guard_epoch:
            return False
        if position.target_version == watch.target_version:
            return False
        watch.firing, watch.reason = False, None
        await self._take_targets(watch, position.target_version)
        return True

    # beats and targets

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._beat()
            except (SQLAlchemyError, OSError, TimeoutError, ExchangeError) as error:
                log.error("guards could not report", error=str(error), guards=len(self._watches))

    async def _beat(self) -> None:
        watches = {watch.position_id: watch for watch in self._watches.values()}
        if not watches:
            return
        fresh = self._fresh_categories()
        watching = [w.position_id for w in watches.values() if w.index is not None and w.category in fresh]
        async with self._database.session() as session:
            alive = await beat(session, [(w.position_id, w.guard_epoch) for w in watches.values()], watching)
        valid = {row.position_id: row for row in alive}
        for position_id, watch in watches.items():
            row = valid.get(position_id)
            if row is None:
                if not watch.firing and not watch.outcome.done():
                    log.warning("guard was taken over", position_id=position_id, guard_epoch=watch.guard_epoch)
                    watch.outcome.set_result(Firing.FENCED)
            elif row.target_version > watch.target_version and not watch.firing:
                await self._take_targets(watch, row.target_version)
        await self._let_holds_expire()

    async def _let_holds_expire(self) -> None:
        """A maximum hold ends without a trade too: step with the last price at the present market time."""
        due = [w for w in self._watches.values() if w.policy.max_hold_seconds and w.index is not None and w.last_price]
        if not due:
            return
        now = (await self._exchange.market_clock()).now
        for watch in due:
            held = (now - watch.state.opened_at).total_seconds()
            if watch.policy.max_hold_seconds and held >= watch.policy.max_hold_seconds and watch.last_price:
                self._begin_firing(watch, ExitReason.MAX_HOLD, watch.last_price)

    def _fresh_categories(self) -> set[Category]:
        """Categories whose public stream is connected now."""
        streams = self._exchange.freshness()
        return {c for c in Category if any(s.connected and str(c) in s.stream for s in streams)}

    def target_moved(self, position_id: str) -> None:
        """Called at a notification: the targets of a position may be newer than its guard's."""
        watch = self._watches.get(position_id)
        if watch is not None and not watch.firing:
            self._spawn(self._refresh_targets(watch))

    async def _refresh_targets(self, watch: Watch) -> None:
        async with self._database.session() as session:
            position = await find_position(session, watch.position_id)
        if position is not None and position.target_version > watch.target_version:
            await self._take_targets(watch, position.target_version)

    async def _take_targets(self, watch: Watch, version: int) -> None:
        async with self._database.session() as session:
            row = await targets_of(session, watch.position_id, version)
        if version <= watch.target_version or watch.firing:
            return
        watch.policy = ExitPolicy.model_validate(row.policy)
        watch.target_version = version
        watch.state = retarget(self.state_of(watch), watch.policy)
        if watch.index is not None:
            self._symbol_of(watch).rows.replace(watch.index, watch.state, watch.policy)
        self._notes.retargeted(watch, watch.state, watch.last_price or watch.state.best_price)
        async with self._database.session() as session:
            await acknowledge(session, watch.position_id, watch.guard_epoch, version)
        log.info("targets taken", position_id=watch.position_id, version=version)

    # small things

    def _symbol_of(self, watch: Watch) -> _Symbol:
        return self._symbols[(watch.category, watch.symbol)]

    def _spawn(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("guard book task failed", exc_info=task.exception())
