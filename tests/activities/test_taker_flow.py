"""Taker volume: sums are exact, never more than what happened, and never go back."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.taker_flow import TakerFlow
from db.repositories.microstructure import TakerSums, taker_volume_since, upsert_taker_volume
from db.session import Database
from domain.market import Category, Side
from exchange.protocol import Trade

NINE = datetime(2024, 3, 4, 9, tzinfo=UTC)
MARKET = (Category.SPOT, "BTCUSDT")
QUARTER = timedelta(minutes=15)

trades_of_an_hour = st.lists(
    st.tuples(
        st.integers(0, 3_599_999), st.sampled_from(Side), st.decimals("0.000001", "1000", places=6, allow_nan=False)
    ),
    max_size=80,
)


def trade(number: int, ms: int, side: Side, qty: Decimal) -> Trade:
    category, symbol = MARKET
    at = NINE + timedelta(milliseconds=ms)
    price = Decimal(60000)
    return Trade(category=category, symbol=symbol, trade_id=str(number), price=price, qty=qty, side=side, at=at)


def numbered(drawn: list[tuple[int, Side, Decimal]]) -> list[Trade]:
    return [trade(number, *each) for number, each in enumerate(sorted(drawn, key=lambda each: each[0]))]


def totals(trades: list[Trade]) -> dict[datetime, tuple[float, float]]:
    found: dict[datetime, list[Decimal]] = {}
    for each in trades:
        quarter = NINE + (each.at - NINE) // QUARTER * QUARTER
        found.setdefault(quarter, [Decimal(0), Decimal(0)])[each.side is Side.SELL] += each.qty
    return {quarter: (float(bought), float(sold)) for quarter, (bought, sold) in found.items()}


def told(rows: list[TakerSums]) -> dict[datetime, tuple[float, float]]:
    return {row.open_time: (row.bought, row.sold) for row in rows}


def batches(trades: list[Trade]) -> Iterator[list[Trade]]:
    chance, at = random.Random(len(trades)), 0
    while at < len(trades):
        size = chance.randint(1, 9)
        yield trades[at : at + size]
        at += size


@given(trades_of_an_hour)
def test_sums_are_exact_however_the_trades_arrive_and_are_written(drawn: list[tuple[int, Side, Decimal]]) -> None:
    trades, flow, database = numbered(drawn), TakerFlow(), dict[datetime, tuple[float, float]]()
    for batch in batches(trades):
        flow.market(*MARKET).take(batch)
        changes = flow.changes()
        database |= told(changes)
        flow.written(changes)
        assert flow.changes() == []
    assert database == totals(trades)


@given(trades_of_an_hour, st.integers(0, 80), st.integers(0, 80))
def test_a_stretch_of_trades_told_again_after_a_broken_connection_counts_once(
    drawn: list[tuple[int, Side, Decimal]], lost: int, repeated: int
) -> None:
    trades, flow = numbered(drawn), TakerFlow()
    flow.market(*MARKET).take(trades[:lost])
    flow.market(*MARKET).take(trades[max(lost - repeated, 0) :])
    assert told(flow.changes()) == totals(trades)


@given(trades_of_an_hour, st.integers(0, 80))
def test_a_stream_that_starts_anew_goes_on_from_what_is_stored(
    drawn: list[tuple[int, Side, Decimal]], died_at: int
) -> None:
    trades, first, second = numbered(drawn), TakerFlow(), TakerFlow()
    first.market(*MARKET).take(trades[:died_at])
    stored = first.changes()
    second.resume(stored)
    assert second.changes() == []
    second.market(*MARKET).take(trades[died_at:])
    assert told(stored) | told(second.changes()) == totals(trades)


def test_trades_older_than_all_that_are_remembered_are_not_counted_again() -> None:
    trades = [trade(number, number * 100, Side.BUY, Decimal(1)) for number in range(5000)]
    flow = TakerFlow()
    for start in range(0, len(trades), 1000):
        flow.market(*MARKET).take(trades[start : start + 1000])
    flow.market(*MARKET).take(trades)
    assert sum(bought for bought, _ in told(flow.changes()).values()) == 5000


def test_the_first_trade_of_another_quarter_hour_is_told() -> None:
    flow = TakerFlow().market(*MARKET)
    assert flow.take([trade(1, 0, Side.BUY, Decimal(1))])
    assert not flow.take([trade(2, 899_999, Side.BUY, Decimal(1))])
    assert flow.take([trade(3, 900_000, Side.BUY, Decimal(1))])
    assert not flow.take([trade(4, 899_999, Side.SELL, Decimal(2))])
    assert told(flow.changes()) == {NINE: (2.0, 2.0), NINE + QUARTER: (1.0, 0.0)}


def test_sums_that_are_not_written_are_not_forgotten() -> None:
    flow = TakerFlow()
    for number in range(20):
        flow.market(*MARKET).take([trade(number, number * 900_000, Side.BUY, Decimal(1))])
    assert len(flow.changes()) == 20
    flow.written(flow.changes())
    flow.market(*MARKET).take([trade(20, 20 * 900_000, Side.BUY, Decimal(1))])
    assert len(flow.changes()) == 1


@pytest.fixture
async def data(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def test_a_late_smaller_sum_never_replaces_a_larger_one(data: Database) -> None:
    sums = ((5.0, 1.0), (3.0, 0.5), (4.0, 2.0))
    for order in itertools.permutations(sums):
        at = NINE + QUARTER * list(itertools.permutations(sums)).index(order)
        for bought, sold in order:
            async with data.session() as session:
                await upsert_taker_volume(session, [TakerSums(*MARKET, at, bought, sold)])
        async with data.session() as session:
            (row,) = [each for each in await taker_volume_since(session, at) if each.open_time == at]
        assert (row.bought, row.sold) == (5.0, 2.0)
