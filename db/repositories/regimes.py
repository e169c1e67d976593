"""The market's regime: one row a 4h close, the newest one, and what was known of any instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import BtcMarketState, BtcMarketStateHistory, Scan
from domain.candle import from_ms, to_ms
from domain.gate_facts import MarketRegime
from domain.history import REGIME_STEP
from domain.regime import NO_REGIME, Regime
from observability.tracing import current_trace_id

SCAN = "scan"
REBUILD = "rebuild"

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('regime/' || :epoch, 0))")


@dataclass(frozen=True, slots=True)
class NewRegime:
    """A row to append; see ``BtcMarketStateHistory``."""

    valid_from: datetime
    state: Regime
    effective: Regime | None
    confirmed: bool
    streak: int
    pending: Regime | None
    score: float
    components: dict[str, Any]
    inputs: dict[str, Any]
    source: str


async def lock_regime(session: AsyncSession, epoch: str) -> None:
    """Alone with the regime of a market to the end of the transaction: each row follows from the one before it."""
    await session.execute(_LOCK, {"epoch": epoch})


async def append_regimes(session: AsyncSession, epoch: str, rows: Sequence[NewRegime]) -> int:
    """Store the rows of closes that have none yet, and which row is the newest; how many were stored."""
    if not rows:
        return 0
    given = [
        {
            "epoch": epoch,
            "valid_from": row.valid_from,
            "state": row.state.value,
            "effective": row.effective.value if row.effective else None,
            "confirmed": row.confirmed,
            "streak": row.streak,
            "pending": row.pending.value if row.pending else None,
            "score": row.score,
            "components": row.components,
            "inputs": row.inputs,
            "source": row.source,
            "trace_id": current_trace_id(),
        }
        for row in sorted(rows, key=lambda row: row.valid_from)
    ]
    stored = 0
    for chunk in in_chunks(given):
        statement = (
            insert(BtcMarketStateHistory)
            .values(list(chunk))
            .on_conflict_do_nothing(index_elements=["epoch", "valid_from"])
            .returning(BtcMarketStateHistory.id)
        )
        stored += len((await session.execute(statement)).all())
    await _point_at_newest(session, epoch)
    return stored


async def _point_at_newest(session: AsyncSession, epoch: str) -> None:
    newest = await _newest(session, BtcMarketStateHistory.epoch == epoch)
    if newest is None:
        return
    told = {
        "history_id": newest.id,
        "valid_from": newest.valid_from,
        "state": newest.state,
        "effective": newest.effective,
        "confirmed": newest.confirmed,
        "score": newest.score,
    }
    await session.execute(
        insert(BtcMarketState)
        .values(epoch=epoch, **told)
        .on_conflict_do_update(
            index_elements=["epoch"],
            set_={**told, "updated_at": func.clock_timestamp()},
            where=BtcMarketState.valid_from < newest.valid_from,
        )
    )


async def newest_regime(session: AsyncSession, epoch: str | None = None) -> BtcMarketStateHistory | None:
    """The newest row of a market (None: of the market whose regime was computed last); None if there is none."""
    query = select(BtcMarketStateHistory).join(BtcMarketState, BtcMarketState.history_id == BtcMarketStateHistory.id)
    if epoch is not None:
        query = query.where(BtcMarketState.epoch == epoch)
    return await session.scalar(query.order_by(BtcMarketState.updated_at.desc()).limit(1))


def regime_fact(row: BtcMarketStateHistory | None) -> MarketRegime | None:
    """A row as the gates look at it."""
    if row is None:
        return None
    effective = Regime(row.effective) if row.effective else None
    return MarketRegime(Regime(row.state), effective, row.confirmed, row.valid_from)


async def regime_before(
    session: AsyncSession, epoch: str, close_at: datetime, not_before: datetime
) -> BtcMarketStateHistory | None:
    """The newest row in [not_before, close_at)."""
    row = BtcMarketStateHistory
    return await _newest(session, (row.epoch == epoch) & (row.valid_from < close_at) & (row.valid_from >= not_before))


async def regime_at(
    session: AsyncSession, epoch: str, market_instant: datetime, known_by: datetime | None = None
) -> BtcMarketStateHistory | None:
    """The row of the last 4h close at or before ``market_instant``, if it was recorded by ``known_by`` (wall).

    None where that very close has no row: an older regime is not today's.
    """
    row = BtcMarketStateHistory
    query = select(row).where(row.epoch == epoch, row.valid_from == REGIME_STEP.floor(market_instant))
    if known_by is not None:
        query = query.where(row.recorded_at <= known_by)
    return await session.scalar(query)


async def known_wall(session: AsyncSession, epoch: str, market_instant: datetime) -> datetime | None:
    """The wall instant up to which a record was known at ``market_instant``; None: all there is.

    That is when the first later close began to be scanned: what is recorded from then on came after the instant.
    """
    later = select(Scan.started_wall).where(Scan.epoch == epoch, Scan.close_at > market_instant)
    return await session.scalar(later.order_by(Scan.close_at).limit(1))


async def newest_known(
    session: AsyncSession, epoch: str, market_instant: datetime, known_by: datetime | None
) -> BtcMarketStateHistory | None:
    """The newest row of a close by ``market_instant`` that was recorded by ``known_by`` (wall; None: ever)."""
    row = BtcMarketStateHistory
    wanted = (row.epoch == epoch) & (row.valid_from <= market_instant)
    return await _newest(session, wanted if known_by is None else wanted & (row.recorded_at <= known_by))


async def levels_at(
    session: AsyncSession,
    epoch: str,
    bar_close_times: npt.NDArray[np.int64],
    known_by: datetime | None = None,
) -> npt.NDArray[np.int8]:
    """``Regime.level`` of the effective regime at each of these instants (ms), as ``regime_at`` has it.

    ``NO_REGIME`` where there is no row or nothing was confirmed yet.
    """
    closes = np.asarray(bar_close_times, dtype=np.int64)
    levels = np.full(closes.shape, NO_REGIME, dtype=np.int8)
    if not len(closes):
        return levels
    wanted = closes - closes % REGIME_STEP.milliseconds
    row = BtcMarketStateHistory
    query = select(row.valid_from, row.effective).where(
        row.epoch == epoch,
        row.valid_from.between(from_ms(int(wanted.min())), from_ms(int(wanted.max()))),
        row.effective.is_not(None),
    )
    if known_by is not None:
        query = query.where(row.recorded_at <= known_by)
    known = {to_ms(at): Regime(effective).level for at, effective in await session.execute(query)}
    for place, instant in enumerate(wanted):
        levels[place] = known.get(int(instant), NO_REGIME)
    return levels


async def regimes_between(
    session: AsyncSession, epoch: str, first: datetime, last: datetime
) -> dict[datetime, BtcMarketStateHistory]:
    """The rows of closes in [first, last], by close."""
    row = BtcMarketStateHistory
    found = await session.scalars(select(row).where(row.epoch == epoch, row.valid_from.between(first, last)))
    return {each.valid_from: each for each in found}


async def list_regimes(
    session: AsyncSession,
    *,
    epoch: str,
    since: datetime | None,
    before: datetime | None,
    limit: int,
    as_of: datetime | None = None,
) -> Sequence[BtcMarketStateHistory]:
    """Rows of one market, newest close first: from ``since`` on, before ``before``, of those known at ``as_of``."""
    row = BtcMarketStateHistory
    query = select(row).where(row.epoch == epoch).order_by(row.valid_from.desc()).limit(limit)
    if since is not None:
        query = query.where(row.valid_from >= since)
    if before is not None:
        query = query.where(row.valid_from < before)
    if as_of is not None:
        query = query.where(row.valid_from <= as_of)
        known_by = await known_wall(session, epoch, as_of)
        query = query if known_by is None else query.where(row.recorded_at <= known_by)
    return (await session.scalars(query)).all()


async def _newest(session: AsyncSession, wanted: ColumnElement[bool]) -> BtcMarketStateHistory | None:
    row = BtcMarketStateHistory
    return await session.scalar(select(row).where(wanted).order_by(row.valid_from.desc()).limit(1))
