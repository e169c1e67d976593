"""Ours against the exchange's: whatever happened, sizes add up, and what nothing explains is told exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import OrderRole, manual_position_id, order_link_id
from domain.market import Category, PositionSide
from domain.reconciling import (
    BookedSale,
    Change,
    Holding,
    OpenOrder,
    OurOrder,
    Sale,
    compare_sizes,
    is_foreign,
    linear_stop_faults,
    missing_orders,
    orders_without_row,
    share_of_ours,
    shortfalls,
    size_drift,
    spot_stop_faults,
    unexplained_balance,
    unexplained_changes,
    whose_sales,
)

D = Decimal
AT = datetime(2025, 1, 1, tzinfo=UTC)
OURS = manual_position_id("ours")
STEP = D("0.001")

amounts = st.decimals(min_value=D("0.001"), max_value=D(1000), places=3)
signed = st.decimals(min_value=D(-1000), max_value=D(1000), places=3)
sides = st.sampled_from(PositionSide)


def order(link_id: str = "", symbol: str = "BTCUSDT", category: Category = Category.SPOT, **changes) -> OpenOrder:
    fields = {"order_id": "o1", "qty": D(1), "trigger_price": D(90), "stop_order_type": "Stop", **changes}
    return OpenOrder(category=category, symbol=symbol, order_link_id=link_id, **fields)


def holding(name: str = "ours", qty: str = "1", category: Category = Category.SPOT, **changes) -> Holding:
    fields = {
        "symbol": "BTCUSDT",
        "coin": "BTC",
        "side": PositionSide.LONG,
        "stop": D(90),
        "stop_qty": D(qty),
        "settled": True,
        "opened_at": AT,
        **changes,
    }
    return Holding(position_id=manual_position_id(name), category=category, qty=D(qty), **fields)


# orders


@pytest.mark.parametrize("link_id", ["", "somebody-elses", "x" * 36])
def test_an_order_without_an_id_of_ours_is_foreign(link_id):
    assert is_foreign(order(link_id), [holding()])
    assert not is_foreign(order(order_link_id(OURS, OrderRole.STOP)), [])


def test_the_stop_loss_of_a_linear_position_is_ours_only_where_a_position_is():
    stop = order(category=Category.LINEAR, stop_order_type="StopLoss")
    assert not is_foreign(stop, [holding(category=Category.LINEAR)])
    assert is_foreign(stop, [holding(category=Category.SPOT)])
    assert is_foreign(stop, [holding(category=Category.LINEAR, symbol="ETHUSDT")])
    profit = order(category=Category.LINEAR, stop_order_type="TakeProfit")
    assert is_foreign(profit, [holding(category=Category.LINEAR)]), "we set none"


def test_an_order_under_an_id_of_ours_that_no_row_has_is_drift():
    mine, other = order_link_id(OURS, OrderRole.ENTRY), order_link_id(OURS, OrderRole.EXIT)
    told = [order(mine), order(other), order("foreign")]
    assert [each.subject for each in orders_without_row(told, [mine])] == [other]


def test_an_order_open_here_and_not_there_is_missing():
    rows = [OurOrder(order_link_id(OURS, role), OURS, Category.SPOT, "BTCUSDT") for role in OrderRole]
    there = [order(rows[0].order_link_id), order("foreign")]
    assert missing_orders(rows, there) == rows[1:]


# sizes


@given(st.lists(st.tuples(st.booleans(), signed.filter(bool)), max_size=30), signed)
def test_sizes_that_executions_explain_drift_by_nothing_and_otherwise_by_exactly_what_they_dont(executions, extra):
    """Ours and others' signed executions of one symbol, and something nobody executed."""
    ours = sum((qty for mine, qty in executions if mine), D(0))
    foreign = sum((qty for mine, qty in executions if not mine), D(0))
    sizes = compare_sizes({"BTCUSDT": ours + foreign + extra}, {"BTCUSDT": ours}, {"BTCUSDT": foreign})
    assert [each.amount for each in size_drift(sizes)] == ([extra] if extra else [])


@given(sides, amounts, st.lists(amounts, min_size=1, max_size=12), amounts)
def test_others_close_their_own_first_and_then_ours_until_nothing_is_left(side, ours, closings, theirs):
    foreign, held = theirs * side.sign, ours
    for qty in closings:
        taken = min(share_of_ours(side, qty, foreign), held)
        assert 0 <= taken <= qty
        if foreign * side.sign >= qty:
            assert taken == 0, "they had enough of their own"
        foreign -= side.sign * (qty - taken)
        held -= taken
        assert held == ours or foreign * side.sign <= 0, "ours is taken from only when they have nothing left"
    assert held * side.sign + foreign == side.sign * (ours + theirs - sum(closings)), "nothing appears or vanishes"


# stops


def test_a_linear_stop_is_missing_or_at_another_price_and_an_unsettled_one_is_left_alone():
    held = holding(category=Category.LINEAR)
    assert linear_stop_faults([held], {"BTCUSDT": D(90)}) == []
    assert [each.what for each in linear_stop_faults([held], {"BTCUSDT": None})] == ["missing"]
    assert [each.what for each in linear_stop_faults([held], {"BTCUSDT": D(91)})] == ["price"]
    assert linear_stop_faults([held], {}) == [], "flat: there is nothing to protect"
    unsettled = holding(category=Category.LINEAR, settled=False)
    assert linear_stop_faults([unsettled], {"BTCUSDT": None}) == []


def test_a_spot_stop_is_missing_for_another_quantity_or_at_another_trigger():
    mine = order_link_id(manual_position_id("ours"), OrderRole.STOP)
    held = holding()
    cases = {"": [order(mine)], "missing": [order("x")], "quantity": [order(mine, qty=D("0.5"))]}
    cases["price"] = [order(mine, trigger_price=D(91))]
    for what, orders in cases.items():
        assert "".join(each.what for each in spot_stop_faults([held], orders)) == what
    assert spot_stop_faults([holding(stop_qty=D(0))], []) == [], "too little for an order"


# coins


@given(st.lists(amounts, min_size=1, max_size=5), amounts)
def test_coins_that_cover_every_position_are_not_short(qtys, spare):
    held = [holding(str(number), str(qty)) for number, qty in enumerate(qtys)]
    assert shortfalls(held, {"BTC": sum(qtys, D(0))}) == {}
    assert shortfalls(held, {"BTC": sum(qtys, D(0)) + spare}) == {}
    short = shortfalls(held, {"BTC": sum(qtys, D(0)) - D("0.001")})
    assert short == {"BTC": D("0.001")}


def sale(qty: str, seconds: int = 60, name: str = "e") -> Sale:
    return Sale(f"{name}{seconds}", D(qty), AT + timedelta(seconds=seconds))


def test_a_sale_is_booked_to_the_one_position_that_was_open():
    assert whose_sales(D("0.4"), [sale("1")], [holding()], STEP) == [BookedSale("e60", OURS, D("0.4"))]


def test_a_sale_from_before_a_position_was_opened_took_nothing_from_it():
    assert whose_sales(D(1), [sale("1", seconds=-5)], [holding()], STEP) is None


def test_several_sales_are_taken_the_newest_first():
    booked = whose_sales(D("0.7"), [sale("0.5", 10), sale("0.5", 20)], [holding()], STEP)
    assert booked == [BookedSale("e20", OURS, D("0.5")), BookedSale("e10", OURS, D("0.2"))]


def test_of_two_positions_the_quantity_tells_which_was_sold_or_nothing_is_guessed():
    both = [holding("ours", "1"), holding("other", "0.5")]
    assert whose_sales(D("0.5"), [sale("0.5")], both, STEP) == [
        BookedSale("e60", manual_position_id("other"), D("0.5"))
    ]
    assert whose_sales(D("0.4995"), [sale("0.5")], both, STEP) == [
        BookedSale("e60", manual_position_id("other"), D("0.4995"))
    ], "what is left of it is too little to sell"
    assert whose_sales(D("0.3"), [sale("0.3")], both, STEP) is None
    twins = [holding("ours", "1"), holding("other", "1")]
    assert whose_sales(D(1), [sale("1")], twins, STEP) is None


@given(amounts, st.lists(amounts, min_size=1, max_size=6))
def test_what_is_booked_is_what_is_missing_and_never_more_than_was_sold(missing, sold):
    sales = [sale(str(qty), seconds) for seconds, qty in enumerate(sold)]
    booked = whose_sales(missing, sales, [holding(qty="1000")], STEP)
    if booked is None:
        assert sum(sold) < missing
    else:
        assert sum(each.qty for each in booked) == missing
        by_id = {each.exec_id: each.qty for each in sales}
        assert all(each.qty <= by_id[each.exec_id] for each in booked)
        assert len({each.exec_id for each in booked}) == len(booked)


# balances


@given(
    st.lists(st.tuples(st.integers(0, 3), signed), max_size=20),
    st.integers(0, 20),
    signed,
)
def test_a_balance_is_explained_by_the_log_since_it_was_known_wherever_the_cut_falls(steps, known, extra):
    """``known`` rows were in the balance when it was last read; several rows may share one instant."""
    at, log = AT, []
    for number, (seconds, change) in enumerate(steps):
        at += timedelta(seconds=seconds)
        log.append(Change(str(number), "TRADE", "USDT", change, "", at))
    known = min(known, len(log))
    before = D(100) + sum((row.change for row in log[:known]), D(0))
    as_of = log[known - 1].at if known else AT - timedelta(seconds=1)
    now = D(100) + sum((row.change for row in log), D(0))
    assert unexplained_balance(before, as_of, now, log) == 0
    assert all(first.at <= second.at for first, second in pairwise(log))
    unexplained = unexplained_balance(before, as_of, now + extra, [row for row in log if row.at > as_of])
    boundary = [row.change for row in log[known:] if row.at == as_of]
    assert unexplained == extra + sum(boundary, D(0))


def test_rows_of_unknown_trades_and_of_unknown_kinds_are_told():
    rows = [
        Change("1", "TRADE", "USDT", D(1), "known", AT),
        Change("2", "TRADE", "USDT", D(2), "unknown", AT),
        Change("3", "SETTLEMENT", "USDT", D(3), "", AT),
        Change("4", "TRANSFER_IN", "USDT", D(4), "", AT),
        Change("5", "WITCHCRAFT", "USDT", D(5), "", AT),
    ]
    assert [each.subject for each in unexplained_changes(rows, ["known"])] == ["2", "5"]
