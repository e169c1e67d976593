"""The books of a position balance to the last digit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger import (
    Fill,
    Lot,
    LotMatch,
    UnvaluedFee,
    apply_fill,
    cash_flow,
    ledger_drift,
    match_lifo,
    open_cost,
    open_lot,
    open_qty,
    quantity_drift,
    realised,
    share,
    split_dust,
    sweep_dust,
    unrealised,
)
from domain.market import Category, PositionSide, Side

D = Decimal
START = datetime(2026, 3, 1, tzinfo=UTC)

quantities = st.integers(1, 10**12).map(lambda n: D(n).scaleb(-8))
prices = st.integers(1, 10**11).map(lambda n: D(n).scaleb(-6))
rates = st.integers(-100, 10_000).map(lambda n: D(n).scaleb(-6))
markets = st.sampled_from(
    [
        (Category.SPOT, PositionSide.LONG),
        (Category.LINEAR, PositionSide.LONG),
        (Category.LINEAR, PositionSide.SHORT),
    ]
)


def fill(
    number: int, side: Side, qty: Decimal, price: Decimal, fee: Decimal, category: Category = Category.LINEAR, **other
) -> Fill:
    in_base = category is Category.SPOT and side is Side.BUY
    return replace(
        Fill(
            exec_id=f"x{number}",
            category=category,
            symbol="BTCUSDT",
            side=side,
            qty=qty,
            price=price,
            fee=fee,
            fee_coin="BTC" if in_base else "USDT",
            base_coin="BTC",
            quote_coin="USDT",
            executed_at=START + timedelta(seconds=number),
        ),
        **other,
    )


@st.composite
def trades(draw: st.DrawFn) -> tuple[PositionSide, list[Fill]]:
    """Fills of one position: entries and exits in any order and size, closing too much included."""
    category, side = draw(markets)
    fills = []
    for number in range(draw(st.integers(1, 12))):
        way = side.entry_side if number == 0 or draw(st.booleans()) else side.exit_side
        qty, price, rate = draw(quantities), draw(prices), draw(rates)
        in_base = category is Category.SPOT and way is Side.BUY
        fee = qty * rate if in_base else qty * price * rate
        fills.append(fill(number, way, qty, price, fee, category))
    return side, fills


@dataclass
class Books:
    """Everything that came of booking fills one after another."""

    lots: tuple[Lot, ...]
    matches: list[LotMatch]
    unmatched: dict[str, Decimal]


def book(side: PositionSide, fills: list[Fill]) -> Books:
    books = Books((), [], {})
    for one in fills:
        applied = apply_fill(books.lots, one, side)
        books.lots = applied.book
        books.matches.extend(applied.matches)
        if applied.unmatched:
            books.unmatched[one.exec_id] = applied.unmatched
    return books


@given(trades())
def test_the_ledger_reconciles_with_the_cash_to_the_last_digit(case):
    side, fills = case
    books = book(side, fills)
    assert ledger_drift(fills, books.matches, books.lots, books.unmatched) == 0
    assert quantity_drift(fills, side, books.lots, books.unmatched) == 0


@given(trades(), st.data())
def test_a_match_booked_wrong_shows_as_drift(case, data):
    side, fills = case
    books = book(side, fills)
    if not books.matches:
        return
    index = data.draw(st.integers(0, len(books.matches) - 1))
    wrong = list(books.matches)
    wrong[index] = replace(wrong[index], net=wrong[index].net + D("1e-18"))
    assert ledger_drift(fills, wrong, books.lots, books.unmatched) == D("-1e-18")


@given(trades())
def test_fees_are_apportioned_without_remainder(case):
    side, fills = case
    books = book(side, fills)
    closed_lots = {match.open_exec_id for match in books.matches} - {lot.exec_id for lot in books.lots}
    for one in fills:
        opening = [match for match in books.matches if match.open_exec_id == one.exec_id]
        closing = [match for match in books.matches if match.close_exec_id == one.exec_id]
        if one.exec_id in closed_lots:
            assert sum(match.open_fee for match in opening) == open_lot(one).fee
        if closing and one.exec_id not in books.unmatched:
            assert sum(match.close_fee for match in closing) == one.fee
    for match in books.matches:
        assert match.net == match.gross - match.open_fee - match.close_fee


@given(trades())
def test_what_is_left_and_charged_of_a_lot_is_what_it_began_with(case):
    side, fills = case
    books = book(side, fills)
    for lot in books.lots:
        used = [match for match in books.matches if match.open_exec_id == lot.exec_id]
        assert sum((match.qty for match in used), lot.qty_left) == lot.qty
        assert sum((match.open_fee for match in used), lot.fee_left) == lot.fee
        assert 0 < lot.qty_left <= lot.qty


@given(markets, st.lists(st.tuples(quantities, prices, rates), min_size=1, max_size=6), st.data())
def test_exits_in_any_order_sum_to_the_same_total(market, exits, data):
    category, side = market
    total = sum((qty for qty, _, _ in exits), D(0))
    entry = fill(0, side.entry_side, total, D(100), D(0), category)
    closes = [
        fill(number, side.exit_side, qty, price, qty * price * rate, category)
        for number, (qty, price, rate) in enumerate(exits, 1)
    ]
    shuffled = data.draw(st.permutations(closes))
    one, other = book(side, [entry, *closes]), book(side, [entry, *shuffled])
    assert realised(one.matches) == realised(other.matches)
    assert one.lots == other.lots == ()


@given(st.lists(st.tuples(quantities, prices), min_size=1, max_size=6), quantities, prices)
def test_the_newest_lots_are_closed_first(entries, qty, price):
    lots = tuple(open_lot(fill(n, Side.BUY, q, p, D(0))) for n, (q, p) in enumerate(entries))
    left, matches, unmatched = match_lifo(lots, fill(99, Side.SELL, qty, price, D(0)))
    assert [match.open_exec_id for match in matches] == [f"x{n}" for n in reversed(range(len(lots)))][: len(matches)]
    assert [lot.exec_id for lot in left] == [lot.exec_id for lot in lots][: len(left)]
    assert sum(match.qty for match in matches) + unmatched == qty
    assert bool(unmatched) == (qty > open_qty(lots))


def test_a_spot_purchase_brings_what_is_left_after_its_fee():
    bought = fill(1, Side.BUY, D(1), D(100), D("0.001"), Category.SPOT)
    lot = open_lot(bought)
    assert (lot.qty, lot.qty_left, lot.price, lot.fee) == (D("0.999"), D("0.999"), D(100), D("0.1"))
    sold = fill(2, Side.SELL, D("0.999"), D(110), D("0.10989"), Category.SPOT)
    _, (match,), _ = match_lifo((lot,), sold)
    assert (match.gross, match.open_fee, match.close_fee) == (D("9.99"), D("0.1"), D("0.10989"))
    assert match.net == D("9.78011") == cash_flow([bought, sold])


def test_a_short_gains_when_the_price_falls():
    sold, bought = fill(1, Side.SELL, D(2), D(100), D("0.1")), fill(2, Side.BUY, D(2), D(90), D("0.09"))
    books = book(PositionSide.SHORT, [sold, bought])
    assert realised(books.matches) == D("19.81") == cash_flow([sold, bought])


def test_more_closed_than_was_open_is_told_and_takes_its_share_of_the_fee():
    bought, sold = fill(1, Side.BUY, D(1), D(100), D(0)), fill(2, Side.SELL, D(4), D(110), D("0.4"))
    applied = apply_fill(apply_fill((), bought, PositionSide.LONG).book, sold, PositionSide.LONG)
    assert applied.unmatched == 3
    assert applied.book == ()
    assert [match.close_fee for match in applied.matches] == [D("0.1")]


@given(st.lists(st.tuples(quantities, prices), max_size=5), prices)
def test_what_is_unrealised_is_realised_by_closing_at_that_price(entries, price):
    lots = tuple(open_lot(fill(n, Side.SELL, q, p, D("0.1"))) for n, (q, p) in enumerate(entries))
    gain = unrealised(lots, price)
    assert gain == open_cost(lots) - open_qty(lots) * price - D("0.1") * len(lots)
    if lots:
        _, matches, _ = match_lifo(lots, fill(99, Side.BUY, open_qty(lots), price, D(0)))
        assert realised(matches) == gain


@given(st.lists(quantities, min_size=1, max_size=8), st.integers(-(10**9), 10**9))
def test_shares_taken_one_after_another_add_up(qtys, fee):
    amount, left, whole = D(fee).scaleb(-6), D(fee).scaleb(-6), sum(qtys, D(0))
    parts = []
    for qty in qtys:
        parts.append(share(left, qty, whole))
        left, whole = left - parts[-1], whole - qty
    assert sum(parts) == amount
    assert left == 0
    assert all(part * amount >= 0 for part in parts)


def test_a_share_is_cut_off_never_more_than_its_part():
    assert share(D(2), D(1), D(3)) == D("0.666666666666666666")
    assert share(D(-2), D(1), D(3)) == D("-0.666666666666666666")
    assert share(D(2), D(3), D(3)) == 2


def test_a_fee_in_a_third_coin_is_not_guessed():
    with pytest.raises(UnvaluedFee, match="x1 is in MNT"):
        open_lot(fill(1, Side.BUY, D(1), D(100), D(1), fee_coin="MNT"))
    with pytest.raises(UnvaluedFee, match="pays its fee in BTC"):
        match_lifo((), fill(1, Side.SELL, D(1), D(100), D(1), fee_coin="BTC"))
    with pytest.raises(UnvaluedFee, match="x1 is in MNT"):
        cash_flow([fill(1, Side.BUY, D(1), D(100), D(1), fee_coin="MNT")])


def test_lots_of_another_market_or_direction_are_not_closed():
    long = open_lot(fill(1, Side.BUY, D(1), D(100), D(0)))
    with pytest.raises(ValueError, match="another market or direction"):
        match_lifo((long,), fill(2, Side.BUY, D(1), D(100), D(0)))
    with pytest.raises(ValueError, match="another market or direction"):
        match_lifo((long,), fill(2, Side.SELL, D(1), D(100), D(0), symbol="ETHUSDT"))


@pytest.mark.parametrize(("field", "value"), [("qty", D(0)), ("qty", D("NaN")), ("price", D(-1)), ("fee", D("NaN"))])
def test_an_impossible_execution_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} .* of execution x1"):
        replace(fill(1, Side.BUY, D(1), D(1), D(0)), **{field: value})


def test_a_fee_that_takes_everything_opens_no_lot():
    with pytest.raises(ValueError, match="leaves nothing"):
        open_lot(fill(1, Side.BUY, D(1), D(100), D(1), Category.SPOT))


@given(st.integers(0, 10**15).map(lambda n: D(n).scaleb(-10)), st.sampled_from([D("0.000001"), D("0.01"), D(1), D(5)]))
def test_dust_is_less_than_a_step_and_nothing_is_lost(qty, step):
    sellable, dust = split_dust(qty, step)
    assert sellable + dust == qty
    assert sellable % step == 0
    assert 0 <= dust < step


def test_a_step_of_nothing_is_refused():
    with pytest.raises(ValueError, match="qty_step"):
        split_dust(D(1), D(0))


@given(trades(), st.sampled_from([D("0.00000001"), D("0.01"), D(1000)]))
def test_dust_stays_in_the_books(case, step):
    side, fills = case
    books = book(side, fills)
    lots, dust = sweep_dust(books.lots, step)
    assert (*lots, *dust) == books.lots
    assert bool(dust) == (0 < open_qty(books.lots) < step)
    assert ledger_drift(fills, books.matches, (*lots, *dust), books.unmatched) == 0
