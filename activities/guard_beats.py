"""The slow side of the guard book, once a second: leases, overdue holds, and targets whose notification was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from activities.exit_firing import Firing
from activities.guard_prices import GuardPrices, price_stream
from activities.guard_watch import Watch
from activities.stream_report import report_streams
from db.repositories.guards import Alive, Beat, beat
from db.session import Database
from exchange.protocol import Exchange
from observability.logs import get_logger

log = get_logger(__name__)

BEAT_SECONDS = 1.0


class GuardBeats:
    """Beats for all guards of the process in one statement.

    ``on_versions`` is called for every guard still ours with what the database says of its targets, ``on_expired`` for
    each whose maximum hold is over.
    """

    def __init__(
        self,
        database: Database,
        exchange: Exchange,
        worker: str,
        watches: Mapping[str, Watch],
        on_versions: Callable[[Watch, Beat], Awaitable[None]],
        on_expired: Callable[[Watch], None],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._worker = worker
        self._watches = watches
        self._on_versions = on_versions
        self._on_expired = on_expired
        self._prices = GuardPrices(database, exchange, watches)

    async def run(self) -> None:
        """For ever. Nothing that goes wrong with one guard, or once, keeps the others from beating."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            for part in (self._beat, self._let_holds_expire, self._prices.look, self._report_streams):
                try:
                    await part()
                except Exception:
                    log.exception("guards could not report", guards=len(self._watches))

    async def report(self, watches: Sequence[Watch]) -> Mapping[str, Beat]:
        """Say now that these guards are alive. Gives those still ours by position id. Raises what the database does."""
        live = {stream.stream for stream in self._exchange.freshness() if stream.connected}
        alive = [
            Alive(watch.position_id, watch.guard_epoch, watch.watched_seconds if price_stream(watch) in live else None)
            for watch in watches
        ]
        async with self._database.session() as session:
            return {row.position_id: row for row in await beat(session, alive, self._worker)}

    async def _beat(self) -> None:
        watches = [watch for watch in self._watches.values() if not watch.outcome.done()]
        if not watches:
            return
        ours = await self.report(watches)
        for watch in watches:
            if watch.firing or watch.outcome.done():
                continue
            row = ours.get(watch.position_id)
            if row is None:
                log.info("guard was taken over", position_id=watch.position_id, guard_epoch=watch.guard_epoch)
                watch.outcome.set_result(Firing.FENCED)
                continue
            try:
                await self._on_versions(watch, row)
            except Exception:
                log.exception("targets not taken yet", position_id=watch.position_id)

    async def _report_streams(self) -> None:
        """Where guards are, there their prices are told to be fresh or not, whatever else the process does."""
        if self._watches:
            await report_streams(self._database, self._exchange)

    async def _let_holds_expire(self) -> None:
        """A maximum hold ends without a trade too, at the present market time."""
        held = [watch for watch in self._watches.values() if watch.targets.policy.max_hold_seconds]
        if not held:
            return
        now = (await self._exchange.market_clock()).now
        for watch in held:
            limit = watch.targets.policy.max_hold_seconds
            if limit and watch.index is not None and now - watch.state.opened_at >= timedelta(seconds=limit):
                self._on_expired(watch)
