"""What a backfill is asked for, and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from db.models import Backfill
from domain.candle import Timeframe
from domain.history import OLDEST, STORED_TIMEFRAMES, bars_between
from domain.market import Category


def _stored(timeframe: Timeframe) -> Timeframe:
    if timeframe not in STORED_TIMEFRAMES:
        raise ValueError(f"{timeframe} candles are not stored: take one of {', '.join(STORED_TIMEFRAMES)}")
    return timeframe


def _not_too_old(instant: AwareDatetime) -> AwareDatetime:
    if instant < OLDEST:
        raise ValueError(f"nothing is older than {OLDEST:%Y-%m-%d}")
    return instant


StoredTimeframe = Annotated[Timeframe, AfterValidator(_stored)]


class BackfillRange(BaseModel):
    """Candles of one symbol to fetch: those that open from ``start`` on and close by ``end`` (None: by now).

    ``categories`` None takes each that lists the symbol. The input of ``BackfillWorkflow`` has the same fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str = Field(pattern=r"^[A-Z0-9]{2,30}$")
    timeframe: StoredTimeframe
    categories: tuple[Category, ...] | None = Field(default=None, min_length=1, max_length=2)
    start: Annotated[AwareDatetime, AfterValidator(_not_too_old)]
    end: AwareDatetime | None = None
    requested_by: str = Field(default="temporal", min_length=1, max_length=200)

    @model_validator(mode="after")
    def _forward(self) -> BackfillRange:
        if self.end is not None and self.start >= self.end:
            raise ValueError(f"start: {self.start.isoformat()} must be before end, {self.end.isoformat()}")
        return self


class BackfillName(BaseModel):
    """Which row of ``backfills``."""

    symbol: str
    timeframe: Timeframe


class BackfillProgress(BaseModel):
    """How far a backfill is: everything before ``cursor`` is stored as far as the exchange has it.

    ``pages`` were fetched (what was stored completely is not), ``candles`` written; ``share`` is 0 to 1.
    """

    categories: tuple[Category, ...]
    start: AwareDatetime
    end: AwareDatetime
    cursor: AwareDatetime
    pages: int
    candles: int
    share: float


class MissingBars(BaseModel):
    """``bars`` candles from the open time ``start`` on that the exchange doesn't have."""

    category: Category
    start: AwareDatetime
    bars: int


class BackfillResult(BackfillProgress):
    """``bars_missing`` in all; ``holes`` are the first of them."""

    bars_missing: int
    holes: tuple[MissingBars, ...]


class Fetched(BaseModel):
    """``result`` is None while there is more to fetch."""

    progress: BackfillProgress
    result: BackfillResult | None = None


def backfill_input_of(row: Backfill) -> BackfillRange:
    """The input that makes a workflow go on where the row stands."""
    return BackfillRange(
        symbol=row.symbol,
        timeframe=Timeframe(row.timeframe),
        categories=tuple(Category(each) for each in row.categories),
        start=row.start_at,
        end=row.end_at,
        requested_by=row.requested_by,
    )


def workflow_id_of(symbol: str, timeframe: Timeframe) -> str:
    return f"backfill/{symbol}/{timeframe.value}"


def progress_of(row: Backfill) -> BackfillProgress:
    cursor = row.cursor or row.start_at
    timeframe = Timeframe(row.timeframe)
    whole = bars_between(timeframe, row.start_at, row.end_at)
    return BackfillProgress(
        categories=tuple(Category(each) for each in row.categories),
        start=row.start_at,
        end=row.end_at,
        cursor=cursor,
        pages=row.pages,
        candles=row.candles,
        share=min(bars_between(timeframe, row.start_at, cursor) / whole, 1.0) if whole else 1.0,
    )
