"""Trailing stops: they follow the last price at a distance, one way only, from where they were told to begin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.core.commands import SetTradingStop
from exchange.paper.core.events import Event, OrderChanged
from exchange.paper.core.model import Order, OrderStatus
from exchange.paper.core.refusal import Refusal
from tests.exchange.paper.account_case import Account

D = Decimal
LINEAR = Category.LINEAR
CENTRE = 50_000


def trailing(side: Side, distance: str, active: str | None = None) -> Account:
    account = Account()
    account.place(LINEAR, side, "0.1")
    trail(account, distance, active)
    return account


def trail(account: Account, distance: str | None, active: str | None = None) -> list[Event]:
    values: dict[str, Any] = {
        name: None if value is None else D(value)
        for name, value in (("trailing_stop", distance), ("active_price", active))
    }
    return account.do(SetTradingStop(account.now, "BTCUSDT", **values))


def the_order(account: Account) -> Order:
    (order,) = account.state.orders.values()
    return order


def test_a_trailing_stop_follows_a_rising_price_and_closes_when_it_turns() -> None:
    account = trailing(Side.BUY, "500")
    order = the_order(account)
    assert (order.stop_order_type, order.create_type) == ("TrailingStop", "CreateByTrailingStop")
    assert (order.trigger_price, order.trigger_rises, order.side) == (D(49_500), False, Side.SELL)
    moved = account.tick(LINEAR, "50300")
    assert [e.order.trigger_price for e in moved if isinstance(e, OrderChanged)] == [D(49_800)]
    assert account.tick(LINEAR, "50100") == []  # neither new high nor reached
    account.tick(LINEAR, "49800")
    assert account.state.positions["BTCUSDT"].size == 0
    assert not account.state.orders


def test_a_trailing_stop_waits_for_its_active_price() -> None:
    account = trailing(Side.SELL, "500", "49000")
    assert the_order(account).trigger_price is None
    account.tick(LINEAR, "49100")
    assert account.tick(LINEAR, "52000") == []
    account.tick(LINEAR, "48900")
    assert the_order(account).trigger_price == D(49_400)
    account.tick(LINEAR, "49400")
    assert account.state.positions["BTCUSDT"].size == 0


def test_other_terms_begin_again_at_the_last_price_and_the_same_are_refused() -> None:
    account = trailing(Side.BUY, "500")
    account.tick(LINEAR, "50400")
    order_id = the_order(account).order_id
    trail(account, "300")
    assert (the_order(account).order_id, the_order(account).trigger_price) == (order_id, D(50_100))
    for same in ("300", None):
        with pytest.raises(Refusal) as caught:
            trail(account, same, "0" if same is None else None)
        assert caught.value.code == 34040
    trail(account, "0")
    assert not account.state.orders
    assert account.state.positions["BTCUSDT"].trailing_stop is None


def test_more_of_a_position_leaves_the_trailing_stop_where_it_is() -> None:
    account = trailing(Side.BUY, "500")
    account.tick(LINEAR, "50400")
    account.tick(LINEAR, "50000")
    account.place(LINEAR, Side.BUY, "0.2")
    order = the_order(account)
    assert (order.qty, order.trigger_price) == (D("0.3"), D(49_900))


@pytest.mark.parametrize(
    ("distance", "active"), [("500.05", None), ("50000", None), ("500", "50000"), ("500", "49000"), (None, "51000")]
)
def test_a_trailing_stop_that_makes_no_sense_is_refused(distance: str | None, active: str | None) -> None:
    account = Account()
    account.place(LINEAR, Side.BUY, "0.1")
    before = account.state.copy()
    with pytest.raises(Refusal) as caught:
        trail(account, distance, active)
    assert caught.value.code == 10001
    assert account.state == before


steps = st.lists(st.integers(-400, 400), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(1, 900), st.none() | st.integers(1, 900))
def test_long_and_short_are_mirror_images(walk: list[int], distance: int, active: int | None) -> None:
    long = trailing(Side.BUY, str(distance), None if active is None else str(CENTRE + active))
    short = trailing(Side.SELL, str(distance), None if active is None else str(CENTRE - active))
    offset, best = 0, 0 if active is None else None
    for step in walk:
        offset += step
        # what a trailing stop is, said independently: the best offset since it began, less the distance
        fires = best is not None and offset <= best - distance
        if best is not None or offset >= (active or 0):
            best = offset if best is None else max(best, offset)
        long.tick(LINEAR, str(CENTRE + offset))
        short.tick(LINEAR, str(CENTRE - offset))
        held = long.state.positions["BTCUSDT"].size
        assert held == short.state.positions["BTCUSDT"].size
        assert bool(held) is not fires
        if not held:
            assert not long.state.orders
            assert not short.state.orders
            return
        up, down = the_order(long).trigger_price, the_order(short).trigger_price
        assert (up is None) == (down is None) == (best is None)
        if up is not None and down is not None and best is not None:
            assert up - CENTRE == CENTRE - down == best - distance
        assert the_order(long).status is the_order(short).status is OrderStatus.UNTRIGGERED
