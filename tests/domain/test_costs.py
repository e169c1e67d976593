"""What a trade costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.costs import BYBIT_BASE_FEES, FeeRates, book_levels, fee_of, fill_price, slippage_bps, walk_book
from domain.market import Category, Side

D = Decimal

amounts = st.integers(1, 10**7).map(lambda n: D(n) / 1000)
spreads = st.integers(0, 500).map(lambda n: D(n) / 10)
depths = st.integers(1, 10**6).map(lambda n: D(n) / 100)
books = st.tuples(st.sampled_from(Side), amounts, amounts, spreads, depths)


def fits(side: Side, qty: Decimal, mid: Decimal, spread: Decimal, depth: Decimal) -> bool:
    return qty <= depth * 511


@given(books)
def test_walking_the_book_fills_the_order_at_ever_worse_prices(book):
    side, qty, _, _, depth = book
    fills = walk_book(*book)
    prices = [price for price, _ in fills]
    assert prices == sorted(prices, reverse=side is Side.SELL)
    assert len(set(prices)) == len(prices)
    assert all(0 < filled <= depth * 2**level for level, (_, filled) in enumerate(fills))
    total = sum(filled for _, filled in fills)
    assert total == qty if fits(*book) else total <= qty


@given(books.filter(lambda book: fits(*book)))
def test_the_average_fill_price_is_that_of_the_walk(book):
    _, qty, *_ = book
    fills = walk_book(*book)
    assert fill_price(*book) == pytest.approx(sum(p * q for p, q in fills) / qty, rel=D("1e-20"))


@given(books.filter(lambda book: fits(*book)))
def test_a_sale_costs_what_a_purchase_costs(book):
    _, qty, mid, spread, depth = book
    bought, sold = (fill_price(side, qty, mid, spread, depth) for side in (Side.BUY, Side.SELL))
    assert bought - mid == pytest.approx(mid - sold, rel=D("1e-18"), abs=D("1e-18"))
    assert slippage_bps(Side.BUY, mid, bought) >= spread * D("0.999999")


@given(books, st.integers(2, 5))
def test_slippage_grows_with_size(book, factor):
    side, qty, mid, spread, depth = book
    qty = min(qty, depth * 510 / factor)
    small = slippage_bps(side, mid, fill_price(side, qty, mid, spread, depth))
    large = slippage_bps(side, mid, fill_price(side, qty * factor, mid, spread, depth))
    assert large >= small - D("1e-15")
    if qty > depth:
        assert large > small


@given(books.filter(lambda book: fits(*book)), st.integers(1, 999))
def test_an_order_in_two_parts_pays_what_it_would_pay_whole(book, part):
    side, qty, mid, spread, depth = book
    first = qty * part / 1000
    parts = walk_book(side, first, mid, spread, depth)
    parts += walk_book(side, qty - first, mid, spread, depth, taken=first)
    cost = sum(p * q for p, q in parts)
    assert sum(q for _, q in parts) == qty
    assert cost == pytest.approx(sum(p * q for p, q in walk_book(*book)), rel=D("1e-20"))


@given(books, amounts)
def test_what_was_taken_is_missing_from_the_front_of_the_book(book, taken):
    side, _, mid, spread, depth = book
    whole = list(book_levels(side, mid, spread, depth))
    left = list(book_levels(side, mid, spread, depth, taken=taken))
    assert left == [] or left[1:] == whole[len(whole) - len(left) + 1 :]
    assert sum(q for _, q in left) == max(sum(q for _, q in whole) - taken, 0)


@given(books, st.sampled_from([D("0.01"), D("0.5"), D(1)]), st.sampled_from([D("0.001"), D("0.1")]))
def test_prices_on_the_tick_grid_are_never_better_than_off_it(book, tick, step):
    side, _, mid, _, _ = book
    assume(mid >= 2 * tick)  # prices end at one tick
    for price, filled in walk_book(*book, tick_size=tick):
        assert price % tick == 0
        assert filled > 0
    stepped = walk_book(*book, tick_size=tick, qty_step=step)
    assert all(filled % step == 0 for _, filled in stepped[:-1])
    ideal = walk_book(*book)
    if stepped and ideal:
        assert slippage_bps(side, mid, stepped[0][0]) >= slippage_bps(side, mid, ideal[0][0])


def test_a_book_is_walked_level_by_level():
    fills = walk_book(Side.BUY, D("3.5"), D(10_000), D(1), D(1))
    assert fills == [(D(10_001), D(1)), (D(10_002), D(2)), (D(10_004), D("0.5"))]
    assert fill_price(Side.BUY, D("2"), D(10_000), D(1), D(1)) == D("10001.5")
    assert walk_book(Side.SELL, D(1), D(10_000), 0.5, 2.0) == [(D("9999.5"), D(1))]


def test_an_order_larger_than_the_book_is_filled_in_part():
    assert sum(qty for _, qty in walk_book(Side.BUY, D(1000), D(10), D(1), D(1))) == 511


@pytest.mark.parametrize(
    ("qty", "mid", "spread", "depth", "field"),
    [(0, 1, 1, 1, "qty"), (1, 0, 1, 1, "mid"), (1, 1, -1, 1, "half_spread_bps"), (1, 1, 1, 0, "qty_per_bp")],
)
def test_a_book_that_makes_no_sense_is_refused(qty, mid, spread, depth, field):
    for price_of in (walk_book, fill_price):
        with pytest.raises(ValueError, match=field):
            price_of(Side.BUY, D(qty), D(mid), D(spread), D(depth))


def test_a_sale_that_would_walk_down_to_nothing_has_no_price():
    with pytest.raises(ValueError, match="more than a book"):
        fill_price(Side.SELL, D(512), D(10), D(0), D(1))


@given(st.sampled_from(Category), st.sampled_from(Side), amounts, amounts)
def test_a_fee_is_worth_the_same_in_either_coin(category, side, qty, price):
    rate = BYBIT_BASE_FEES[category].rate(is_maker=False)
    fee = fee_of(category, side, qty, price, rate)
    assert fee.in_base == (category is Category.SPOT and side is Side.BUY)
    assert (fee.amount * price if fee.in_base else fee.amount) == qty * price * rate


def test_a_negative_maker_rate_is_a_rebate_but_takers_always_pay():
    assert FeeRates(maker=D("-0.0001"), taker=D("0.0005")).rate(is_maker=True) == D("-0.0001")
    with pytest.raises(ValidationError, match="taker"):
        FeeRates(maker=D(0), taker=D("-0.0001"))


def test_what_trades_at_one_tick_can_still_be_sold():
    fills = walk_book(Side.SELL, D(2), D("0.01"), D(5), D(1), tick_size=D("0.01"))
    assert {price for price, _ in fills} == {D("0.01")}
