"""What one account does with orders, fills and stops. Prices are 50,000 unless a test moves them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import CancelAll, CancelOrder, Deposit, SetLeverage, SetTradingStop
from exchange.paper.core.events import Event, Executed, OrderChanged, PositionChanged, WalletChanged
from exchange.paper.core.model import Exit, OrderFilter, OrderStatus
from exchange.paper.core.refusal import Refusal
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START, FixedMarket

D = Decimal
SPOT, LINEAR = Category.SPOT, Category.LINEAR
LAST_SPOT_ASK = D("50005")  # half a spread of one basis point over 50,000


@pytest.fixture
def account() -> Account:
    return Account()


def statuses(events: list[Event]) -> list[OrderStatus]:
    return [e.order.status for e in events if isinstance(e, OrderChanged)]


def fills(events: list[Event]) -> list[Any]:
    return [e.execution for e in events if isinstance(e, Executed)]


def kinds(events: list[Event]) -> list[str]:
    return [type(e).__name__ for e in events if type(e).__name__ != "Logged"]


def refused(account: Account, code: int, act: Any) -> Refusal:
    """``act`` is refused with ``code`` and leaves the account as it was."""
    before = account.state.copy()
    with pytest.raises(Refusal) as caught:
        act()
    assert caught.value.code == code, caught.value
    assert account.state == before
    assert account.state.watched.keys() == before.watched.keys()
    return caught.value


def test_a_spot_buy_pays_the_half_spread_and_its_fee_in_the_base_coin(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.01")
    (fill,) = fills(account.events)
    assert (fill.price, fill.qty, fill.fee, fill.fee_coin) == (LAST_SPOT_ASK, D("0.01"), D("0.00001"), "BTC")
    assert account.state.balances == {"USDT": D(100_000) - LAST_SPOT_ASK * D("0.01"), "BTC": D("0.00999")}


def test_a_spot_sell_pays_its_fee_in_the_quote_coin(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.01")
    before = account.state.balance("USDT")
    account.place(SPOT, Side.SELL, "0.009")
    (fill,) = fills(account.events)
    assert (fill.price, fill.fee_coin) == (D("49995"), "USDT")
    assert fill.fee == fill.value * D("0.001")
    assert account.state.balance("USDT") == before + fill.value * D("0.999")
    assert account.state.balance("BTC") == D("0.00099")


def test_a_spot_market_buy_counts_quote_coin_by_default(account: Account) -> None:
    account.place(SPOT, Side.BUY, "1000", market_unit="")
    (fill,) = fills(account.events)
    assert fill.qty == D("0.019998")  # 1000 / 50005, down to the base precision
    assert statuses(account.events) == [OrderStatus.FILLED]


def test_a_large_order_walks_the_book_and_each_level_is_an_execution(account: Account) -> None:
    account.do(Deposit(START, "USDT", D(10_000_000)))
    account.place(SPOT, Side.BUY, "20")
    done = fills(account.events)
    assert [f.qty for f in done] == [D(2), D(4), D(8), D(6)]
    assert [f.price for f in done] == [D("50005"), D("50010"), D("50020"), D("50040")]
    assert sum(f.qty for f in done) == D(20)


def test_what_the_whole_book_can_not_fill_is_cancelled(account: Account) -> None:
    account.do(Deposit(START, "USDT", D(1_000_000_000)))
    account.market = FixedMarket(per_bp=0.01)
    account.place(SPOT, Side.BUY, "10")
    assert statuses(account.events) == [OrderStatus.PARTIALLY_FILLED_CANCELED]
    account.place(LINEAR, Side.BUY, "10")
    assert statuses(account.events) == [OrderStatus.CANCELLED]
    held = account.state.positions["BTCUSDT"].size
    assert held == sum(f.qty for f in fills(account.events)) == D("5.11")


def test_private_events_come_executions_first_then_order_position_wallet(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01")
    assert kinds(account.events) == ["Executed", "OrderChanged", "PositionChanged", "WalletChanged"]
    account.place(SPOT, Side.BUY, "0.01")
    assert kinds(account.events) == ["Executed", "OrderChanged", "WalletChanged"]


def test_a_linear_round_trip_realises_exactly_the_difference_less_fees(account: Account) -> None:
    account.place(LINEAR, Side.SELL, "0.3")
    account.tick(LINEAR, "49000")
    account.place(LINEAR, Side.BUY, "0.1")
    account.tick(LINEAR, "48000")
    account.place(LINEAR, Side.BUY, "0.2")
    assert account.state.positions["BTCUSDT"].side is None
    entry, first, second = D("49995") * D("0.3"), D("49004.9") * D("0.1"), D("48004.8") * D("0.2")
    fees = (entry + first + second) * D("0.00055")
    assert account.state.balance("USDT") == D(100_000) + entry - first - second - fees


def test_an_order_larger_than_the_opposite_position_turns_it(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.1", stop_loss=Exit(D(49_000)))
    account.place(LINEAR, Side.SELL, "0.3")
    position = account.state.positions["BTCUSDT"]
    assert (position.side, position.size, position.stop_loss) == (Side.SELL, D("0.2"), None)
    assert OrderStatus.DEACTIVATED in statuses(account.events)
    assert not account.state.orders


def test_margin_is_required_only_for_what_opens(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1.9")
    refused(account, 110007, lambda: account.place(LINEAR, Side.BUY, "0.2"))
    account.place(LINEAR, Side.SELL, "1.9")
    assert account.state.positions["BTCUSDT"].size == 0


def test_leverage_makes_room(account: Account) -> None:
    refused(account, 110007, lambda: account.place(LINEAR, Side.BUY, "3"))
    account.do(SetLeverage(START, "BTCUSDT", D(2)))
    account.place(LINEAR, Side.BUY, "3")
    refused(account, 110043, lambda: account.do(SetLeverage(START, "BTCUSDT", D(2))))
    refused(account, 110013, lambda: account.do(SetLeverage(START, "BTCUSDT", D(101))))


def test_money_held_as_margin_can_not_be_spent_on_spot(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1.9")
    refused(account, 170131, lambda: account.place(SPOT, Side.BUY, "0.2"))


def test_selling_a_coin_one_does_not_have_is_refused(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.01")
    refused(account, 170131, lambda: account.place(SPOT, Side.SELL, "0.01"))  # the fee was taken in the base coin


def test_reduce_only_without_a_position_to_reduce_is_refused(account: Account) -> None:
    refused(account, 110017, lambda: account.place(LINEAR, Side.SELL, "0.01", reduce_only=True))
    account.place(LINEAR, Side.BUY, "0.01")
    refused(account, 110017, lambda: account.place(LINEAR, Side.BUY, "0.01", reduce_only=True))


def test_reduce_only_is_clipped_to_the_position(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01")
    account.place(LINEAR, Side.SELL, "0.05", reduce_only=True)
    assert account.state.positions["BTCUSDT"].size == 0
    assert [f.closed_size for f in fills(account.events)] == [D("0.01")]


def test_the_stop_loss_of_an_entry_follows_the_size_of_the_position(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01", stop_loss=Exit(D(49_000)))
    (stop,) = account.state.orders.values()
    assert (stop.qty, stop.status, stop.trigger_rises) == (D("0.01"), OrderStatus.UNTRIGGERED, False)
    account.place(LINEAR, Side.BUY, "0.02")
    account.place(LINEAR, Side.SELL, "0.005", reduce_only=True)
    assert [o.qty for o in account.state.orders.values()] == [D("0.025")]
    account.place(LINEAR, Side.SELL, "0.025", reduce_only=True)
    assert not account.state.orders
    assert statuses(account.events) == [OrderStatus.FILLED, OrderStatus.DEACTIVATED]


def test_a_crossed_stop_loss_closes_the_position_under_no_link_id(account: Account) -> None:
    account.place(LINEAR, Side.SELL, "0.01", stop_loss=Exit(D(51_000)), link_id="p-E1")
    assert account.tick(LINEAR, "50999.9") == []
    account.tick(LINEAR, "51000")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED]
    (fill,) = fills(account.events)
    assert (fill.link_id, fill.stop_order_type, fill.create_type) == ("", "StopLoss", "CreateByStopLoss")
    assert (fill.price, fill.closed_size) == (D("51005.1"), D("0.01"))
    position = account.state.positions["BTCUSDT"]
    assert (position.size, position.stop_loss, position.stop_order_id) == (0, None, "")
    assert not account.state.orders


def test_a_stop_loss_on_the_wrong_side_is_refused(account: Account) -> None:
    refused(account, 10001, lambda: account.place(LINEAR, Side.BUY, "0.01", stop_loss=Exit(D(50_000))))
    refused(account, 10001, lambda: account.place(LINEAR, Side.SELL, "0.01", stop_loss=Exit(D(49_000))))
    refused(account, 10001, lambda: account.place(LINEAR, Side.BUY, "0.01", stop_loss=Exit(D("49000.05"))))


def test_trading_stop_sets_moves_and_clears_the_stop(account: Account) -> None:
    refused(account, 10001, lambda: account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(49_000)))))
    account.place(LINEAR, Side.BUY, "0.01")
    refused(account, 34040, lambda: account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(0)))))
    account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(49_000))))
    refused(account, 34040, lambda: account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(49_000)))))
    account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(49_500))))
    assert [o.trigger_price for o in account.state.orders.values()] == [D(49_500)]
    account.do(SetTradingStop(START, "BTCUSDT", stop_loss=Exit(D(0))))
    assert not account.state.orders


def test_cancelling_the_stop_order_takes_the_stop_loss_off_the_position(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01", stop_loss=Exit(D(49_000)))
    events = account.do(CancelAll(START, LINEAR))
    assert statuses(events) == [OrderStatus.DEACTIVATED]
    assert [e.position.stop_loss for e in events if isinstance(e, PositionChanged)] == [None]


def test_a_spot_stop_order_locks_nothing_and_sells_when_the_price_falls_to_it(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.01")
    stop = account.place(
        SPOT, Side.SELL, "0.009", trigger_price=D(49_000), order_filter=OrderFilter.STOP_ORDER, link_id="p-S1"
    )
    assert stop.status is OrderStatus.UNTRIGGERED
    assert account.tick(SPOT, "49000.01") == []
    account.tick(SPOT, "48999")
    assert kinds(account.events) == ["OrderChanged", "Executed", "OrderChanged", "WalletChanged"]
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED]
    assert account.state.balance("BTC") == D("0.00099")


def test_a_triggered_spot_stop_whose_coins_are_gone_is_rejected(account: Account) -> None:
    account.place(SPOT, Side.BUY, "0.01")
    account.place(SPOT, Side.SELL, "0.009", trigger_price=D(49_000), order_filter=OrderFilter.STOP_ORDER)
    account.place(SPOT, Side.SELL, "0.009")
    account.tick(SPOT, "48000")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.REJECTED]
    assert not account.state.orders


def test_a_linear_conditional_order_needs_a_direction_and_the_right_side(account: Account) -> None:
    refused(account, 10001, lambda: account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000)))
    refused(
        account, 110092, lambda: account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(49_000), trigger_direction=1)
    )
    refused(
        account, 110093, lambda: account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=2)
    )
    account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=1, stop_loss=Exit(D(50_500)))
    account.tick(LINEAR, "51000")
    assert statuses(account.events) == [OrderStatus.TRIGGERED, OrderStatus.FILLED, OrderStatus.UNTRIGGERED]
    assert account.state.positions["BTCUSDT"].stop_loss == Exit(D(50_500))


def test_a_reduce_only_conditional_is_cancelled_when_nothing_is_left_to_reduce(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01")
    account.place(
        LINEAR, Side.SELL, "0.01", trigger_price=D(49_000), trigger_direction=2, reduce_only=True, link_id="r"
    )
    account.place(LINEAR, Side.SELL, "0.01")
    account.tick(LINEAR, "49000")
    last = [e.order for e in account.events if isinstance(e, OrderChanged)][-1]
    assert (last.status, last.cancel_type) == (OrderStatus.CANCELLED, "CancelByReduceOnly")


def test_cancelling_an_untriggered_order_deactivates_it(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "0.01", trigger_price=D(51_000), trigger_direction=1, link_id="c")
    events = account.do(CancelOrder(START, LINEAR, "BTCUSDT", link_id="c"))
    assert statuses(events) == [OrderStatus.DEACTIVATED]
    refused(account, 110001, lambda: account.do(CancelOrder(START, LINEAR, "BTCUSDT", link_id="c")))
    assert account.tick(LINEAR, "51000") == []


def test_an_unknown_order_can_not_be_cancelled(account: Account) -> None:
    refused(account, 170213, lambda: account.do(CancelOrder(START, SPOT, "BTCUSDT", order_id="1")))
    refused(account, 110001, lambda: account.do(CancelOrder(START, LINEAR, "BTCUSDT", order_id="1")))
    refused(account, 10001, lambda: account.do(CancelOrder(START, LINEAR, "BTCUSDT")))


def test_a_link_id_is_used_once_for_ever(account: Account) -> None:
    for category, code in ((SPOT, 170141), (LINEAR, 110072)):
        account.place(category, Side.BUY, "0.01", link_id="same")
        refused(account, code, lambda c=category: account.place(c, Side.BUY, "0.01", link_id="same"))


def test_a_refused_order_leaves_its_link_id_free(account: Account) -> None:
    refused(account, 110007, lambda: account.place(LINEAR, Side.BUY, "99", link_id="again"))
    account.place(LINEAR, Side.BUY, "0.01", link_id="again")


@pytest.mark.parametrize(
    ("category", "qty", "more", "code"),
    [
        (SPOT, "0.00001", {}, 170136),
        (SPOT, "0.00005", {}, 170140),
        (SPOT, "0.0100001", {}, 170137),
        (SPOT, "84", {}, 170135),
        (SPOT, "4", {"market_unit": "quoteCoin"}, 170140),
        (SPOT, "0.01", {"symbol": "NOPEUSDT"}, 10001),
        (SPOT, "0.01", {"link_id": "x" * 37}, 10001),
        (SPOT, "0.01", {"order_type": "Limit"}, 10001),
        (SPOT, "0.01", {"order_type": "Iceberg"}, 10001),
        (SPOT, "0.01", {"reduce_only": True}, 10001),
        (SPOT, "0.01", {"trigger_price": D(60_000)}, 10001),
        (SPOT, "0.01", {"order_filter": OrderFilter.STOP_ORDER}, 10001),
        (SPOT, "0.01", {"order_filter": OrderFilter.TPSL_ORDER}, 10001),
        (SPOT, "0.01", {"order_filter": OrderFilter.STOP_ORDER, "trigger_price": D("60000.001")}, 170134),
        (LINEAR, "0.0001", {}, 10001),
        (LINEAR, "0.0015", {}, 10001),
        (LINEAR, "101", {}, 10001),
        (LINEAR, "0.01", {"market_unit": "quoteCoin"}, 10001),
        (LINEAR, "0.01", {"trigger_price": D("60000.05"), "trigger_direction": 1}, 10001),
        (LINEAR, "0.01", {"stop_loss": Exit(D(40_000)), "reduce_only": True}, 10001),
    ],
)
def test_filters_refuse_with_the_exchanges_codes(
    account: Account, category: Category, qty: str, more: dict[str, Any], code: int
) -> None:
    refused(account, code, lambda: account.place(category, Side.BUY, qty, **more))


def test_a_linear_order_under_the_minimum_value_is_refused(account: Account) -> None:
    account.tick(LINEAR, "4000")
    refused(account, 110094, lambda: account.place(LINEAR, Side.BUY, "0.001"))


def test_every_wallet_event_tells_the_equity_the_market_gives(account: Account) -> None:
    account.place(LINEAR, Side.BUY, "1")
    account.tick(LINEAR, "51000")
    events = account.do(SetLeverage(START, "BTCUSDT", D(2)))
    (wallet,) = [e.wallet for e in events if isinstance(e, WalletChanged)]
    fee = LAST_SPOT_ASK * D("0.00055")
    assert wallet.unrealised == D(51_000) - LAST_SPOT_ASK
    assert wallet.equity == D(100_000) - fee + wallet.unrealised
