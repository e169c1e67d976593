"""Conditional orders of every kind, and take profits and stop losses that come with an order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import CancelOrder
from exchange.paper.core.locks import locked
from exchange.paper.core.model import Exit, Order, OrderFilter, OrderStatus
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.test_account_core import fills, kinds, refused, statuses

D = Decimal
SPOT, LINEAR = Category.SPOT, Category.LINEAR
TPSL = OrderFilter.TPSL_ORDER


@pytest.fixture
def account() -> Account:
    return Account()


def waiting(account: Account) -> list[Order]:
    """Orders that wait for their trigger, oldest first."""
    found = [o for o in account.state.orders.values() if o.status is OrderStatus.UNTRIGGERED]
    return sorted(found, key=lambda o: o.sequence)


# conditional orders


def test_a_tpsl_order_locks_its_coins_while_it_waits_and_a_stop_order_does_not(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    account.place(SPOT, Side.SELL, "0.05", order_filter=OrderFilter.STOP_ORDER, trigger_price=D(49_000))
    assert kinds(account.events) == ["OrderChanged"]
    assert locked(account.state, "BTC") == 0
    order = account.place(SPOT, Side.SELL, "0.06", order_filter=TPSL, trigger_price=D(49_000))
    assert kinds(account.events) == ["OrderChanged", "WalletChanged"]
    assert (order.stop_order_type, order.trigger_rises, locked(account.state, "BTC")) == ("tpslOrder", False, D("0.06"))
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "0.05"))
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "0.05", order_filter=TPSL, trigger_price=D(1000)))
    account.tick(SPOT, "49000")
    assert statuses(account.events) == [
        OrderStatus.TRIGGERED,
        OrderStatus.REJECTED,  # the stop order's coins are the other's
        OrderStatus.TRIGGERED,
        OrderStatus.FILLED,
    ]
    assert locked(account.state, "BTC") == 0


def test_a_tpsl_buy_locks_quote_coin(account: Account) -> None:
    account.place(SPOT, Side.BUY, "1000", order_filter=TPSL, trigger_price=D(51_000), market_unit="quoteCoin")
    assert locked(account.state, "USDT") == D(1000)
    account.limit(SPOT, Side.BUY, "0.1", "50900", order_filter=TPSL, trigger_price=D(51_000))
    assert locked(account.state, "USDT") == D(1000) + D(5090)
    refused(
        account,
        170131,
        lambda: account.place(
            SPOT, Side.BUY, "99000", order_filter=TPSL, trigger_price=D(51_000), market_unit="quoteCoin"
        ),
    )


def test_a_triggered_limit_order_rests_at_its_price_and_can_be_cancelled_as_a_plain_one(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    order = account.limit(
        SPOT, Side.SELL, "0.05", "49500", order_filter=OrderFilter.STOP_ORDER, trigger_price=D(49_000), link_id="s"
    )
    assert (order.status, locked(account.state, "BTC")) == (OrderStatus.UNTRIGGERED, 0)
    account.tick(SPOT, "48990")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.NEW]
    assert locked(account.state, "BTC") == D("0.05")
    assert account.tick(SPOT, "48980") == []  # a trigger fires once
    account.do(CancelOrder(account.now, SPOT, "BTCUSDT", link_id="s", order_filter=OrderFilter.ORDER))
    assert statuses(account.events) == [OrderStatus.CANCELLED]


def test_a_trigger_by_mark_or_index_price_leaves_the_last_price_alone(account: Account) -> None:
    account.market.marks["BTCUSDT"] = D(50_000)
    account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=1, trigger_by="MarkPrice")
    account.place(LINEAR, Side.BUY, "0.02", trigger_price=D(52_000), trigger_direction=1, trigger_by="IndexPrice")
    assert account.tick(LINEAR, "53000") == []
    account.market.marks["BTCUSDT"] = D(51_000)
    account.tick(LINEAR, "53000")
    assert [f.qty for f in fills(account.events)] == [D("0.01")]
    account.tick(SPOT, "52000")  # the index is the spot price
    assert [f.qty for f in fills(account.events)] == [D("0.02")]
    refused(
        account,
        10001,
        lambda: account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(1), trigger_direction=2, trigger_by="Moon"),
    )


def test_the_direction_of_a_trigger_is_judged_by_the_price_it_watches(account: Account) -> None:
    account.market.marks["BTCUSDT"] = D(48_000)
    rising: dict[str, Any] = {"trigger_price": D(49_000), "trigger_direction": 1}
    refused(account, 110092, lambda: account.place(LINEAR, Side.BUY, "0.01", **rising))
    account.place(LINEAR, Side.BUY, "0.01", **rising, trigger_by="MarkPrice")


def test_close_on_trigger_never_opens(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01")
    account.place(LINEAR, Side.SELL, "0.05", trigger_price=D(49_000), trigger_direction=2, close_on_trigger=True)
    account.tick(LINEAR, "49000")
    assert account.state.positions["BTCUSDT"].size == 0
    account.place(LINEAR, Side.SELL, "0.05", trigger_price=D(48_000), trigger_direction=2, close_on_trigger=True)
    account.tick(LINEAR, "48000")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.CANCELLED]


def test_a_quantity_of_zero_closes_the_whole_position(account: Account) -> None:
    whole: dict[str, Any] = {"reduce_only": True, "close_on_trigger": True}
    refused(account, 10001, lambda: account.place(LINEAR, Side.SELL, "0", **whole))  # there is none
    account.place(LINEAR, Side.BUY, "0.037")
    account.place(LINEAR, Side.SELL, "0", **whole)
    assert account.state.positions["BTCUSDT"].size == 0
    refused(account, 10001, lambda: account.place(LINEAR, Side.SELL, "0"))


# spot orders with exits


def entered(account: Account, **exits: Any) -> Order:
    order = account.limit(SPOT, Side.BUY, "0.1", "49900", **exits)
    account.tick(SPOT, "49890")
    return order


def test_a_filled_spot_order_leaves_a_pair_that_locks_its_coins_once(account: Account) -> None:
    order = entered(account, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000), limit_price=D(48_900)))
    profit, stop = waiting(account)
    assert {o.qty for o in (profit, stop)} == {D("0.0999")}  # the fee was taken in the coin
    assert (profit.parent_id, profit.pair_id, stop.pair_id) == (order.order_id, stop.order_id, profit.order_id)
    assert (profit.trigger_rises, stop.trigger_rises) == (True, False)
    assert (profit.order_type, stop.order_type, stop.price) == ("Market", "Limit", D(48_900))
    assert locked(account.state, "BTC") == D("0.0999")
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "0.01"))


@pytest.mark.parametrize(("price", "create_type"), [("52000", "CreateByTakeProfit"), ("49000", "CreateByStopLoss")])
def test_when_one_of_the_pair_triggers_the_other_ends(account: Account, price: str, create_type: str) -> None:
    entered(account, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    account.tick(SPOT, price)
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.DEACTIVATED, OrderStatus.FILLED]
    (fill,) = fills(account.events)
    assert (fill.create_type, fill.qty, fill.side) == (create_type, D("0.0999"), Side.SELL)
    assert not account.state.orders
    assert locked(account.state, "BTC") == 0


def test_partial_fills_grow_the_pair(account: Account) -> None:
    account.limit(SPOT, Side.BUY, "0.1", "49900", take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    account.tick(SPOT, "49890", "0.04")
    assert [o.qty for o in waiting(account)] == [D("0.03996")] * 2
    account.tick(SPOT, "49890", "5")
    assert [o.qty for o in waiting(account)] == [D("0.0999")] * 2


def test_the_pair_grows_by_no_more_than_is_left_of_the_coin(account: Account) -> None:
    account.limit(SPOT, Side.BUY, "0.1", "49900", stop_loss=Exit(D(49_000)))
    account.tick(SPOT, "49890", "0.04")
    (stop,) = waiting(account)
    account.do(CancelOrder(account.now, SPOT, "BTCUSDT", order_id=stop.order_id, order_filter=TPSL))
    account.place(SPOT, Side.SELL, "0.039")
    account.tick(SPOT, "49890", "5")
    assert [o.qty for o in waiting(account)] == [D("0.05994")]


def test_a_spot_sale_is_protected_by_purchases(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    account.limit(SPOT, Side.SELL, "0.05", "50100", take_profit=Exit(D(48_000)), stop_loss=Exit(D(51_000)))
    account.tick(SPOT, "50101")
    profit, stop = waiting(account)
    assert {(o.side, o.qty, o.market_unit) for o in (profit, stop)} == {(Side.BUY, D("0.05"), "baseCoin")}
    assert locked(account.state, "USDT") == D("0.05") * 51_000
    account.tick(SPOT, "51000")
    assert account.state.balance("BTC") > D("0.0998")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"take_profit": Exit(D(49_800))}, 10001),
        ({"stop_loss": Exit(D(49_950))}, 10001),
        ({"stop_loss": Exit(D("49000.001"))}, 170134),
        ({"stop_loss": Exit(D(49_000), "Moon")}, 10001),
        ({"stop_loss": Exit(D(49_000), limit_price=D("48000.001"))}, 170134),
        ({"order_type": "Market", "price": None, "market_unit": "baseCoin", "stop_loss": Exit(D(49_000))}, 10001),
    ],
)
def test_exits_on_the_wrong_side_of_the_order_or_off_the_grid_are_refused(
    account: Account, more: dict[str, Any], code: int
) -> None:
    fields = {"order_type": "Limit", "price": D(49_900), "market_unit": ""} | more
    refused(account, code, lambda: account.place(SPOT, Side.BUY, "0.1", **fields))


# linear orders with exits


def test_exits_of_the_whole_position_come_into_force_with_the_first_fill(account: Account) -> None:
    account.limit(LINEAR, Side.BUY, "0.1", "49900", take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    assert not waiting(account)
    account.tick(LINEAR, "49890", "0.04")
    assert {(o.stop_order_type, o.qty) for o in waiting(account)} == {
        ("TakeProfit", D("0.04")),
        ("StopLoss", D("0.04")),
    }
    position = account.state.positions["BTCUSDT"]
    position.stop_loss = Exit(D(49_500))  # moved in between: later fills leave it there
    account.tick(LINEAR, "49890", "5")
    assert position.stop_loss == Exit(D(49_500))
    assert {(o.trigger_price, o.qty) for o in waiting(account)} == {(D(52_000), D("0.1")), (D(49_500), D("0.1"))}


def test_partial_exits_are_a_pair_of_the_quantity_filled(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.2")
    order = account.limit(
        LINEAR,
        Side.BUY,
        "0.1",
        "49900",
        tpsl_mode="Partial",
        take_profit=Exit(D(52_000), limit_price=D(52_100)),
        stop_loss=Exit(D(49_000), "MarkPrice"),
    )
    account.tick(LINEAR, "49890", "0.04")
    account.tick(LINEAR, "49890", "0.06")
    profit, stop = waiting(account)
    assert (profit.stop_order_type, stop.stop_order_type) == ("PartialTakeProfit", "PartialStopLoss")
    assert (profit.qty, stop.qty, profit.parent_id) == (D("0.1"), D("0.1"), order.order_id)
    assert (profit.price, stop.trigger_by, profit.tpsl_mode) == (D(52_100), "MarkPrice", "Partial")
    account.tick(LINEAR, "52000")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.DEACTIVATED, OrderStatus.NEW]
    account.tick(LINEAR, "52101")
    (fill,) = fills(account.events)
    assert (fill.is_maker, fill.closed_size) == (True, D("0.1"))
    assert account.state.positions["BTCUSDT"].size == D("0.2")


def test_a_limit_price_of_an_exit_needs_mode_partial(account: Account) -> None:
    exits = {"take_profit": Exit(D(52_000), limit_price=D(52_100))}
    refused(account, 10001, lambda: account.limit(LINEAR, Side.BUY, "0.1", "49900", **exits))
    account.limit(LINEAR, Side.BUY, "0.1", "49900", **exits, tpsl_mode="Partial")
    refused(account, 10001, lambda: account.limit(LINEAR, Side.BUY, "0.1", "49900", tpsl_mode="Half"))
