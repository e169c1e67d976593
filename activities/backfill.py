"""Backfills: history fetched page by page, each page stored in the transaction that says it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ValidationError
from temporalio import activity

from activities import warm_up
from activities.backfill_range import (
    BackfillName,
    BackfillProgress,
    BackfillRange,
    BackfillResult,
    Fetched,
    MissingBars,
    progress_of,
    workflow_id_of,
)
from activities.failures import BAD_INPUT, EXCHANGE_REFUSED, EXCHANGE_UNAVAILABLE, NOT_FOUND, failure
from activities.history import PacedHistory
from activities.universe import listed_universe
from db.models import Backfill
from db.repositories.audit import record_event
from db.repositories.backfills import (
    RUNNING,
    begin_backfill,
    end_backfill,
    find_backfill,
    note_page,
    refuse_backfill,
)
from db.repositories.candles import count_candles, holes
from db.repositories.market import upsert_candles
from db.session import Database
from domain.candle import Timeframe
from domain.history import REGIME_SYMBOL, bars_between, grid_range, pages
from domain.market import Category, Instrument
from exchange.protocol import Candle, Exchange, ExchangeError, Refused
from observability.logs import get_logger

log = get_logger(__name__)

BACKFILLS_AT_ONCE = 3
PAGES_A_STRETCH = 40
"""After so many requests the activity returns: the workflow knows how far it is, and others have their turn."""
_HOLES_TOLD = 20
_BEAT_SECONDS = 1.0


class _Beat(BaseModel):
    """Where an attempt stood: ``category`` has everything before ``cursor``."""

    category: Category
    cursor: AwareDatetime


class BackfillActivities:
    def __init__(
        self, database: Database, exchange: Exchange, history: PacedHistory, at_once: int = BACKFILLS_AT_ONCE
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._history = history
        self._places = asyncio.Semaphore(at_once)

    @activity.defn
    async def plan_warm_up(self) -> list[BackfillRange]:
        """What decisions on the whole universe need and isn't stored, one range a symbol and timeframe."""
        try:
            universe = await listed_universe(self._database, self._exchange)
            regime = [one for category in Category for one in await self._listing(category, REGIME_SYMBOL)]
            now = (await self._exchange.market_clock()).now
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"the universe is not known yet: {error}") from error
        return await warm_up.plan(self._database, universe, regime, now)

    @activity.defn
    async def open_backfill(self, wanted: BackfillRange) -> BackfillProgress:
        """The row of the backfill: a new one, or where the same range stands. Refuses what can't be fetched."""
        try:
            now = (await self._exchange.market_clock()).now
            listed = [each for each in Category if await self._listing(each, wanted.symbol)]
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"the exchange can't be asked yet: {error}") from error
        start, end = grid_range(wanted.timeframe, wanted.start, wanted.end or now)
        unlisted = [each for each in wanted.categories or tuple(Category) if each not in listed]
        if unlisted and (wanted.categories is not None or not listed):
            rule = f"{wanted.symbol} is not listed on {' or '.join(unlisted)}"
            await self._refuse(wanted, start, end, "unknown_symbol", "symbol", rule, unlisted)
        for name, instant in (("start", wanted.start), ("end", wanted.end)):
            if instant is not None and instant > now:
                rule = f"{instant.isoformat()} is in the future: the market is at {now.isoformat()}"
                await self._refuse(wanted, start, end, "bad_request", name, rule)
        if start >= end:
            rule = f"no {wanted.timeframe} candle opens after it and has closed by {(wanted.end or now).isoformat()}"
            await self._refuse(wanted, start, end, "bad_request", "start", rule)
        async with self._database.session() as session:
            row = await begin_backfill(
                session,
                wanted.symbol,
                wanted.timeframe,
                wanted.categories or listed,
                start,
                end,
                wanted.requested_by,
            )
            return progress_of(row)

    @activity.defn
    async def fetch_history(self, name: BackfillName) -> Fetched:
        """Go on with the backfill for a stretch of pages; to be called again until it has a result."""
        row = await self._row(name)
        fetching = _Fetching(self._database, self._history, row, _last_beat())
        async with _beating(fetching), self._places:
            try:
                return await fetching.go_on()
            except Refused as refusal:
                await self._fail(row, str(refusal))
                raise failure(
                    EXCHANGE_REFUSED, f"{workflow_id_of(name.symbol, name.timeframe)}: {refusal}"
                ) from refusal
            except ExchangeError as error:
                raise failure(EXCHANGE_UNAVAILABLE, f"history not fetched yet: {error}") from error

    @activity.defn
    async def give_up_backfill(self, name: BackfillName) -> None:
        """The row of a backfill that was cancelled, so that nobody starts it again."""
        row = await self._row(name)
        if row.state == RUNNING:
            await self._fail(row, "cancelled")

    async def _listing(self, category: Category, symbol: str) -> list[Instrument]:
        try:
            return await self._exchange.instruments(category, symbol)
        except Refused:
            return []

    async def _row(self, name: BackfillName) -> Backfill:
        async with self._database.session() as session:
            row = await find_backfill(session, name.symbol, name.timeframe)
        if row is None:
            raise failure(NOT_FOUND, f"there is no backfill of {name.symbol} {name.timeframe}")
        return row

    async def _fail(self, row: Backfill, error: str) -> None:
        timeframe = Timeframe(row.timeframe)
        async with self._database.session() as session:
            await end_backfill(session, row.symbol, timeframe, error)
            record_event(
                session,
                "backfill_failed",
                workflow_id_of(row.symbol, timeframe),
                who=row.requested_by,
                severity="warning",
                detail={"error": error},
            )

    async def _refuse(
        self,
        wanted: BackfillRange,
        start: datetime,
        end: datetime,
        code: str,
        field: str,
        rule: str,
        unlisted: list[Category] | None = None,
    ) -> None:
        """Raise, after an audit event; a symbol that isn't listed has a failed row as well."""
        subject = workflow_id_of(wanted.symbol, wanted.timeframe)
        detail = {"code": code, "field": field, "rule": rule}
        async with self._database.session() as session:
            if unlisted:
                who, error = wanted.requested_by, f"{field}: {rule}"
                await refuse_backfill(session, wanted.symbol, wanted.timeframe, unlisted, start, end, who, error)
            record_event(
                session, "backfill_failed", subject, who=wanted.requested_by, severity="warning", detail=detail
            )
        raise failure(BAD_INPUT, f"{field}: {rule}", **detail)


class _Fetching:
    """One attempt at a stretch of pages, from where the row or the attempt before stood."""

    def __init__(self, database: Database, history: PacedHistory, row: Backfill, beat: _Beat | None) -> None:
        self.beat = beat
        self._database = database
        self._history = history
        self._symbol = row.symbol
        self._timeframe = Timeframe(row.timeframe)
        self._categories = [Category(each) for each in row.categories]
        self._cursor, self._end = row.cursor or row.start_at, row.end_at

    async def go_on(self) -> Fetched:
        fetched = 0
        for start, end in pages(self._timeframe, self._cursor, self._end):
            for category in self._categories:
                if not self._has(category, end):
                    fetched += await self._page(category, start, end)
                    self.beat = _Beat(category=category, cursor=end)
                    activity.heartbeat(self.beat)
            if fetched >= PAGES_A_STRETCH and end < self._end:
                return Fetched(progress=progress_of(await self._row()))
        result = await self._finish()
        return Fetched(progress=result, result=result)

    def _has(self, category: Category, end: datetime) -> bool:
        """Whether the attempt before stored this page of the category, with the row not raised yet for all of them."""
        if self.beat is None or self.beat.cursor != end:
            return False
        return self._categories.index(category) <= self._categories.index(self.beat.category)

    async def _page(self, category: Category, start: datetime, end: datetime) -> int:
        """Store one page of a category, unless all of it is there. How many requests that took."""
        raised = end if category is self._categories[-1] else None
        async with self._database.session() as session:
            stored = await count_candles(session, category, self._symbol, self._timeframe, start, end)
            if stored == bars_between(self._timeframe, start, end):
                await note_page(session, self._symbol, self._timeframe, raised, pages=0, candles=0)
                return 0
        candles = await self._history.candles(category, self._symbol, self._timeframe, start, end)
        _require_closed(candles)
        async with self._database.session() as session:
            await upsert_candles(session, candles)
            await note_page(session, self._symbol, self._timeframe, raised, pages=1, candles=len(candles))
        return 1

    async def _row(self) -> Backfill:
        async with self._database.session() as session:
            row = await find_backfill(session, self._symbol, self._timeframe)
        assert row is not None, "backfills are never deleted"
        return row

    async def _finish(self) -> BackfillResult:
        """The row is done; what the exchange doesn't have is told."""
        missing: list[MissingBars] = []
        async with self._database.session() as session:
            row = await find_backfill(session, self._symbol, self._timeframe)
            assert row is not None, "backfills are never deleted"
            for category in self._categories:
                found = await holes(session, category, self._symbol, self._timeframe, row.start_at, row.end_at)
                missing += [MissingBars(category=category, start=hole.start, bars=hole.bars) for hole in found]
            await end_backfill(session, self._symbol, self._timeframe)
        result = BackfillResult(
            **progress_of(row).model_dump(),
            bars_missing=sum(hole.bars for hole in missing),
            holes=tuple(missing[:_HOLES_TOLD]),
        )
        log.info(
            "backfill done",
            symbol=self._symbol,
            timeframe=self._timeframe.value,
            candles=result.candles,
            pages=result.pages,
            bars_missing=result.bars_missing,
        )
        return result


def _require_closed(candles: list[Candle]) -> None:
    """A range ends in the past, but an exchange may still be writing its last candle: it will be done in a second."""
    if any(not candle.confirmed for candle in candles):
        raise failure(EXCHANGE_UNAVAILABLE, "the last candle is still being written")


def _last_beat() -> _Beat | None:
    details = activity.info().heartbeat_details
    if not details or details[0] is None:
        return None
    try:
        return _Beat.model_validate(details[0])
    except ValidationError:  # an attempt of another version: the row is enough
        return None


@asynccontextmanager
async def _beating(fetching: _Fetching) -> AsyncIterator[None]:
    """Beat also while waiting for a place or an answer, always with the newest page."""

    async def beat() -> None:
        while True:
            activity.heartbeat(fetching.beat)
            await asyncio.sleep(_BEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
