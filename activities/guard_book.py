"""The guard book of a worker: every trade of a symbol against all its guards in one pass.

A guard enters the rows in three steps that lose no trade: it joins its symbol's stream and queues what arrives, walks
the gap since it last saw the market, then plays the queue and takes its place. A stream that broke sends all guards of
the symbol through the same steps again. Targets change between trades only: what was missed is judged by the old ones.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from activities.exit_firing import ExitFiring, Firing, Trigger
from activities.gap_walk import Walked, play, walk_gap
from activities.guard_beats import GuardBeats
from activities.guard_notes import GuardNotes
from activities.guard_symbol import SymbolGuards
from activities.guard_watch import Targets, Watch
from db.repositories.guards import Beat, acknowledge
from db.repositories.positions import find_position, targets_of
from db.session import Database
from domain.exits import ExitPolicy, ExitReason, retarget
from domain.market import Category
from exchange.protocol import Exchange, ExchangeError, StreamGap, Trade
from observability.logs import get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 1.0
_LIVE_WITHIN_SECONDS = 5.0
_LAST_BEAT_SECONDS = 2.0

_Key = tuple[Category, str]


class GuardBook:
    """All guards of this process. Use from one event loop; ``start`` before the first ``watch``."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._firing = ExitFiring(database, exchange)
        self._symbols: dict[_Key, SymbolGuards] = {}
        self._watches: dict[str, Watch] = {}
        self._notes = GuardNotes(database, self._target_moved)
        self._beats = GuardBeats(
            database,
            exchange,
            f"{socket.gethostname()}:{os.getpid()}",
            self._watches,
            self._compare_versions,
            self._expire,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._spawn(self._beats.run())
        await self._notes.start()

    async def close(self) -> None:
        """Stop watching. Guards still in the book are left as they are: their leases end here."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._notes.close()
        for symbol in self._symbols.values():
            if symbol.subscription is not None:
                symbol.subscription.close()
        self._symbols.clear()
        self._watches.clear()

    @property
    def exchange(self) -> Exchange:
        return self._exchange

    @property
    def watches(self) -> Mapping[str, Watch]:
        """The guards in the book, by the id of their position."""
        return self._watches

    def has_judged(self, position_id: str, newest: Trade | None, now: datetime) -> bool:
        """Whether a guard of this process watches the position and has nothing left to do about the market at ``now``.

        It has judged everything up to ``newest`` (the newest trade there is), and no maximum hold is over.
        """
        watch = self._watches.get(position_id)
        if watch is None or watch.index is None or watch.firing or watch.walked_until is None:
            return False
        hold = watch.targets.policy.max_hold_seconds
        if hold is not None and now - watch.state.opened_at >= timedelta(seconds=hold):
            return False
        if newest is None or newest.at <= watch.walked_until:
            return True
        last = self._symbol_of(watch).last_trade
        return last is not None and (last.trade_id == newest.trade_id or last.at > newest.at)

    def refresh(self, watch: Watch) -> None:
        """Bring the watch's ``state`` and ``seen`` up to the last trade it judged."""
        if self._has(watch):
            self._symbol_of(watch).refresh(watch)

    def watch(self, watch: Watch) -> None:
        """Take a guard in; ``watch.outcome`` tells its end. A guard of the same position with an older epoch goes."""
        older = self._watches.get(watch.position_id)
        if older is not None:
            self.leave(older)
            if not older.outcome.done():
                older.outcome.set_result(Firing.FENCED)
        self._watches[watch.position_id] = watch
        key = (watch.category, watch.symbol)
        symbol = self._symbols.get(key)
        if symbol is None:
            symbol = self._symbols[key] = SymbolGuards(self._notes.ratcheted, self._begin_firing)
            symbol.subscription = self._exchange.subscribe_trades(
                *key, symbol.take_trades, lambda gap: self._on_gap(key, gap)
            )
        symbol.watches.add(watch)
        self._catch_up(watch)

    def leave(self, watch: Watch) -> None:
        """Take a guard out. Nothing it saw can fire any more once its firing, if begun, is over."""
        if not self._has(watch):
            return
        symbol = self._symbol_of(watch)
        del self._watches[watch.position_id]
        if watch.task is not None and not watch.firing:
            watch.task.cancel()
        symbol.take_out(watch)
        symbol.catching_up.discard(watch)
        symbol.watches.discard(watch)
        if not symbol.watches:
            if symbol.subscription is not None:
                symbol.subscription.close()
            del self._symbols[(watch.category, watch.symbol)]

    # catching up

    def _on_gap(self, key: _Key, gap: StreamGap) -> None:
        symbol = self._symbols.get(key)
        if symbol is None:
            return
        log.warning("price stream was broken", symbol=key[1], lost_at=gap.lost_at, back_at=gap.back_at)
        for watch in list(symbol.watches):
            if not watch.firing:  # if its exit is fenced off, it catches up then
                self._catch_up(watch)

    def _catch_up(self, watch: Watch) -> None:
        """(Re)start: from where the guard stands, whatever it was doing."""
        symbol = self._symbol_of(watch)
        if watch in symbol.catching_up and watch.task is not None:
            watch.task.cancel()
        symbol.take_out(watch)
        watch.joined = None
        watch.queued = []
        symbol.catching_up.add(watch)
        watch.task = self._spawn(self._walk_then_join(symbol, watch), watch)

    async def _walk_then_join(self, symbol: SymbolGuards, watch: Watch) -> None:
        walked = await self._walk(symbol, watch)
        # from here to the row nothing is awaited: no trade can come between
        walked = play(walked, watch.targets.policy, watch.queued)
        watch.queued = []
        symbol.catching_up.discard(watch)
        watch.state, watch.seen = walked.state, walked.seen
        symbol.put_in(watch)
        if symbol.last_price is None:
            symbol.last_price = walked.price
        price = walked.price or watch.state.best_price
        self._notes.joined(watch, price)
        if walked.reason is not None:  # under the targets that were in force then; newer ones come too late
            self._begin_firing(watch, walked.reason, price)
            return
        if watch.newest.version != watch.targets.version:
            self._retarget(watch)
        await self._acknowledge(watch)

    async def _walk(self, symbol: SymbolGuards, watch: Watch) -> Walked:
        """The gap up to now, however long the exchange takes to tell it."""
        while True:
            try:
                assert symbol.subscription is not None
                if await symbol.subscription.wait_live(_LIVE_WITHIN_SECONDS):
                    now = watch.walked_until = (await self._exchange.market_clock()).now
                    return await walk_gap(
                        self._exchange,
                        watch.category,
                        watch.symbol,
                        watch.state,
                        watch.seen,
                        watch.targets.policy,
                        now,
                    )
                log.warning("no prices yet", position_id=watch.position_id, symbol=watch.symbol)
            except ExchangeError as error:
                log.warning("gap not walked yet", position_id=watch.position_id, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    # firing

    def _expire(self, watch: Watch) -> None:
        price = self._symbol_of(watch).last_price or watch.state.best_price
        self._begin_firing(watch, ExitReason.MAX_HOLD, price)

    def _begin_firing(self, watch: Watch, reason: ExitReason, price: Decimal) -> None:
        if watch.firing or watch.outcome.done():
            return
        self._symbol_of(watch).take_out(watch)
        watch.firing, watch.reason = True, reason
        version = watch.newest.version
        trigger = Trigger(watch.position_id, watch.exit_request, watch.guard_epoch, version, reason)
        watch.task = self._spawn(self._fire(watch, trigger, price), watch)

    async def _fire(self, watch: Watch, trigger: Trigger, price: Decimal) -> None:
        firing = await self._firing.fire(trigger)
        if firing is Firing.FIRED:
            self._notes.triggered(watch, price, trigger.reason)
            await self._beat_last(watch)
        elif await self._newer_targets(watch, trigger):
            watch.firing, watch.reason = False, None
            if self._has(watch):
                self._retarget(watch)
                self._catch_up(watch)
            return
        else:
            self._notes.triggered(watch, price, None)
        if not watch.outcome.done():
            watch.outcome.set_result(firing)

    async def _newer_targets(self, watch: Watch, trigger: Trigger) -> bool:
        """Whether it was fenced off because newer targets are in force (``newest`` then), not by a takeover."""
        while True:
            try:
                async with self._database.session() as session:
                    position = await find_position(session, watch.position_id)
                    if position is None or position.guard_epoch != watch.guard_epoch:
                        return False
                    if position.target_version == trigger.target_version:
                        return False
                    row = await targets_of(session, watch.position_id, position.target_version)
                watch.newest = Targets(row.version, ExitPolicy.model_validate(row.policy))
                return True
            except Exception:
                log.exception("a fenced guard can't learn why yet", position_id=watch.position_id)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _beat_last(self, watch: Watch) -> None:
        """Its lease ends here, not at the beat before: a position may be over within a second."""
        try:
            async with asyncio.timeout(_LAST_BEAT_SECONDS):
                await self._beats.report([watch])
        except Exception:
            log.exception("last beat not written", position_id=watch.position_id)

    # targets

    def _target_moved(self, position_id: str) -> None:
        """Called at a notification: the targets of a position may be newer than its guard's."""
        watch = self._watches.get(position_id)
        if watch is not None and not watch.firing:
            self._spawn(self._refresh_targets(watch))

    async def _refresh_targets(self, watch: Watch) -> None:
        async with self._database.session() as session:
            position = await find_position(session, watch.position_id)
        if position is not None and position.target_version > watch.newest.version:
            await self._take_targets(watch, position.target_version)

    async def _compare_versions(self, watch: Watch, row: Beat) -> None:
        watch.held, watch.resting = row.qty, row.disaster_stop
        if row.target_version > watch.newest.version:
            await self._take_targets(watch, row.target_version)
        elif row.acknowledged_version < watch.targets.version:
            await self._acknowledge(watch)

    async def _take_targets(self, watch: Watch, version: int) -> None:
        async with self._database.session() as session:
            policy = ExitPolicy.model_validate((await targets_of(session, watch.position_id, version)).policy)
        if version <= watch.newest.version or watch.firing or not self._has(watch):
            return
        watch.newest = Targets(version, policy)
        if watch.index is not None:  # else at the join
            self._retarget(watch)
            await self._acknowledge(watch)

    def _retarget(self, watch: Watch) -> None:
        """Put the newest targets in force. Ones that can't be reached on its side are not: the guard keeps its own."""
        symbol = self._symbol_of(watch)
        symbol.refresh(watch)
        try:
            watch.state = retarget(watch.state, watch.newest.policy)
        except ValueError as error:
            log.error("targets refused", position_id=watch.position_id, version=watch.newest.version, error=str(error))
            return
        watch.targets = watch.newest
        if watch.index is not None:
            symbol.replace(watch)
        self._notes.retargeted(watch, symbol.last_price or watch.state.best_price)

    async def _acknowledge(self, watch: Watch) -> None:
        """Say which targets are in force here. What fails is said again at the next beat."""
        if watch.index is None:
            return
        version = watch.targets.version
        try:
            async with self._database.session() as session:
                await acknowledge(session, watch.position_id, watch.guard_epoch, version)
        except Exception:
            log.exception("targets in force, not acknowledged yet", position_id=watch.position_id, version=version)
        else:
            log.info("targets in force", position_id=watch.position_id, version=version)

    # small things

    def _has(self, watch: Watch) -> bool:
        return self._watches.get(watch.position_id) is watch

    def _symbol_of(self, watch: Watch) -> SymbolGuards:
        return self._symbols[(watch.category, watch.symbol)]

    def _spawn(self, work: Coroutine[Any, Any, None], watch: Watch | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, watch))
        return task

    def _done(self, watch: Watch | None, task: asyncio.Task[None]) -> None:
        """A guard whose task broke is over: its activity fails with the error, and the next attempt takes over."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        log.error("guard book task failed", position_id=watch and watch.position_id, exc_info=error)
        if watch is not None and not watch.outcome.done():
            watch.outcome.set_exception(error)
