"""Executions: recorded once, attributed, booked in order, whatever the number and the order they come in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from activities.execution_intake import take_in
from db.models import LotMatchRow, LotRow, OrderExecution, Position, SystemEvent
from db.repositories.market import upsert_instruments
from db.repositories.orders import insert_intent
from db.repositories.positions import reserve
from db.session import Database
from domain.ids import OrderRole, manual_position_id, order_link_id
from domain.market import Category, Instrument, PositionSide, Side
from domain.order import OrderState
from exchange.protocol import Execution

AT = datetime(2025, 1, 1, tzinfo=UTC)
POSITION = manual_position_id("one")
BTC = Instrument(
    category=Category.SPOT,
    symbol="BTCUSDT",
    base_coin="BTC",
    quote_coin="USDT",
    tick_size=Decimal("0.01"),
    qty_step=Decimal("0.000001"),
    min_order_qty=Decimal("0.000001"),
    min_order_amount=Decimal(5),
    max_market_qty=Decimal(100),
)


def execution(number: int, side: Side, role: OrderRole, qty: str = "1", **changes: Any) -> Execution:
    fields: dict[str, Any] = {
        "exec_id": f"e{number}",
        "order_id": f"o{role}",
        "order_link_id": order_link_id(POSITION, role),
        "category": Category.SPOT,
        "symbol": "BTCUSDT",
        "side": side,
        "qty": Decimal(qty),
        "price": Decimal(100 + number),
        "value": Decimal(qty) * (100 + number),
        "fee": Decimal("0.1"),
        "fee_coin": "USDT",
        "exec_type": "Trade",
        "stop_order_type": "",
        "is_maker": False,
        "closed_size": Decimal(0),
        "executed_at": AT + timedelta(seconds=number),
    }
    return Execution(**{**fields, **changes})


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    async with opened.session() as session:
        await upsert_instruments(session, [BTC])
        await reserve(
            session,
            {"stop_loss_pct": "2"},
            Decimal(1_000),
            position_id=POSITION,
            market_epoch="test",
            strategy="manual",
            category=Category.SPOT,
            symbol="BTCUSDT",
            side=PositionSide.LONG,
            disaster_buffer_pct=Decimal(1),
            settings_version=1,
            planned_qty=Decimal(2),
            reference_price=Decimal(100),
            requested_by="test",
            reason="test",
            trace_id="",
            reserved_at=AT,
        )
        for role, side in ((OrderRole.ENTRY, Side.BUY), (OrderRole.EXIT, Side.SELL)):
            await insert_intent(
                session,
                OrderState.SENT,
                order_link_id=order_link_id(POSITION, role),
                position_id=POSITION,
                role=role,
                category=Category.SPOT,
                symbol="BTCUSDT",
                side=side,
                qty=Decimal(2),
                reduce_only=False,
            )
    yield opened
    await opened.close()


async def take(db: Database, *executions: Execution) -> Position:
    async with db.session() as session:
        await take_in(session, executions)
    async with db.session() as session:
        found = await session.get(Position, POSITION)
    assert found is not None
    return found


async def test_the_same_executions_twice_are_booked_once(db: Database) -> None:
    buys = [execution(1, Side.BUY, OrderRole.ENTRY), execution(2, Side.BUY, OrderRole.ENTRY)]
    await take(db, *buys)
    position = await take(db, *buys)
    assert (position.qty, position.entry_price) == (Decimal(2), Decimal("101.5"))


async def test_an_exit_known_before_its_entry_waits_and_is_then_matched_newest_lot_first(db: Database) -> None:
    position = await take(db, execution(3, Side.SELL, OrderRole.EXIT))
    assert position.qty == 0
    position = await take(db, execution(1, Side.BUY, OrderRole.ENTRY), execution(2, Side.BUY, OrderRole.ENTRY))
    assert position.qty == 1
    async with db.session() as session:
        (match,) = (await session.scalars(select(LotMatchRow))).all()
        (left,) = (await session.scalars(select(LotRow).where(LotRow.qty_left > 0))).all()
    assert (match.open_exec_id, match.close_exec_id, match.gross) == ("e2", "e3", Decimal(1))
    assert left.exec_id == "e1"
    assert position.realised_pnl == Decimal("0.8")


async def test_more_sold_than_held_is_booked_as_oversold_and_paged(db: Database) -> None:
    await take(db, execution(1, Side.BUY, OrderRole.ENTRY), execution(2, Side.SELL, OrderRole.EXIT, "1.5"))
    async with db.session() as session:
        (event,) = (await session.scalars(select(SystemEvent).where(SystemEvent.kind == "oversold"))).all()
    assert event.severity == "page"
    assert event.detail["unmatched_qty"] == "0.5"


async def test_a_fee_in_a_third_coin_is_told_and_holds_up_nothing(db: Database) -> None:
    position = await take(db, execution(1, Side.BUY, OrderRole.ENTRY, fee_coin="MNT"))
    assert position.qty == 1
    async with db.session() as session:
        (event,) = (await session.scalars(select(SystemEvent).where(SystemEvent.kind == "fee_not_valued"))).all()
    assert event.detail == {"exec_id": "e1", "fee": "0.1", "fee_coin": "MNT"}


async def test_executions_of_others_are_kept_and_not_booked(db: Database) -> None:
    position = await take(db, execution(1, Side.BUY, OrderRole.ENTRY, order_link_id="somebody-elses"))
    assert position.qty == 0
    async with db.session() as session:
        assert await session.scalar(select(func.count()).select_from(OrderExecution)) == 1


async def test_thousands_of_executions_at_once_fit(db: Database) -> None:
    await take(db, *(execution(n, Side.BUY, OrderRole.ENTRY, order_link_id=f"other-{n}") for n in range(1, 2101)))
    async with db.session() as session:
        assert await session.scalar(select(func.count()).select_from(OrderExecution)) == 2100


async def test_a_fill_after_the_position_was_given_up_is_paged(db: Database) -> None:
    async with db.session() as session:
        position = await session.get(Position, POSITION)
        assert position is not None
        position.state = "not_entered"
    await take(db, execution(1, Side.BUY, OrderRole.ENTRY))
    async with db.session() as session:
        (event,) = (await session.scalars(select(SystemEvent).where(SystemEvent.kind == "late_fill"))).all()
    assert event.severity == "page"
