"""Guards whose prices have gone stale: said once when it begins and once when it is over."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

from activities.guard_watch import Watch
from db.repositories.audit import record_event
from db.repositories.settings import current_settings
from db.session import Database
from exchange.protocol import Exchange
from observability.logs import get_logger

log = get_logger(__name__)

_SETTINGS_SECONDS = 10.0


def price_stream(watch: Watch) -> str:
    """The name of the watch's price stream among the exchange's freshness."""
    return f"{watch.category}:publicTrade.{watch.symbol}"


class GuardPrices:
    """Judges the streams, not the trades: where nobody trades, a socket that answers is fresh."""

    def __init__(self, database: Database, exchange: Exchange, watches: Mapping[str, Watch]) -> None:
        self._database = database
        self._exchange = exchange
        self._watches = watches
        self._whole_at: dict[str, float] = {}
        self._stale: set[str] = set()
        self._limit: float | None = None
        self._limit_read = 0.0

    async def look(self) -> None:
        """Compare every guarded stream's age with ``stale_price_seconds``; an event for each that turned."""
        guarded: defaultdict[str, list[str]] = defaultdict(list)
        for watch in list(self._watches.values()):
            guarded[price_stream(watch)].append(watch.position_id)
        ages, limit = self._ages(guarded), await self._limit_seconds()
        self._stale &= set(guarded)
        for stream, positions in guarded.items():
            stale = ages[stream] > limit
            if stale == (stream in self._stale):
                continue
            await self._say(stream, positions, ages[stream], limit, stale=stale)
            (self._stale.add if stale else self._stale.discard)(stream)

    def _ages(self, guarded: Mapping[str, list[str]]) -> dict[str, float]:
        """Wall seconds since each stream was whole; one that never was counts from when it was first wanted."""
        now = time.monotonic()
        told = {each.stream: each for each in self._exchange.freshness()}
        for stream in guarded:
            reading = told.get(stream)
            if reading is not None and reading.connected and reading.age_seconds is not None:
                self._whole_at[stream] = now - reading.age_seconds
        self._whole_at = {stream: self._whole_at.get(stream, now) for stream in guarded}
        return {stream: now - whole_at for stream, whole_at in self._whole_at.items()}

    async def _limit_seconds(self) -> float:
        now = time.monotonic()
        if self._limit is None or now - self._limit_read > _SETTINGS_SECONDS:
            async with self._database.session() as session:
                self._limit = float((await current_settings(session))["stale_price_seconds"])
            self._limit_read = now
        return self._limit

    async def _say(self, stream: str, positions: list[str], age: float, limit: float, *, stale: bool) -> None:
        kind, severity = ("guard_stale", "warning") if stale else ("guard_fresh", "info")
        detail = {"positions": sorted(positions), "age_seconds": round(age, 1), "stale_after_seconds": limit}
        async with self._database.session() as session:
            record_event(session, kind, stream, who="guard", severity=severity, detail=detail)
        log.warning("prices of guards", stream=stream, stale=stale, **detail)
