"""Amending open orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import AmendOrder, CancelOrder
from exchange.paper.core.events import PositionChanged
from exchange.paper.core.locks import locked
from exchange.paper.core.model import Exit, OrderFilter, OrderStatus
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START
from tests.exchange.paper.test_account_core import fills, kinds, refused, statuses

D = Decimal
SPOT, LINEAR = Category.SPOT, Category.LINEAR


@pytest.fixture
def account() -> Account:
    return Account()


def test_quantity_and_price_of_a_resting_order_change_in_place(account: Account) -> None:
    order = account.limit(SPOT, Side.BUY, "0.1", "49000", link_id="me")
    amended = account.amend(order, qty=D("0.2"), price=D("48000"))
    assert (amended.order_id, amended.qty, amended.price) == (order.order_id, D("0.2"), D(48_000))
    assert kinds(account.events) == ["OrderChanged", "WalletChanged"]
    assert locked(account.state, "USDT") == D("9600.0")
    assert account.tick(SPOT, "48500") == []
    account.tick(SPOT, "47999")
    assert [(f.price, f.qty) for f in fills(account.events)] == [(D(48_000), D("0.2"))]


def test_an_order_is_found_by_its_link_id_and_only_while_it_is_open(account: Account) -> None:
    for category, code in ((SPOT, 170213), (LINEAR, 110001)):
        account.limit(category, Side.BUY, "0.1", "49000", link_id="me")

        def by_link(link: str, at: Category = category) -> Any:
            return account.do(AmendOrder(START, at, "BTCUSDT", link_id=link, qty=D("0.3")))

        by_link("me")
        refused(account, code, lambda find=by_link: find("you"))
        account.do(CancelOrder(START, category, "BTCUSDT", link_id="me"))
        refused(account, code, lambda find=by_link: find("me"))
        refused(account, 10001, lambda find=by_link: find(""))


def test_an_amendment_that_changes_nothing_is_refused(account: Account) -> None:
    order = account.limit(LINEAR, Side.BUY, "0.1", "49000")
    told = refused(account, 10001, lambda: account.amend(order, qty=D("0.1"), price=D(49_000)))
    assert "remains unchanged" in told.message
    refused(account, 10001, lambda: account.amend(order))


def test_a_price_amended_across_the_book_takes(account: Account) -> None:
    order = account.limit(LINEAR, Side.BUY, "0.1", "49000")
    amended = account.amend(order, price=D(50_005))
    (fill,) = fills(account.events)
    assert (fill.price, fill.is_maker, amended.status) == (D("50005"), False, OrderStatus.FILLED)
    assert not account.state.orders
    post_only = account.limit(LINEAR, Side.BUY, "0.1", "49000", time_in_force="PostOnly")
    assert account.amend(post_only, price=D(50_005)).reject_reason == "EC_PostOnlyWillTakeLiquidity"
    assert not account.state.orders


def test_the_new_quantity_must_be_above_what_is_filled(account: Account) -> None:
    for category, code in ((SPOT, 10001), (LINEAR, 110064)):
        order = account.limit(category, Side.BUY, "0.1", "49000")
        account.tick(category, "48900", "0.04")
        for qty in ("0.04", "0.03"):
            refused(account, code, lambda o=order, q=qty: account.amend(o, qty=D(q)))
        amended = account.amend(order, qty=D("0.05"))
        assert (amended.left, amended.status) == (D("0.01"), OrderStatus.PARTIALLY_FILLED)


def test_what_can_not_be_paid_is_refused_and_the_order_stays(account: Account) -> None:
    for category, code in ((SPOT, 170131), (LINEAR, 110007)):
        order = account.limit(category, Side.BUY, "0.5", "49000")
        refused(account, code, lambda o=order: account.amend(o, qty=D(3)))
        account.amend(order, qty=D("0.9"))
        account.do(CancelOrder(START, category, "BTCUSDT", order_id=order.order_id))


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"price": D("49000.001")}, 170134), ({"price": D(51_000)}, 170193), ({"qty": D("0.0000001")}, 170136)],
)
def test_an_amended_order_passes_the_filters_of_a_new_one(account: Account, changes: Any, code: int) -> None:
    order = account.limit(SPOT, Side.BUY, "0.1", "49000")
    refused(account, code, lambda: account.amend(order, **changes))


def test_a_waiting_spot_stop_changes_its_quantity_and_trigger(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.02")
    stop = account.place(SPOT, Side.SELL, "0.01", trigger_price=D(49_000), order_filter=OrderFilter.STOP_ORDER)
    account.amend(stop, qty=D("0.015"), trigger_price=D("49500"))
    assert kinds(account.events) == ["OrderChanged"]
    assert account.tick(SPOT, "49500.01") == []
    account.tick(SPOT, "49500")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED]
    assert [f.qty for f in fills(account.events)] == [D("0.015")]


def test_a_spot_stop_moved_beyond_the_price_is_still_a_stop_and_fires_with_the_next_trade(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.02")
    stop = account.place(SPOT, Side.SELL, "0.01", trigger_price=D(49_000), order_filter=OrderFilter.STOP_ORDER)
    account.amend(stop, trigger_price=D(50_100))
    account.tick(SPOT, "50050")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED]


def test_a_linear_trigger_can_not_be_amended_to_the_wrong_side(account: Account) -> None:
    rising = account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=1)
    refused(account, 110092, lambda: account.amend(rising, trigger_price=D(50_000)))
    account.amend(rising, trigger_price=D(50_500), trigger_by="MarkPrice")
    account.market.marks["BTCUSDT"] = D(50_400)
    assert account.tick(LINEAR, "50600") == []
    account.market.marks["BTCUSDT"] = D(50_500)
    account.tick(LINEAR, "50450")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED]


def test_a_resting_order_has_no_trigger_and_a_market_order_no_price_to_amend(account: Account) -> None:
    resting = account.limit(LINEAR, Side.BUY, "0.01", "49000")
    refused(account, 10001, lambda: account.amend(resting, trigger_price=D(49_500)))
    waiting = account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=1)
    refused(account, 10001, lambda: account.amend(waiting, price=D(50_000)))


def test_attached_exits_are_set_moved_and_taken_away_before_the_first_fill(account: Account) -> None:
    order = account.limit(LINEAR, Side.BUY, "0.1", "49000", stop_loss=Exit(D(48_000)))
    amended = account.amend(order, take_profit_price=D(52_000), stop_loss_price=D(47_000), tp_trigger_by="MarkPrice")
    assert (amended.take_profit, amended.stop_loss) == (Exit(D(52_000), "MarkPrice"), Exit(D(47_000)))
    refused(account, 10001, lambda: account.amend(order, stop_loss_price=D(49_500)))
    assert account.amend(order, take_profit_price=D(0)).take_profit is None
    account.tick(LINEAR, "48900", "0.05")
    refused(account, 110059, lambda: account.amend(order, stop_loss_price=D(0)))
    assert account.state.positions["BTCUSDT"].stop_loss == Exit(D(47_000))


def test_amending_the_stop_order_of_a_position_moves_the_positions_stop(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.1", stop_loss=Exit(D(48_000)))
    (stop,) = account.state.orders.values()
    account.amend(stop, trigger_price=D(49_000))
    (moved,) = [e.position for e in account.events if isinstance(e, PositionChanged)]
    assert moved.stop_loss == Exit(D(49_000))
    assert account.state.orders[stop.order_id].trigger_price == D(49_000)
    refused(account, 10001, lambda: account.amend(stop, qty=D("0.05")))
    refused(account, 110093, lambda: account.amend(stop, trigger_price=D(50_500)))


def test_an_order_can_be_made_smaller_when_the_money_is_gone(account: Account) -> None:
    order = account.limit(LINEAR, Side.BUY, "1.5", "49000")
    account.state.balances["USDT"] = D(1_000)
    refused(account, 110007, lambda: account.amend(order, qty=D("1.6")))
    assert account.amend(order, qty=D("1.4")).qty == D("1.4")
