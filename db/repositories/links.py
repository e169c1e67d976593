"""How the processes stand with the exchange: clock, rate limits, and which of their streams can be relied on."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import ExchangeLink, RateLimit, StreamStatus

SPEAKS_WITHIN_SECONDS = 10.0
"""A process writes its rows every second: older ones are those of a process that is gone."""
_FORGOTTEN_SECONDS = 120.0
"""After that nobody reads the stream any more, which is no reason to distrust its symbol."""


async def write_link(session: AsyncSession, process: str, link: dict[str, Any], at: datetime) -> None:
    """Replace what ``process`` said: mode, order_entry, clock_offset_ms, measured_at."""
    statement = insert(ExchangeLink).values({**link, "process": process, "updated_at": at})
    changed = {name: statement.excluded[name] for name in (*link, "updated_at")}
    await session.execute(statement.on_conflict_do_update(index_elements=["process"], set_=changed))


async def write_rates(session: AsyncSession, process: str, rows: Sequence[dict[str, Any]], at: datetime) -> None:
    """Replace what ``process`` said of its rate limits: rows of name, per_second, available, waiting, refused."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: row["name"])  # one lock order for all writers
    statement = insert(RateLimit).values([{**row, "process": process, "updated_at": at} for row in ordered])
    changed = {name: statement.excluded[name] for name in (*ordered[0], "updated_at") if name != "name"}
    await session.execute(statement.on_conflict_do_update(index_elements=["name", "process"], set_=changed))


async def read_links(session: AsyncSession, now: datetime) -> Sequence[ExchangeLink]:
    """Those of the processes that live."""
    lives = ExchangeLink.updated_at >= now - timedelta(seconds=SPEAKS_WITHIN_SECONDS)
    return (await session.scalars(select(ExchangeLink).where(lives).order_by(ExchangeLink.process))).all()


async def read_rates(session: AsyncSession, now: datetime) -> Sequence[RateLimit]:
    """Those of the processes that live."""
    lives = RateLimit.updated_at >= now - timedelta(seconds=SPEAKS_WITHIN_SECONDS)
    return (await session.scalars(select(RateLimit).where(lives).order_by(RateLimit.name, RateLimit.process))).all()


async def stream_ages(session: AsyncSession, now: datetime, names: Sequence[str] | None = None) -> dict[str, float]:
    """Seconds since each stream was last known to be whole, in that process where it is worst (infinite: never yet).

    A stream of which only processes told that are gone is as old as their last word, until that is forgotten.
    """
    query = select(StreamStatus).where(StreamStatus.updated_at >= now - timedelta(seconds=_FORGOTTEN_SECONDS))
    rows = (await session.scalars(query if names is None else query.where(StreamStatus.name.in_(names)))).all()
    told: dict[str, list[StreamStatus]] = defaultdict(list)
    for row in rows:
        told[row.name].append(row)
    return {name: _age(of_name, now) for name, of_name in told.items()}


async def stale_streams(session: AsyncSession, now: datetime, older_than_seconds: float) -> set[str]:
    """Names of the streams (``linear:publicTrade.BTCUSDT``, ``private``) that can't be relied on now (wall)."""
    ages = await stream_ages(session, now)
    return {name for name, age in ages.items() if age > older_than_seconds}


def _age(rows: Sequence[StreamStatus], now: datetime) -> float:
    silent_for = {row.process: (now - row.updated_at).total_seconds() for row in rows}
    speaking = [row for row in rows if silent_for[row.process] <= SPEAKS_WITHIN_SECONDS]
    if not speaking:
        return min(silent_for.values())
    return max(
        math.inf if row.last_message_at is None else (now - row.last_message_at).total_seconds() for row in speaking
    )
