"""What is spoken for of a wallet that was read before the book: nothing is counted as money twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from db.models import Position
from db.repositories.book import paid_positions, read_holdings
from db.session import Database
from domain.position import PositionState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database, pool_size=2)
    yield opened
    await opened.close()


def position(letter: str, category: str, state: PositionState) -> Position:
    """Of 100 USDT, bought at 10 unless it is still to be."""
    bought = state not in (PositionState.RESERVED, PositionState.ENTERING, PositionState.NOT_ENTERED)
    return Position(
        position_id=letter * 20,
        market_epoch="e",
        strategy=letter,
        category=category,
        symbol=f"{letter.upper()}USDT",
        side="long",
        state=state,
        policy={"stop_loss_pct": "3"},
        disaster_buffer_pct=Decimal(1),
        settings_version=1,
        planned_qty=Decimal(10),
        reference_price=Decimal(10),
        entry_qty=Decimal(10) if bought else None,
        entry_price=Decimal(10) if bought else None,
        qty=Decimal(10) if bought else Decimal(0),
        requested_by="test",
        reason="test",
        trace_id="",
        reserved_at=NOW,
        opened_at=NOW if bought else None,
    )


async def test_margin_and_entries_not_bought_yet_are_spoken_for_and_what_the_wallet_paid_is_not(db: Database) -> None:
    async with db.session() as session:
        session.add_all(
            [
                position("a", "spot", PositionState.OPEN),
                position("b", "linear", PositionState.OPEN),
                position("c", "spot", PositionState.ENTERING),
                position("d", "spot", PositionState.RESERVED),
                position("e", "spot", PositionState.NOT_ENTERED),
            ]
        )
    async with db.session() as session:
        paid = await paid_positions(session)
        assert paid == {"a" * 20}
        assert (await read_holdings(session, "e", NOW)).unpaid(paid) == 300


async def test_what_was_bought_after_the_wallet_was_read_is_still_spoken_for(db: Database) -> None:
    async with db.session() as session:
        session.add_all([position("a", "spot", PositionState.OPEN), position("c", "spot", PositionState.ENTERING)])
    async with db.session() as session:
        paid = await paid_positions(session)
    async with db.session() as session:  # its price may or may not have left the wallet that was read in between
        bought = await session.get(Position, "c" * 20)
        assert bought is not None
        bought.state, bought.entry_qty, bought.entry_price = PositionState.OPEN, Decimal(10), Decimal(11)
        bought.qty, bought.opened_at = Decimal(10), NOW
    async with db.session() as session:
        holdings = await read_holdings(session, "e", NOW)
        assert holdings.unpaid(paid) == 110
        assert holdings.unpaid(await paid_positions(session)) == 0, "a wallet read from now on is without it"
