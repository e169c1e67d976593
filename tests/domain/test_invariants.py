"""The hourly comparison of our books with the exchange's: silent while they agree, exact about what they don't."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.funding_payments import Settlement, market_rate, part_of
from domain.invariants import (
    Check,
    Invariant,
    Others,
    check_coins,
    check_equity,
    check_sizes,
    foreign_coins,
    mixed_symbols,
    sizes_at,
)
from domain.market import Category, PositionSide
from domain.portfolio import Holding, LogBehind, Movement, Prices, SoldBeyond

D = Decimal
START = datetime(2026, 3, 1, tzinfo=UTC)
PRICES = Prices({"BTC": D(50_000)}, {"ETHUSDT": D(2_000)})

amounts = st.integers(-(10**12), 10**12).map(lambda n: D(n).scaleb(-8))
quantities = st.integers(1, 10**12).map(lambda n: D(n).scaleb(-8))


def holding(
    qty: Decimal, category: Category = Category.SPOT, side: PositionSide = PositionSide.LONG, *, dust: bool = False
) -> Holding:
    symbol, coin = ("BTCUSDT", "BTC") if category is Category.SPOT else ("ETHUSDT", "ETH")
    return Holding("p", category, symbol, coin, side, qty, D(1), dust)


def moved(number: int, coin: str, change: Decimal, **more: object) -> Movement:
    fields: dict[str, object] = {
        "kind": "TRADE",
        "symbol": "BTCUSDT",
        "fee": D(0),
        "funding": D(0),
        "balance": D(0),
        "exec_id": f"x{number}",
        **more,
    }
    return Movement(coin=coin, change=change, at=START + timedelta(seconds=number), **fields)  # type: ignore[arg-type]


def until(number: int) -> datetime:
    return START + timedelta(seconds=number)


@given(st.lists(st.tuples(st.sampled_from(["ours", "theirs", "transfer"]), amounts), max_size=20), amounts)
def test_coins_are_explained_whoever_moves_them(story, begun):
    """Balance, lots and log move together; a change of the balance that the log lacks shows, to the last digit."""
    lots = others = D(0)
    rows, coins = [], {}
    for number, (who, change) in enumerate(story, 1):
        rows.append(moved(number, "BTC", change, kind="TRANSFER_IN" if who == "transfer" else "TRADE"))
        if who == "ours":
            lots, coins[f"x{number}"] = lots + change, ("BTC", "USDT")
        else:
            others += change
    changes = Others(rows, coins, []).changes(START, until(len(story)))
    assert changes.get("BTC", D(0)) == others
    held = [holding(lots)] if lots > 0 else []
    balance = begun + others + (lots if lots > 0 else D(0))
    foreign = foreign_coins({"BTC": begun}, changes, {})
    assert [check.unexplained for check in check_coins({"BTC": balance}, held, foreign, PRICES)] == [D(0)] * len(held)
    [wrong] = check_coins({"BTC": balance + 1}, held, foreign, PRICES)
    assert (wrong.unexplained, wrong.worth, wrong.broken) == (1, 50_000, True)


@given(quantities, quantities, amounts)
def test_the_parts_of_a_check_add_up(lots, dust, gap):
    held = [holding(lots), holding(dust, dust=True)]
    balance = lots + dust + gap + D(7)
    [check] = check_coins({"BTC": balance}, held, {"BTC": D(7)}, PRICES)
    assert check.exchange == check.lots + check.dust + check.foreign + check.unexplained
    assert (check.lots, check.dust, check.unexplained) == (lots, dust, gap)
    assert check.broken == (abs(gap) * 50_000 > D("0.01"))


def test_what_is_unexplained_stays_so_until_something_explains_it():
    foreign = foreign_coins({"BTC": D("0.5")}, {}, {"BTC": D("0.5")})
    assert foreign == {"BTC": 0}
    [still] = check_coins({"BTC": D("1.5")}, [holding(D(1))], foreign, PRICES)
    assert still.unexplained == D("0.5")
    [gone] = check_coins({"BTC": D(1)}, [holding(D(1))], foreign, PRICES)
    assert gone.unexplained == 0


def test_at_the_first_look_what_is_more_is_foreign_and_what_is_less_is_missing():
    [more] = check_coins({"BTC": D(3)}, [holding(D(1))], None, PRICES)
    assert (more.foreign, more.unexplained) == (2, 0)
    [less] = check_coins({"BTC": D("0.4")}, [holding(D(1))], None, PRICES)
    assert (less.foreign, less.unexplained, less.broken) == (0, D("-0.6"), True)


def test_a_sale_beyond_what_was_held_and_a_fee_in_a_third_coin_are_foreign():
    rows = [moved(1, "BTC", D(-3)), moved(1, "USDT", D(90)), moved(1, "MNT", D("-0.2"))]
    beyond = [SoldBeyond("BTC", D(2), D(30), until(1))]
    others = Others(rows, {"x1": ("BTC", "USDT")}, beyond)
    assert others.changes(START, until(1)) == {"BTC": D(-2), "MNT": D("-0.2")}
    assert others.brought(Prices({"MNT": D(5)}, {}), START, until(1)) == -1
    assert others.changes(until(1), until(9)) == {}


def test_what_others_brought_leaves_out_transfers_and_funding():
    rows = [
        moved(1, "USDT", D(100), kind="TRANSFER_IN"),
        moved(2, "USDT", D("-1.5"), funding=D("-1.5"), kind="SETTLEMENT"),
        moved(3, "BTC", D(-1)),
        moved(4, "USDT", D("49_990")),
    ]
    assert Others(rows, {}, []).brought(PRICES, START, until(4)) == -10


def test_a_cent_is_no_trouble_and_more_is():
    checks = [check_equity(D(10), D(9), D(1) - gap) for gap in (D(0), D("0.01"), D("-0.01"), D("0.010001"))]
    assert [check.broken for check in checks] == [False, False, False, True]
    assert checks[-1].sentence.endswith("0.010001 is unexplained")


def test_what_nothing_prices_is_wrong_whatever_it_is_worth():
    [check] = check_coins({"XYZ": D("0.001")}, [], {}, PRICES)
    assert (check.worth, check.broken) == (None, True)
    assert not Check(Invariant.SPOT_LOTS, "XYZ", D(1), D(1), D(0), D(0), D(0), None).broken


@given(st.sampled_from(PositionSide), quantities, quantities, amounts, amounts)
def test_sizes_are_lots_dust_and_what_others_hold(side, lots, dust, theirs, gap):
    held = [holding(lots, Category.LINEAR, side), holding(dust, Category.LINEAR, side, dust=True)]
    size = side.sign * (lots + dust) + theirs + gap
    [check] = check_sizes({"ETHUSDT": size}, held, {"ETHUSDT": theirs}, PRICES)
    assert check.unexplained == gap
    assert check.exchange == check.lots + check.dust + check.foreign + check.unexplained


@given(st.lists(st.tuples(amounts, st.booleans()), min_size=1, max_size=12), st.integers(0, 13))
def test_sizes_at_an_instant_are_those_of_the_log_whenever_it_is_read(story, at):
    size, sizes, rows = D(0), {0: D(0)}, []
    for number, (change, settlement) in enumerate(story, 1):
        traded = D(0) if settlement else change
        size += traded
        sizes[number] = size
        row = moved(number, "USDT", D(0), symbol="ETHUSDT", category=Category.LINEAR, traded=traded, size=size)
        rows.append(row)
    then = sizes[min(at, len(story))]
    assert sizes_at({"ETHUSDT": size}, rows, until(at)) == ({"ETHUSDT": then} if then else {})


def test_a_size_that_its_log_contradicts_is_no_size():
    row = moved(1, "USDT", D(0), symbol="ETHUSDT", category=Category.LINEAR, traded=D(2), size=D(2))
    with pytest.raises(LogBehind, match=r"ETHUSDT: the exchange held 3, by its log 2"):
        sizes_at({"ETHUSDT": D(3)}, [row], until(1))
    assert sizes_at({"ETHUSDT": D(3)}, [row], until(1), proved=False) == {"ETHUSDT": 3}
    spot = replace(row, category=Category.SPOT, size=D(0))
    assert sizes_at({}, [spot], until(1)) == {}


def test_a_symbol_is_mixed_from_both_holding_it_until_ours_is_over():
    ours, theirs = {"A"}, {"A", "B"}
    assert mixed_symbols([ours], [theirs], set(), set()) == {"A"}
    assert mixed_symbols([ours], [set()], {"A"}, {"A"}) == {"A"}
    assert mixed_symbols([set()], [theirs], {"A"}, set()) == set()


@given(st.sampled_from(PositionSide), quantities, st.integers(-750, 750).map(lambda n: D(n).scaleb(-5)))
def test_the_markets_rate_is_read_whichever_way_the_log_signs_it(side, qty, rate):
    """Longs pay a positive rate; some logs tell the rate as seen from the side that holds."""
    amount, size = -side.sign * qty * 100 * rate, side.sign * qty
    for told in (rate, side.sign * rate):
        assert market_rate(told, amount, size) == rate


@given(amounts, quantities, amounts)
def test_a_payment_is_shared_by_size(amount, held, theirs):
    size = held + theirs
    if not size:
        return
    paid = Settlement("1", "ETHUSDT", "USDT", amount, size, None, START)
    parts = part_of(paid, held), part_of(paid, theirs)
    assert abs(sum(parts) - amount) <= D("2E-18")
    assert part_of(replace(paid, size=held), held) == amount
    assert part_of(paid, D(0)) == 0
    assert part_of(replace(paid, size=D(0)), held) == amount, "a log without sizes: all of it is the position's"
