"""Order quantities and resting stops within the instrument's filters."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.exit_policy import disaster_stop
from domain.market import Category, FilterViolation, Instrument, PositionSide
from domain.sizing import disaster_trigger, entry_qty, exit_qty, stop_qty

D = Decimal
BTC = Instrument(
    category=Category.SPOT,
    symbol="BTCUSDT",
    base_coin="BTC",
    quote_coin="USDT",
    tick_size=D("0.1"),
    qty_step=D("0.0001"),
    min_order_qty=D("0.0002"),
    min_order_amount=D(5),
    max_market_qty=D(3),
)

prices = st.integers(10_000, 2_000_000).map(lambda n: D(n) / 10)


@given(st.integers(1, 300_000).map(D), prices)
def test_an_entry_spends_as_much_as_the_step_allows_or_names_the_rule(usd, price):
    affordable = BTC.floor_qty(usd / price)
    if BTC.min_order_qty <= affordable <= BTC.max_market_qty and affordable * price >= BTC.min_order_amount:
        assert entry_qty(BTC, usd, price) == affordable
        assert affordable * price <= usd < (affordable + BTC.qty_step) * price
    else:
        with pytest.raises(FilterViolation) as caught:
            entry_qty(BTC, usd, price)
        assert caught.value.field == "usd"


@pytest.mark.parametrize(
    ("usd", "price", "field", "rule"),
    [
        (D(0), D(100), "usd", "must be above 0"),
        (D("NaN"), D(100), "usd", "must be above 0"),
        (D(10), D(0), "price", "must be above 0"),
        (D(10), D(100_000), "usd", "under the minimum order quantity 0.0002 of BTCUSDT"),
        (D("0.9"), D(1000), "usd", "under the minimum order amount 5 of BTCUSDT"),
        (D(400_000), D(100_000), "usd", "over the maximum market quantity 3 of BTCUSDT"),
    ],
)
def test_an_amount_that_can_not_be_ordered_names_field_and_rule(usd, price, field, rule):
    with pytest.raises(FilterViolation, match=rule) as caught:
        entry_qty(BTC, usd, price)
    assert caught.value.field == field


def test_nothing_is_ordered_of_an_instrument_closed_to_trading():
    with pytest.raises(FilterViolation, match="not open for trading") as caught:
        entry_qty(BTC.model_copy(update={"tradable": False}), D(100), D(1000))
    assert caught.value.field == "symbol"


@given(st.integers(0, 10**9).map(lambda n: D(n).scaleb(-8)))
@example(D(9))
def test_an_exit_closes_what_one_order_can_and_tells_the_rest(held):
    sellable, rest = exit_qty(BTC, held)
    assert sellable + rest == held
    if sellable:
        BTC.check_qty(sellable)
    if held <= BTC.max_market_qty and sellable:
        assert rest < BTC.qty_step
    if not sellable:
        assert held < BTC.min_order_qty


def test_a_negative_holding_is_refused():
    with pytest.raises(ValueError, match="held"):
        exit_qty(BTC, D(-1))


@given(st.sampled_from(PositionSide), prices, st.integers(1, 500).map(lambda n: D(n) / 100))
def test_a_resting_stop_is_on_the_tick_grid_and_never_tighter_than_its_buffer(side, stop, buffer):
    trigger = disaster_trigger(BTC, side, stop, buffer)
    beyond = side.sign * (disaster_stop(side, stop, buffer) - trigger)
    assert trigger % BTC.tick_size == 0
    assert 0 <= beyond < BTC.tick_size


def test_a_resting_stop_below_one_tick_is_refused():
    with pytest.raises(FilterViolation, match="stop_price"):
        disaster_trigger(BTC, PositionSide.LONG, D("0.1"), D(50))


@given(st.integers(0, 60_000).map(lambda n: D(n) / 100_000), prices)
def test_a_stop_sells_at_most_what_is_held_and_never_an_amount_the_exchange_refuses(held: Decimal, trigger: Decimal):
    qty = stop_qty(BTC, held, trigger)
    assert qty <= held
    if qty:
        BTC.check_qty(qty, trigger)
        assert held - qty < BTC.qty_step or qty == BTC.max_market_qty
    else:
        assert held < BTC.min_order_qty or exit_qty(BTC, held)[0] * trigger < BTC.min_order_amount
