"""Decisions of momentum on a market that falls, written down as a scan leaves them: nobody wanted to enter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import text

from db.models import CandleRow, StrategyScan
from db.repositories.strategy_panels import PanelRows, load_strategy_panels
from db.session import Database
from domain.candle import Timeframe
from domain.digests import panel_digests
from domain.market import Category
from domain.strategies import STRATEGIES
from tests.support.waiting import run

H4 = Timeframe.H4.duration
CLOSES = [datetime(2026, 3, day, 8, tzinfo=UTC) for day in (1, 2)]
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
MOMENTUM = STRATEGIES["momentum"]
NEEDS = MOMENTUM.needs(MOMENTUM.parameters(), Timeframe.H4)
BARS = NEEDS.candles[Timeframe.H4]


def candles() -> Iterator[CandleRow]:
    """A market that falls: nobody wants to enter."""
    rng = np.random.default_rng(5)
    for symbol in SYMBOLS:
        closes = 100 * np.exp(np.cumsum(rng.normal(-0.002, 0.002, BARS + 6)))
        for bar, close in enumerate(closes.tolist()):
            yield CandleRow(
                category="spot",
                symbol=symbol,
                timeframe="4h",
                open_time=CLOSES[-1] - (len(closes) - bar) * H4,
                open=close,
                high=close * 1.001,
                low=close * 0.999,
                close=close,
                volume=5.0,
                turnover=5.0 * close,
            )


async def _decided(database: Database, close_at: datetime) -> StrategyScan:
    """The row that a scan leaves of momentum when nobody wants to enter."""
    first, last = close_at - BARS * H4, close_at - H4
    asked = PanelRows("test", Category.SPOT, Timeframe.H4, SYMBOLS, {Timeframe.H4: (first, last)})
    async with database.session() as session:
        panels = await load_strategy_panels(session, asked, NEEDS)
    return StrategyScan(
        epoch="test",
        close_at=close_at,
        strategy="momentum",
        category="spot",
        timeframe="4h",
        config_version=1,
        settings_version=1,
        regime_id=None,
        windows={"4h": {"first_open": first.isoformat(), "last_open": last.isoformat(), "bars": BARS}},
        symbols=SYMBOLS,
        observed=[],
        digests={"4h": panel_digests(panels[Timeframe.H4])},
        missing={},
        candidates=0,
    )


async def _store(dsn: str, market: Sequence[CandleRow], closes: Sequence[datetime]) -> None:
    database = Database(dsn, pool_size=1)
    try:
        async with database.session() as session:
            session.add_all(market)
        for close_at in closes:
            row = await _decided(database, close_at)
            async with database.session() as session:
                session.add(row)
    finally:
        await database.close()


async def _execute(dsn: str, statement: str, values: dict[str, Any]) -> None:
    database = Database(dsn, pool_size=1)
    try:
        async with database.session() as session:
            await session.execute(text(statement), values)
    finally:
        await database.close()


def store_decisions(dsn: str) -> None:
    """Candles, and one decision at each of ``CLOSES``."""
    run(_store(dsn, list(candles()), CLOSES))


def store_decision(dsn: str, close_at: datetime) -> None:
    """One more decision, on the candles that are there."""
    run(_store(dsn, [], [close_at]))


def sql(dsn: str, statement: str, **values: Any) -> None:
    """A change by hand."""
    run(_execute(dsn, statement, values))


def decision(close_at: datetime) -> str:
    """The name of the decision at a close."""
    return f"momentum@{close_at:%Y-%m-%dT%H:%M:%SZ}"
