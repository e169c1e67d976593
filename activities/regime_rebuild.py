"""The regime of a past that nobody computed when it was present."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from temporalio import activity

from activities.beating import beating
from activities.failures import BAD_INPUT, EXCHANGE_UNAVAILABLE, failure
from activities.regime import RegimeRecorder
from db.repositories.audit import record_event, told_before
from db.session import Database
from domain.candle import from_ms, to_ms
from domain.history import OLDEST, REGIME_STEP
from exchange.protocol import Exchange, ExchangeError


def _not_too_old(instant: AwareDatetime) -> AwareDatetime:
    if instant < OLDEST:
        raise ValueError(f"nothing is older than {OLDEST:%Y-%m-%d}")
    return instant


class RebuildRange(BaseModel):
    """4h closes from ``start`` to ``end`` (market time, None: now) to compute where none is recorded.

    The input of ``RegimeRebuildWorkflow`` has the same fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Annotated[AwareDatetime, AfterValidator(_not_too_old)]
    end: AwareDatetime | None = None
    requested_by: str = Field(default="temporal", min_length=1, max_length=200)
    reason: str = Field(default="rebuild", min_length=1, max_length=2000)

    @model_validator(mode="after")
    def _forward(self) -> RebuildRange:
        if self.end is not None and self.start > self.end:
            raise ValueError(f"start: {self.start.isoformat()} must not be after end, {self.end.isoformat()}")
        return self


class Stretch(BaseModel):
    """4h closes of one market, from ``first`` to ``last``."""

    epoch: str
    first: AwareDatetime
    last: AwareDatetime


class Rebuilt(BaseModel):
    """Rows written, and closes that still have none: their candles are not to be had."""

    written: int
    unknown: int


class RegimeRebuildActivities:
    """Each is safe to repeat: what is recorded is never replaced."""

    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._exchange = exchange
        self._recorder = RegimeRecorder(database, exchange)

    @activity.defn
    async def open_rebuild(self, wanted: RebuildRange) -> Stretch:
        """The closes that are meant, of the market there is now. Refuses a range without any."""
        try:
            clock = await self._exchange.market_clock()
        except ExchangeError as error:
            raise failure(EXCHANGE_UNAVAILABLE, f"can't read the market's clock: {error}") from error
        first = from_ms(REGIME_STEP.ceil_ms(to_ms(wanted.start)))
        last = REGIME_STEP.floor(min(wanted.end or clock.now, clock.now))
        if first > last:
            rule = (
                f"no 4h close from {wanted.start.isoformat()} on has passed; the market is at {clock.now.isoformat()}"
            )
            raise failure(BAD_INPUT, f"start: {rule}", field="start", rule=rule)
        async with self._database.session() as session:
            if not await told_before(session, "regime_rebuild_requested", clock.epoch):
                detail = {"from": first.isoformat(), "to": last.isoformat(), "reason": wanted.reason}
                record_event(
                    session,
                    "regime_rebuild_requested",
                    clock.epoch,
                    who=wanted.requested_by,
                    market_at=clock.now,
                    detail=detail,
                )
        return Stretch(epoch=clock.epoch, first=first, last=last)

    @activity.defn
    async def rebuild_stretch(self, stretch: Stretch) -> Rebuilt:
        """Compute what is missing of a stretch; it follows from what is recorded before it."""
        async with beating():
            await self._recorder.fetch(stretch.first, stretch.last)
            async with self._database.session() as session:
                recorded = await self._recorder.record(session, stretch.epoch, stretch.first, stretch.last)
        return Rebuilt(written=recorded.written, unknown=recorded.unknown)

    @activity.defn
    async def close_rebuild(self, wanted: RebuildRange, whole: Stretch, rebuilt: Rebuilt) -> None:
        async with self._database.session() as session:
            if await told_before(session, "regime_rebuild_done", whole.epoch):
                return
            detail = {"from": whole.first.isoformat(), "to": whole.last.isoformat(), **rebuilt.model_dump()}
            record_event(session, "regime_rebuild_done", whole.epoch, who=wanted.requested_by, detail=detail)
