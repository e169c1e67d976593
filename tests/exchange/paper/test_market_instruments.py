"""Instruments: Bybit's filters where they are known, sane ones elsewhere."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Category
from exchange.paper.instruments import linear_row, make_instrument, split_symbol, spot_row, typical_price

D = Decimal


def test_bitcoin_has_bybits_filters() -> None:
    spot = make_instrument(Category.SPOT, "BTCUSDT", D(50_000))
    assert (spot.tick_size, spot.qty_step, spot.min_order_amount) == (D("0.01"), D("0.000001"), D(5))
    linear = make_instrument(Category.LINEAR, "BTCUSDT", D(50_000))
    assert (linear.tick_size, linear.qty_step, linear.min_order_amount) == (D("0.10"), D("0.001"), D(5))


def test_known_filters_do_not_depend_on_the_reference_price() -> None:
    assert make_instrument(Category.LINEAR, "ETHUSDT", D(10)) == make_instrument(Category.LINEAR, "ETHUSDT", D(10_000))


@given(st.sampled_from(list(Category)), st.decimals(D("0.000001"), D(10**6), places=6))
def test_derived_filters_let_small_orders_through(category: Category, price: Decimal) -> None:
    instrument = make_instrument(category, "NEWUSDT", price)
    assert instrument.tick_size <= price / 1000
    assert price / 10**6 <= instrument.tick_size
    assert instrument.min_order_qty * price <= 1
    assert instrument.max_market_qty % instrument.qty_step == 0
    qty = instrument.floor_qty(D(100) / price)
    instrument.check_qty(qty, price)
    assert instrument.max_market_qty * price >= 1_000_000


def test_rows_spell_numbers_without_exponents() -> None:
    cheap = make_instrument(Category.SPOT, "PENNYUSDT", D("0.00001234"))
    row = spot_row(cheap)
    assert row["priceFilter"]["tickSize"] == "0.000000001"
    assert all("E" not in value for value in row["lotSizeFilter"].values())
    linear = linear_row(make_instrument(Category.LINEAR, "BTCUSDT", D(50_000)))
    assert linear["priceFilter"]["tickSize"] == "0.10"
    assert linear["lotSizeFilter"]["minNotionalValue"] == "5"
    assert linear["priceScale"] == "2"


def test_a_symbol_is_split_at_its_quote_coin() -> None:
    assert split_symbol("1000BONKUSDT") == ("1000BONK", "USDT")
    assert typical_price("BTCUSDT") == 60_000
    assert typical_price("NEWUSDT") is None
    with pytest.raises(ValueError, match="quote coins"):
        split_symbol("USDT")
