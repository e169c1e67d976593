"""Instruments, candles and open positions as rows, for tests of what a scan looks at."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from db.models import CandleRow, Position, PositionTarget
from db.repositories.market import upsert_instruments
from db.session import Database
from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.ids import manual_position_id
from domain.market import Category, Instrument, PositionSide
from domain.position import PositionState


def instrument(symbol: str, category: Category = Category.SPOT) -> Instrument:
    return Instrument(
        category=category,
        symbol=symbol,
        base_coin=symbol.removesuffix("USDT"),
        quote_coin="USDT",
        tick_size=Decimal("0.01"),
        qty_step=Decimal("0.001"),
        min_order_qty=Decimal("0.001"),
        min_order_amount=Decimal(5),
        max_market_qty=Decimal(1000),
    )


async def list_symbols(database: Database, *symbols: str) -> None:
    """Have the symbols listed on both markets."""
    async with database.session() as session:
        await upsert_instruments(session, [instrument(symbol, each) for symbol in symbols for each in Category])


async def add_candles(
    database: Database,
    symbol: str,
    timeframe: Timeframe,
    first: datetime,
    closes: Sequence[float],
    category: Category = Category.SPOT,
) -> None:
    """Candles from the open time ``first`` on, one for each of ``closes``."""
    async with database.session() as session:
        session.add_all(
            CandleRow(
                category=category,
                symbol=symbol,
                timeframe=timeframe,
                open_time=first + number * timeframe.duration,
                open=close,
                high=close,
                low=close,
                close=close,
                volume=1.0,
                turnover=close,
            )
            for number, close in enumerate(closes)
        )


async def hold(
    database: Database,
    symbol: str,
    opened_at: datetime,
    *,
    strategy: str = "level",
    category: Category = Category.SPOT,
    state: PositionState = PositionState.OPEN,
    min_hold_seconds: int = 0,
) -> str:
    """A long position of a strategy; its id."""
    position_id = manual_position_id(uuid.uuid4().hex)
    policy = ExitPolicy(stop_loss_pct=Decimal(20), min_hold_seconds=min_hold_seconds).model_dump(mode="json")
    async with database.session() as session:
        session.add(
            Position(
                position_id=position_id,
                market_epoch="test",
                strategy=strategy,
                category=category,
                symbol=symbol,
                side=PositionSide.LONG,
                state=state,
                policy=policy,
                disaster_buffer_pct=Decimal(1),
                settings_version=1,
                planned_qty=Decimal(1),
                reference_price=Decimal(100),
                entry_qty=Decimal(1),
                entry_price=Decimal(100),
                qty=Decimal(1),
                requested_by="test",
                reason="test",
                trace_id="",
                reserved_at=opened_at,
                opened_at=opened_at,
            )
        )
        await session.flush()
        session.add(PositionTarget(position_id=position_id, version=1, policy=policy, set_by="test", reason="test"))
    return position_id
