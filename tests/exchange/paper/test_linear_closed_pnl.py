"""Closed P&L: per closing order, net of its share of the opening fees and of its own."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.core.commands import Deposit
from exchange.paper.core.events import Event, Executed, PnlClosed
from exchange.paper.core.model import ClosedPnl
from tests.exchange.paper.account_case import Account

D = Decimal
LINEAR = Category.LINEAR
TAKER, MAKER = D("0.00055"), D("0.0002")


def closed(events: list[Event]) -> list[ClosedPnl]:
    return [event.closed for event in events if isinstance(event, PnlClosed)]


def test_closing_half_releases_half_of_the_entry_and_of_its_fee() -> None:
    account = Account()
    account.place(LINEAR, Side.BUY, "0.2")
    account.tick(LINEAR, "51000")
    order = account.place(LINEAR, Side.SELL, "0.1", link_id="half")
    (row,) = closed(account.events)
    entry, exit_ = D("50005") * D("0.1"), D("50994.9") * D("0.1")
    assert (row.order_id, row.side, row.closed_size) == (order.order_id, Side.SELL, D("0.1"))
    assert (row.entry_value, row.exit_value) == (entry, exit_)
    assert (row.open_fee, row.close_fee) == (entry * TAKER, exit_ * TAKER)
    assert row.pnl == exit_ - entry - (entry + exit_) * TAKER
    assert account.state.positions["BTCUSDT"].open_fee == entry * TAKER


def test_what_a_turning_order_opens_is_no_part_of_what_it_closed() -> None:
    account = Account()
    account.place(LINEAR, Side.SELL, "0.1")
    account.place(LINEAR, Side.BUY, "0.4")
    (row,) = closed(account.events)
    assert (row.qty, row.closed_size, row.fill_count) == (D("0.4"), D("0.1"), 1)
    assert row.close_fee == D("50005") * D("0.1") * TAKER
    position = account.state.positions["BTCUSDT"]
    assert (position.size, position.open_fee) == (D("0.3"), D("50005") * D("0.3") * TAKER)


def test_a_limit_order_that_closes_in_parts_is_told_again_with_each() -> None:
    account = Account()
    account.place(LINEAR, Side.BUY, "0.3")
    order = account.limit(LINEAR, Side.SELL, "0.3", "51000", reduce_only=True)
    told: list[ClosedPnl] = []
    for _ in range(3):
        told += closed(account.tick(LINEAR, "51000.1", "0.1"))
    assert [(row.closed_size, row.fill_count) for row in told] == [(D("0.1"), 1), (D("0.2"), 2), (D("0.3"), 3)]
    assert {row.order_id for row in told} == {order.order_id}
    assert {row.sequence for row in told} == {told[0].sequence}
    last = told[-1]
    assert last.close_fee == D(51_000) * D("0.3") * MAKER
    assert last.pnl == D(51_000) * D("0.3") - D("50005") * D("0.3") - last.open_fee - last.close_fee
    assert (last.order_price, last.order_type) == (D(51_000), "Limit")


def test_realised_of_a_position_begins_anew_when_it_is_opened_again() -> None:
    account = Account()
    account.place(LINEAR, Side.BUY, "0.1")
    account.place(LINEAR, Side.SELL, "0.1")
    position = account.state.positions["BTCUSDT"]
    first = position.realised
    account.place(LINEAR, Side.SELL, "0.2")
    assert position.realised_before == first
    assert position.realised - position.realised_before == -D("49995") * D("0.2") * TAKER
    account.place(LINEAR, Side.BUY, "0.3")
    assert position.realised - position.realised_before == -D("50005") * D("0.1") * TAKER


sizes = st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 400)), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(sizes, st.lists(st.integers(45_000, 55_000), min_size=20, max_size=20))
def test_closed_pnl_and_the_fees_of_what_is_open_add_up_to_all_that_was_realised(
    trades: list[tuple[Side, int]], prices: list[int]
) -> None:
    account = Account()
    account.do(Deposit(account.now, "USDT", D(9_900_000)))
    rows: dict[str, ClosedPnl] = {}
    fees = D(0)
    for (side, thousandths), price in zip(trades, prices, strict=False):
        account.tick(LINEAR, str(price))
        account.place(LINEAR, side, str(D(thousandths) / 1000))
        rows |= {row.order_id: row for row in closed(account.events)}
        fees += sum((e.execution.fee for e in account.events if isinstance(e, Executed)), D(0))
    position = account.state.positions["BTCUSDT"]
    told = list(rows.values())
    assert sum((r.pnl for r in told), D(0)) - position.open_fee == position.realised
    assert sum((r.open_fee + r.close_fee for r in told), D(0)) + position.open_fee == fees
    assert account.state.balance("USDT") == 10_000_000 + position.realised
