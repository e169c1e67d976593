"""Funding: who pays whom, when, and how it is told; once per instant whatever the exchange does in between."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain.market import Category, Side
from exchange.paper.core.audit import audit
from exchange.paper.core.commands import PlaceOrder
from exchange.paper.core.events import Executed, Logged, PositionChanged
from exchange.paper.core.funding import next_settlement, settle
from exchange.paper.core.model import Execution
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START, ListedFeed
from tests.exchange.paper.test_account_venue import venue_at

D = Decimal
LINEAR = Category.LINEAR
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("side", "rate", "received"),
    [
        (Side.BUY, "0.0001", "-0.98"),
        (Side.SELL, "0.0001", "0.98"),
        (Side.BUY, "-0.0003", "2.94"),
        (Side.SELL, "-0.0003", "-2.94"),
    ],
)
def test_longs_pay_a_positive_rate_and_receive_a_negative_one(side: Side, rate: str, received: str) -> None:
    account = Account()
    account.place(LINEAR, side, "0.2")
    account.market.marks["BTCUSDT"] = D(49_000)
    account.market.rate = D(rate)
    before = account.state.balance("USDT")
    events = settle(account.state, account.market, START + 8 * HOUR)
    (told,) = [e.execution for e in events if isinstance(e, Executed)]
    (row,) = [e.row for e in events if isinstance(e, Logged)]
    assert account.state.balance("USDT") - before == D(received)
    assert (told.exec_type, told.side, told.qty, told.price) == ("Funding", side, D("0.2"), D(49_000))
    assert (told.fee, told.fee_rate, told.at) == (-D(received), D(rate), START + 8 * HOUR)
    assert (row.type, row.funding, row.fee, row.cash_flow, row.change) == ("SETTLEMENT", D(received), 0, 0, D(received))
    assert row.trade_id == told.exec_id
    (position,) = [e.position for e in events if isinstance(e, PositionChanged)]
    assert position.realised == account.state.balance("USDT") - 100_000


def test_nothing_open_settles_nothing() -> None:
    account = Account()
    account.place(LINEAR, Side.BUY, "0.2")
    account.place(LINEAR, Side.SELL, "0.2")
    account.market.rate = D("0.01")
    assert settle(account.state, account.market, START) == []


def test_funding_instants_are_eight_hours_apart_from_midnight() -> None:
    assert next_settlement(START) == START + 8 * HOUR
    assert next_settlement(START - SECOND) == START
    assert next_settlement(START + 23 * HOUR) == START + 24 * HOUR


def enter(link: str, qty: str, trigger: str) -> PlaceOrder:
    return PlaceOrder(
        START,
        LINEAR,
        "BTCUSDT",
        Side.BUY,
        "Market",
        D(qty),
        link_id=link,
        trigger_price=D(trigger),
        trigger_direction=1,
    )


def market_around_eight() -> ListedFeed:
    """50,100 a second before 8 h, 50,200 at it, 50,300 a second after; then quiet until 25 h."""
    feed = ListedFeed(
        [
            (8 * HOUR - SECOND, D(50_100)),
            (8 * HOUR, D(50_200)),
            (8 * HOUR + SECOND, D(50_300)),
            (25 * HOUR, D(50_300)),
        ]
    )
    feed.rate = D("0.0001")
    return feed


async def settlements(
    directory: Path, feed: ListedFeed, stops: list[timedelta], orders: list[PlaceOrder]
) -> list[Execution]:
    """Settlements of a market pumped once before each stop, the exchange restarted after each."""
    found: list[Execution] = []
    for number, stop in enumerate([SECOND, *stops]):
        async with venue_at(directory, feed, START + stop) as venue:
            for order in orders if number == 0 else []:
                await venue.submit(lambda at, order=order: order)
            venue.pump()
            await venue.journal.settled()
            fills = list(venue.history.every_execution())
            rows, closed = list(venue.history.every_log_row()), list(venue.history.every_closed_pnl())
            checked = audit(venue.state, venue.market, fills, rows, closed)
            assert checked.ok, checked.problems
            found = [fill for fill in fills if fill.exec_type == "Funding"]
    return found


async def test_what_a_trade_before_the_instant_opens_pays_and_what_one_at_it_opens_does_not(tmp_path: Path) -> None:
    orders = [enter("before", "0.1", "50100"), enter("at", "0.2", "50200")]
    paid = await settlements(tmp_path, market_around_eight(), [9 * HOUR], orders)
    (settlement,) = paid
    assert (settlement.qty, settlement.at) == (D("0.1"), START + 8 * HOUR)
    assert settlement.fee == D("0.1") * D(50_200) * D("0.0001")


@pytest.mark.parametrize(
    "stops",
    [
        [25 * HOUR],
        [8 * HOUR, 25 * HOUR],
        [8 * HOUR - SECOND, 8 * HOUR - SECOND / 2, 8 * HOUR, 8 * HOUR + SECOND, 16 * HOUR, 25 * HOUR],
        [7 * HOUR, 17 * HOUR, 25 * HOUR],
    ],
    ids=["at once", "at the instant", "around it", "past two"],
)
async def test_each_instant_is_settled_once_however_the_pump_stops_and_restarts(
    tmp_path: Path, stops: list[timedelta]
) -> None:
    paid = await settlements(tmp_path, market_around_eight(), stops, [enter("before", "0.1", "50100")])
    assert [fill.at for fill in paid] == [START + hours * HOUR for hours in (8, 16, 24)]
    assert [fill.price for fill in paid] == [D(50_200), D(50_300), D(50_300)]
