"""Limit orders: what they take, how they rest and fill, what they hold. Prices are 50,000 unless a test moves them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import BookPrice, CancelAll, CancelOrder, Deposit, SetLeverage, Slippage
from exchange.paper.core.events import WalletChanged
from exchange.paper.core.locks import locked
from exchange.paper.core.model import OrderStatus
from exchange.paper.core.state import AccountState
from exchange.paper.core.wallet import available
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START, FixedMarket
from tests.exchange.paper.test_account_core import fills, kinds, refused, statuses

D = Decimal
SPOT, LINEAR = Category.SPOT, Category.LINEAR


@pytest.fixture
def account() -> Account:
    return Account()


def open_order(account: Account) -> Any:
    (order,) = account.state.orders.values()
    return order


@pytest.mark.parametrize("category", Category)
def test_a_limit_order_off_the_market_rests(account: Account, category: Category) -> None:
    order = account.limit(category, Side.BUY, "0.1", "49900")
    assert (order.status, order.time_in_force, order.filled_qty) == (OrderStatus.NEW, "GTC", 0)
    assert kinds(account.events) == ["OrderChanged", "WalletChanged"]
    assert account.tick(category, "49950") == []
    assert open_order(account).left == D("0.1")


@pytest.mark.parametrize("category", Category)
def test_a_trade_at_the_very_price_fills_nothing_and_one_through_it_fills_as_maker(
    account: Account, category: Category
) -> None:
    account.limit(category, Side.BUY, "0.1", "49900")
    assert account.tick(category, "49900") == []
    account.tick(category, "49899.9")
    (fill,) = fills(account.events)
    maker = D("0.001") if category is SPOT else D("0.0002")
    assert (fill.price, fill.qty, fill.is_maker, fill.fee_rate) == (D(49900), D("0.1"), True, maker)
    assert fill.order_price == D(49900)
    assert statuses(account.events) == [OrderStatus.FILLED]
    assert not account.state.orders
    assert not account.state.resting


def test_a_sell_rests_until_a_trade_goes_above_it(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    account.limit(SPOT, Side.SELL, "0.05", "50100")
    assert account.tick(SPOT, "50100") == []
    account.tick(SPOT, "50100.01")
    (fill,) = fills(account.events)
    assert (fill.price, fill.qty, fill.fee_coin) == (D(50100), D("0.05"), "USDT")


def test_a_trade_fills_no_more_than_it_traded_best_price_first_then_oldest(account: Account) -> None:
    worst = account.limit(LINEAR, Side.BUY, "0.5", "49800")
    old = account.limit(LINEAR, Side.BUY, "0.3", "49900")
    new = account.limit(LINEAR, Side.BUY, "0.3", "49900")
    account.tick(LINEAR, "49700", "0.4")
    assert [(f.order_id, f.qty) for f in fills(account.events)] == [(old.order_id, D("0.3")), (new.order_id, D("0.1"))]
    assert statuses(account.events) == [OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED]
    account.tick(LINEAR, "49700", "0.6")
    assert [(f.order_id, f.qty) for f in fills(account.events)] == [
        (new.order_id, D("0.2")),
        (worst.order_id, D("0.4")),
    ]
    account.tick(LINEAR, "49799.9", "0.0004")  # less than a quantity step
    assert account.events == []


def test_a_partly_filled_order_that_is_cancelled_is_told_apart_on_spot(account: Account) -> None:
    for category, status in ((SPOT, OrderStatus.PARTIALLY_FILLED_CANCELED), (LINEAR, OrderStatus.CANCELLED)):
        order = account.limit(category, Side.BUY, "0.1", "49900", link_id="part")
        account.tick(category, "49800", "0.04")
        events = account.do(CancelOrder(START, category, "BTCUSDT", link_id="part"))
        assert statuses(events) == [status]
        assert kinds(events) == ["OrderChanged", "WalletChanged"]
        assert order.order_id not in account.state.orders


def test_a_crossing_limit_takes_what_the_book_has_up_to_its_price_and_rests_the_remainder(account: Account) -> None:
    account.do(Deposit(START, "USDT", D(10_000_000)))
    order = account.limit(SPOT, Side.BUY, "10", "50010")
    assert [(f.price, f.qty, f.is_maker) for f in fills(account.events)] == [
        (D("50005"), D(2), False),
        (D("50010"), D(4), False),
    ]
    assert (order.status, order.left) == (OrderStatus.PARTIALLY_FILLED, D(4))
    assert locked(account.state, "USDT") == D(4) * D(50010)
    account.tick(SPOT, "50009", "9")
    assert [(f.price, f.qty, f.is_maker) for f in fills(account.events)] == [(D("50010"), D(4), True)]


def test_immediate_or_cancel_cancels_the_remainder(account: Account) -> None:
    account.do(Deposit(START, "USDT", D(10_000_000)))
    spot = account.limit(SPOT, Side.BUY, "10", "50010", time_in_force="IOC")
    assert (spot.status, spot.filled_qty) == (OrderStatus.PARTIALLY_FILLED_CANCELED, D(6))
    linear = account.limit(LINEAR, Side.SELL, "1", "50010", time_in_force="IOC")
    assert (linear.status, linear.reject_reason) == (OrderStatus.CANCELLED, "EC_NoImmediateQtyToFill")
    assert not account.state.orders


@pytest.mark.parametrize("order_type", ["Limit", "Market"])
def test_fill_or_kill_fills_everything_or_nothing(account: Account, order_type: str) -> None:
    account.do(Deposit(START, "USDT", D(100_000_000)))
    fields: dict[str, Any] = {"order_type": order_type, "time_in_force": "FOK", "market_unit": ""}
    price = {"price": D(50010)} if order_type == "Limit" else {}
    whole = account.place(LINEAR, Side.BUY, "6", **fields, **price)
    assert (whole.status, whole.filled_qty) == (OrderStatus.FILLED, D(6))
    account.tick(LINEAR, "50000")
    account.market = FixedMarket(per_bp=0.01)
    killed = account.place(LINEAR, Side.BUY, "10", **fields, **price)
    assert (killed.status, killed.filled_qty, killed.reject_reason) == (
        OrderStatus.CANCELLED,
        0,
        "EC_NoImmediateQtyToFill",
    )
    assert not account.state.taken


@pytest.mark.parametrize(("category", "status"), [(SPOT, OrderStatus.REJECTED), (LINEAR, OrderStatus.CANCELLED)])
def test_a_post_only_order_that_would_take_is_accepted_and_ends(
    account: Account, category: Category, status: OrderStatus
) -> None:
    order = account.limit(category, Side.BUY, "0.1", "50005", time_in_force="PostOnly")
    assert (order.status, order.reject_reason) == (status, "EC_PostOnlyWillTakeLiquidity")
    assert not account.state.orders
    rests = account.limit(category, Side.BUY, "0.1", "50004.9", time_in_force="PostOnly")
    assert rests.status is OrderStatus.NEW


def test_liquidity_taken_is_gone_until_the_next_trade_of_the_symbol(account: Account) -> None:
    account.do(Deposit(START, "USDT", D(10_000_000)))
    account.place(SPOT, Side.BUY, "3")
    account.place(SPOT, Side.BUY, "3")
    assert [(f.price, f.qty) for f in fills(account.events)] == [(D("50010"), D(3))]
    account.place(SPOT, Side.SELL, "1")
    assert [f.price for f in fills(account.events)] == [D("49995")]  # the other side was not touched
    account.tick(LINEAR, "50000")
    account.place(SPOT, Side.BUY, "1")
    assert [f.price for f in fills(account.events)] == [D("50020")]
    account.tick(SPOT, "50000")
    account.place(SPOT, Side.BUY, "1")
    assert [f.price for f in fills(account.events)] == [D("50005")]


def test_spot_orders_lock_what_they_would_pay_and_free_it_when_they_end(account: Account) -> None:
    account.limit(SPOT, Side.BUY, "1", "49000", link_id="a")
    assert (locked(account.state, "USDT"), locked(account.state, "BTC")) == (D(49_000), 0)
    refused(account, 170131, lambda: account.limit(SPOT, Side.BUY, "1.1", "49000"))
    refused(account, 170131, lambda: account.place(SPOT, Side.BUY, "1.1"))
    account.limit(SPOT, Side.BUY, "1", "48000", link_id="b")
    account.tick(SPOT, "48500", "0.25")
    assert locked(account.state, "USDT") == D("0.75") * 49_000 + 48_000
    wallet = [e.wallet for e in account.events if isinstance(e, WalletChanged)][-1]
    assert next(c for c in wallet.coins if c.coin == "USDT").locked == locked(account.state, "USDT")
    account.limit(SPOT, Side.SELL, "0.2", "51000")
    assert locked(account.state, "BTC") == D("0.2")
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "0.05"))
    account.do(CancelAll(START, SPOT))
    assert (locked(account.state, "USDT"), locked(account.state, "BTC")) == (0, 0)


def test_resting_linear_orders_hold_margin(account: Account) -> None:
    free = available(account.state, account.market, "USDT", START)
    account.limit(LINEAR, Side.BUY, "1", "49000")
    assert available(account.state, account.market, "USDT", START) < free - 49_000
    refused(account, 110007, lambda: account.limit(LINEAR, Side.BUY, "1.1", "49000"))
    account.do(SetLeverage(START, "BTCUSDT", D(10)))
    account.limit(LINEAR, Side.BUY, "1.1", "49000")


def test_a_reduce_only_limit_never_opens_and_ends_when_nothing_is_left_to_reduce(account: Account) -> None:
    refused(account, 110017, lambda: account.limit(LINEAR, Side.SELL, "0.1", "50500", reduce_only=True))
    account.place(LINEAR, Side.BUY, "0.1")
    rests = account.limit(LINEAR, Side.SELL, "0.5", "50500", reduce_only=True)
    assert rests.qty == D("0.1")
    account.place(LINEAR, Side.SELL, "0.06")
    assert open_order(account).qty == D("0.1")
    account.tick(LINEAR, "50600")
    assert [(f.qty, f.closed_size) for f in fills(account.events)] == [(D("0.04"), D("0.04"))]
    assert statuses(account.events) == [OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELLED]
    assert not account.state.orders
    account.place(LINEAR, Side.BUY, "0.1")
    account.limit(LINEAR, Side.SELL, "0.1", "51000", reduce_only=True)
    account.place(LINEAR, Side.SELL, "0.1")
    assert statuses(account.events) == [OrderStatus.FILLED, OrderStatus.CANCELLED]


def test_prices_beyond_the_band_are_refused_on_spot_and_moved_into_it_on_linear(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    refused(account, 170193, lambda: account.limit(SPOT, Side.BUY, "0.01", "50501"))
    refused(account, 170194, lambda: account.limit(SPOT, Side.SELL, "0.01", "49499"))
    account.limit(SPOT, Side.BUY, "0.01", "50500")
    account.limit(SPOT, Side.SELL, "0.01", "60000")
    order = account.limit(LINEAR, Side.BUY, "0.01", "60000")
    assert (order.price, order.status) == (D(52_500), OrderStatus.FILLED)
    order = account.limit(LINEAR, Side.SELL, "0.01", "1000")
    assert order.price == D(47_500)


@pytest.mark.parametrize(
    ("category", "qty", "price", "more", "code"),
    [
        (SPOT, "0.01", "49000.001", {}, 170134),
        (LINEAR, "0.01", "49000.05", {}, 10001),
        (SPOT, "0.01", "0", {}, 170134),
        (SPOT, "0.01", "200000", {}, 170132),
        (LINEAR, "0.01", "2000000", {}, 110003),
        (SPOT, "0.0001", "4000", {}, 170140),
        (LINEAR, "0.001", "4000", {}, 110094),
        (SPOT, "831", "1000", {}, 170135),
        (LINEAR, "1001", "40000", {}, 10001),
        (LINEAR, "1001", "40000", {"time_in_force": "PostOnly"}, 10001),
        (SPOT, "500", "49000", {}, 170124),
        (SPOT, "0.01", "49000", {"time_in_force": "RPI"}, 10001),
        (SPOT, "0.01", "49000", {"order_type": "Market"}, 10001),
    ],
)
def test_limit_filters_refuse_with_the_exchanges_codes(
    account: Account, category: Category, qty: str, price: str, more: dict[str, Any], code: int
) -> None:
    refused(
        account,
        code,
        lambda: account.place(category, Side.BUY, qty, **{"order_type": "Limit", "price": D(price)} | more),
    )


def test_a_limit_order_needs_its_price(account: Account) -> None:
    refused(account, 10001, lambda: account.place(SPOT, Side.BUY, "0.01", order_type="Limit"))


def test_the_five_hundred_and_first_open_order_of_a_symbol_is_refused(account: Account) -> None:
    for _ in range(500):
        account.limit(LINEAR, Side.BUY, "0.001", "40000")
        account.limit(SPOT, Side.BUY, "0.001", "40000")
    refused(account, 110020, lambda: account.limit(LINEAR, Side.BUY, "0.001", "40000"))
    refused(account, 170810, lambda: account.limit(SPOT, Side.BUY, "0.001", "40000"))
    account.limit(LINEAR, Side.BUY, "0.002", "40000", symbol="ETHUSDT")
    account.place(LINEAR, Side.BUY, "0.001")  # a market order never is an open one


def test_a_resting_order_that_can_not_be_paid_any_more_is_cancelled(account: Account) -> None:
    order = account.limit(SPOT, Side.BUY, "1", "49000")
    account.state.balances["USDT"] = D(10_000)  # a perpetual's loss took it
    account.tick(SPOT, "48000", "5")
    assert statuses(account.events) == [OrderStatus.CANCELLED]
    assert not fills(account.events)
    assert order.order_id not in account.state.orders


def test_a_copy_of_the_state_has_its_own_books(account: Account) -> None:
    account.limit(LINEAR, Side.BUY, "0.1", "49900")
    account.place(LINEAR, Side.BUY, "0.1")
    copied: AccountState = account.state.copy()
    account.tick(LINEAR, "49800")
    assert not account.state.orders
    assert not account.state.taken
    assert len(copied.resting[(LINEAR, "BTCUSDT")]) == 1
    assert copied.taken


@pytest.mark.parametrize(
    ("slippage", "worst", "taken"),
    [(Slippage(D(50), False), "50010", "6"), (Slippage(D("0.03"), True), "50020", "14")],
)
def test_a_market_order_takes_no_worse_than_its_tolerance(
    account: Account, slippage: Slippage, worst: str, taken: str
) -> None:
    account.do(Deposit(START, "USDT", D(10_000_000)))
    order = account.place(LINEAR, Side.BUY, "20", slippage=slippage)
    assert (order.filled_qty, order.status) == (D(taken), OrderStatus.CANCELLED)
    assert fills(account.events)[-1].price == D(worst)
    refused(account, 10001, lambda: account.place(LINEAR, Side.BUY, "1", slippage=Slippage(D(0), slippage.in_percent)))
    spends = account.place(SPOT, Side.BUY, "1000", market_unit="", slippage=slippage)
    assert spends.status is OrderStatus.FILLED


def test_a_price_may_be_named_by_the_book(account: Account) -> None:
    fields: dict[str, Any] = {"order_type": "Limit"}
    queued = account.place(LINEAR, Side.BUY, "0.1", book_price=BookPrice(2, counterparty=False), **fields)
    assert (queued.price, queued.status) == (D("49990"), OrderStatus.NEW)
    taker = account.place(LINEAR, Side.BUY, "0.1", book_price=BookPrice(1, counterparty=True), **fields)
    assert (taker.price, taker.status) == (D("50005"), OrderStatus.FILLED)
    refused(account, 10001, lambda: account.place(LINEAR, Side.BUY, "0.1", book_price=BookPrice(6, True), **fields))


def test_a_spot_market_sale_may_be_worth_a_sum(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.1")
    order = account.place(SPOT, Side.SELL, "1000", market_unit="quoteCoin")
    assert (order.status, order.filled_qty) == (OrderStatus.FILLED, D("0.020002"))
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "4500", market_unit="quoteCoin"))


def test_two_orders_can_not_both_close_the_same_position(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1.5")
    account.limit(LINEAR, Side.SELL, "1.5", "51000")
    refused(account, 110007, lambda: account.limit(LINEAR, Side.SELL, "1.5", "52000"))
    account.limit(LINEAR, Side.SELL, "1.5", "52000", reduce_only=True)
    account.place(LINEAR, Side.SELL, "1.5")  # leaving at once is always possible
