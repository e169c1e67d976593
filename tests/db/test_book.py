"""What the gates are told is held and was done: money counted once, a day's result, and what others hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from db.base import Base
from db.models import ForeignPosition, FundingPayment, LotMatchRow, Position
from db.repositories.book import paid_positions, read_holdings
from db.repositories.foreign import lose_foreign_position
from db.repositories.market import upsert_instruments
from db.session import Database
from domain.gate_facts import OTHERS
from domain.market import Category
from domain.position import PositionState
from tests.activities.held import instrument
from tests.api import rows

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


MIDNIGHT = rows.ENTERED.replace(hour=0)
CLOSED = rows.ENTERED + timedelta(hours=1)
"""When ``rows.closed_position`` was left, with 939 after fees."""


async def store(db: Database, *stored: Base) -> None:
    async with db.session() as session:
        for row in stored:
            session.add(row)
            await session.flush()


def payment(number: int, at: datetime, attributed: str, epoch: str = "test") -> FundingPayment:
    """Funding of which ``attributed`` was our position's; the account paid 9 with what others held."""
    return FundingPayment(
        log_id=f"log-{number}",
        epoch=epoch,
        symbol="BTCUSDT",
        position_id=rows.position_id(1),
        coin="USDT",
        amount=Decimal(-9),
        attributed=Decimal(attributed),
        size=Decimal(1),
        at=at,
    )


async def test_a_days_result_is_what_was_closed_since_midnight_with_the_funding_that_was_ours(db: Database) -> None:
    await store(
        db,
        *rows.closed_position(1),
        payment(1, MIDNIGHT, "-7"),
        payment(2, MIDNIGHT + timedelta(hours=8), "-2.5"),
        payment(3, CLOSED, "-100", epoch="another market"),
    )

    async def net(at: datetime, epoch: str = "test") -> Decimal:
        async with db.session() as session:
            return (await read_holdings(session, epoch, at)).net_pnl_today

    assert await net(CLOSED) == Decimal("936.5")
    assert await net(CLOSED.replace(hour=23, minute=59)) == Decimal("936.5")
    assert await net(MIDNIGHT + timedelta(days=1)) == 0, "a new day of the market"
    assert await net(CLOSED, "another market") == -100
    assert await net(CLOSED, "a third") == 0


async def test_what_happens_at_midnight_is_of_the_day_it_ends(db: Database) -> None:
    *before, match = rows.closed_position(1)
    assert isinstance(match, LotMatchRow)
    match.matched_at = MIDNIGHT
    await store(db, *before, match)
    async with db.session() as session:
        assert (await read_holdings(session, "test", MIDNIGHT)).net_pnl_today == 0
        assert (await read_holdings(session, "test", MIDNIGHT - timedelta(seconds=1))).net_pnl_today == 939


async def test_a_close_and_an_entry_are_told_of_the_strategy_whose_they_were(db: Database) -> None:
    await store(db, *rows.closed_position(1), rows.position(2, strategy="manual1", category="linear"))
    async with db.session() as session:
        holdings = await read_holdings(session, "test", CLOSED)
    own, other = (holdings.book(name, Category.SPOT, "BTCUSDT") for name in ("manual1", "manual2"))
    assert (own.last_closed_at, own.trades_today, own.strategy_positions) == (CLOSED, 2, 1)
    assert (other.last_closed_at, other.trades_today, other.strategy_positions) == (None, 0, 0)
    assert own.symbol_exposure == other.symbol_exposure == 30_000
    assert holdings.book("manual1", Category.LINEAR, "BTCUSDT").last_closed_at is None, "each market rests for itself"


async def test_an_entry_that_filled_after_it_was_given_up_has_its_place(db: Database) -> None:
    given_up = {"state": PositionState.NOT_ENTERED, "strategy": "any"}
    await store(db, rows.position(1, **given_up, qty=Decimal(0)))
    async with db.session() as session:
        assert (await read_holdings(session, "test", NOW)).held == ()
    await store(db, rows.position(2, **given_up))
    async with db.session() as session:
        book = (await read_holdings(session, "test", NOW)).book("any", Category.SPOT, "BTCUSDT")
    assert (book.holder, book.open_positions, book.symbol_exposure) == (rows.position_id(2), 1, 30_000)


async def test_what_others_hold_of_a_linear_symbol_has_its_place_while_it_could_be_an_order(db: Database) -> None:
    listed = [instrument(symbol, Category.LINEAR) for symbol in ("SOLUSDT", "XRPUSDT", "ETHUSDT")]
    async with db.session() as session:
        await upsert_instruments(session, listed)
    theirs = {"SOLUSDT": "0.001", "XRPUSDT": "0.0009", "ETHUSDT": "2", "NEWUSDT": "0.0001"}
    await store(
        db,
        *(
            ForeignPosition(category="linear", symbol=symbol, side="short", size=Decimal(size))
            for symbol, size in theirs.items()
        ),
    )
    async with db.session() as session:
        assert await lose_foreign_position(session, "ETHUSDT")
    async with db.session() as session:
        holdings = await read_holdings(session, "test", NOW)
    held = {symbol: holdings.book("any", Category.LINEAR, symbol).holder for symbol in theirs}
    assert held == {"SOLUSDT": OTHERS, "XRPUSDT": None, "ETHUSDT": None, "NEWUSDT": OTHERS}
    assert {holdings.book("any", Category.SPOT, symbol).holder for symbol in theirs} == {None}
    assert holdings.book("any", Category.LINEAR, "SOLUSDT").open_positions == 0, "and nothing of ours"
