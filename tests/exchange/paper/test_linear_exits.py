"""Take profits and stop losses of a perpetual position, for the whole of it and for a part."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.market import Category, Side
from exchange.paper.core.commands import CancelOrder, SetTradingStop
from exchange.paper.core.events import Event, Executed, OrderChanged, PositionChanged
from exchange.paper.core.model import Exit, Order, OrderStatus
from exchange.paper.core.refusal import Refusal
from tests.exchange.paper.account_case import Account

D = Decimal
LINEAR = Category.LINEAR


@pytest.fixture
def long() -> Account:
    """An account that is long 0.3 at about 50,000."""
    account = Account()
    account.place(LINEAR, Side.BUY, "0.3")
    return account


def stop(account: Account, **exits: Any) -> list[Event]:
    return account.do(SetTradingStop(account.now, "BTCUSDT", **exits))


def refused(account: Account, code: int, **exits: Any) -> None:
    before = account.state.copy()
    with pytest.raises(Refusal) as caught:
        stop(account, **exits)
    assert caught.value.code == code, caught.value
    assert account.state == before


def waiting(account: Account) -> dict[str, Order]:
    """Open orders by their kind."""
    return {order.stop_order_type: order for order in account.state.orders.values()}


def statuses(events: list[Event]) -> list[tuple[str, OrderStatus]]:
    return [(e.order.stop_order_type, e.order.status) for e in events if isinstance(e, OrderChanged)]


def fills(events: list[Event]) -> list[Any]:
    return [e.execution for e in events if isinstance(e, Executed)]


def test_take_profit_and_stop_loss_of_a_position_are_orders_of_the_exchanges_own(long: Account) -> None:
    events = stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    found = waiting(long)
    assert set(found) == {"TakeProfit", "StopLoss"}
    profit = found["TakeProfit"]
    assert (profit.side, profit.qty, profit.trigger_price, profit.trigger_rises) == (
        Side.SELL,
        D("0.3"),
        D(52_000),
        True,
    )
    assert (profit.create_type, profit.reduce_only, profit.close_on_trigger) == ("CreateByTakeProfit", True, True)
    assert (found["StopLoss"].trigger_price, found["StopLoss"].trigger_rises) == (D(49_000), False)
    (told,) = [e.position for e in events if isinstance(e, PositionChanged)]
    assert (told.take_profit, told.stop_loss) == (Exit(D(52_000)), Exit(D(49_000)))


@pytest.mark.parametrize(("price", "kind"), [("52000", "TakeProfit"), ("49000", "StopLoss")])
def test_whichever_comes_first_closes_the_position_and_ends_the_other(long: Account, price: str, kind: str) -> None:
    stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    events = long.tick(LINEAR, price)
    (fill,) = fills(events)
    assert (fill.stop_order_type, fill.create_type, fill.closed_size) == (kind, f"CreateBy{kind}", D("0.3"))
    position = long.state.positions["BTCUSDT"]
    assert (position.size, position.take_profit, position.stop_loss) == (0, None, None)
    assert (position.profit_order_id, position.stop_order_id) == ("", "")
    assert not long.state.orders
    assert [status for _, status in statuses(events)][-1] is OrderStatus.DEACTIVATED


def test_exits_follow_the_size_of_the_position_and_end_with_it(long: Account) -> None:
    stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)), trailing_stop=D(500))
    long.place(LINEAR, Side.BUY, "0.2")
    assert [o.qty for o in waiting(long).values()] == [D("0.5")] * 3
    long.place(LINEAR, Side.SELL, "0.1", reduce_only=True)
    assert [o.qty for o in waiting(long).values()] == [D("0.4")] * 3
    long.place(LINEAR, Side.SELL, "0.4", reduce_only=True)
    assert not long.state.orders
    position = long.state.positions["BTCUSDT"]
    assert (position.take_profit, position.stop_loss, position.trailing_stop) == (None, None, None)


def test_a_position_that_turns_has_none_of_the_exits_it_had(long: Account) -> None:
    stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)), trailing_stop=D(500))
    stop(long, mode="Partial", stop_loss=Exit(D(48_000), qty=D("0.1")))
    long.place(LINEAR, Side.SELL, "0.5", stop_loss=Exit(D(51_000)))
    assert [(o.stop_order_type, o.side, o.qty) for o in long.state.orders.values()] == [
        ("StopLoss", Side.BUY, D("0.2"))
    ]
    assert long.state.positions["BTCUSDT"].stop_loss == Exit(D(51_000))


def test_zero_takes_an_exit_away_and_leaves_the_others(long: Account) -> None:
    stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)))
    stop(long, take_profit=Exit(D(0)))
    assert set(waiting(long)) == {"StopLoss"}
    refused(long, 34040, take_profit=Exit(D(0)))
    refused(long, 34040, stop_loss=Exit(D(49_000)))


def test_the_same_exit_under_another_trigger_is_a_change(long: Account) -> None:
    long.market.marks["BTCUSDT"] = D(50_000)
    stop(long, stop_loss=Exit(D(49_000)))
    moved = waiting(long)["StopLoss"].order_id
    stop(long, stop_loss=Exit(D(49_000), "MarkPrice"))
    assert waiting(long)["StopLoss"].order_id == moved
    assert long.tick(LINEAR, "48000") == []  # would be crossed, but the mark stands
    assert waiting(long)["StopLoss"].trigger_by == "MarkPrice"


@pytest.mark.parametrize(("kind", "moved_by"), [("MarkPrice", LINEAR), ("IndexPrice", Category.SPOT)])
def test_an_exit_may_trigger_by_mark_or_index(long: Account, kind: str, moved_by: Category) -> None:
    long.market.marks["BTCUSDT"] = D(50_000)
    stop(long, stop_loss=Exit(D(49_000), kind))
    long.tick(LINEAR, "48900")
    assert long.state.positions["BTCUSDT"].size
    long.market.marks["BTCUSDT"] = D(48_900)
    long.tick(moved_by, "48900")
    assert not long.state.positions["BTCUSDT"].size


def test_exits_on_the_wrong_side_off_the_grid_or_without_position_are_refused(long: Account) -> None:
    refused(long, 10001, take_profit=Exit(D(50_000)))
    refused(long, 10001, stop_loss=Exit(D(50_000)))
    refused(long, 10001, stop_loss=Exit(D("49000.05")))
    refused(long, 10001, stop_loss=Exit(D(49_000), "NoPrice"))
    refused(long, 10001, stop_loss=Exit(D(49_000), limit_price=D(48_900)))  # limits are for parts
    refused(long, 10001, stop_loss=Exit(D(49_000)), mode="Half")
    refused(Account(), 10001, stop_loss=Exit(D(49_000)))


def test_partial_exits_are_pairs_of_which_one_ends_the_other(long: Account) -> None:
    for profit, loss in ((51_000, 49_500), (52_000, 49_000)):
        stop(
            long,
            mode="Partial",
            take_profit=Exit(D(profit), qty=D("0.1")),
            stop_loss=Exit(D(loss), qty=D("0.1")),
        )
    assert [o.stop_order_type for o in long.state.orders.values()] == ["PartialTakeProfit", "PartialStopLoss"] * 2
    events = long.tick(LINEAR, "51000")
    (fill,) = fills(events)
    assert (fill.create_type, fill.closed_size) == ("CreateByPartialTakeProfit", D("0.1"))
    assert sorted(o.trigger_price for o in long.state.orders.values() if o.trigger_price) == [D(49_000), D(52_000)]
    events = long.tick(LINEAR, "48000")
    assert [f.create_type for f in fills(events)] == ["CreateByPartialStopLoss"]
    assert long.state.positions["BTCUSDT"].size == D("0.1")
    assert not long.state.orders


def test_a_partial_exit_is_clipped_to_what_is_left_of_the_position(long: Account) -> None:
    stop(long, mode="Partial", stop_loss=Exit(D(49_000), qty=D("0.2")))
    long.place(LINEAR, Side.SELL, "0.2", reduce_only=True)
    (fill,) = fills(long.tick(LINEAR, "49000"))
    assert fill.qty == D("0.1")
    assert long.state.positions["BTCUSDT"].size == 0


def test_a_limit_take_profit_rests_when_it_triggers_and_fills_as_maker(long: Account) -> None:
    stop(long, mode="Partial", take_profit=Exit(D(51_000), limit_price=D("51100"), qty=D("0.1")))
    events = long.tick(LINEAR, "51000")
    assert statuses(events) == [
        ("PartialTakeProfit", OrderStatus.TRIGGERED),
        ("PartialTakeProfit", OrderStatus.NEW),
    ]
    assert fills(long.tick(LINEAR, "51100")) == []
    (fill,) = fills(long.tick(LINEAR, "51100.1"))
    assert (fill.price, fill.is_maker, fill.order_price, fill.closed_size) == (D(51_100), True, D(51_100), D("0.1"))
    assert fill.fee == D(51_100) * D("0.1") * D("0.0002")


def test_partial_exits_larger_than_the_position_or_of_unequal_size_are_refused(long: Account) -> None:
    refused(long, 110058, mode="Partial", stop_loss=Exit(D(49_000), qty=D("0.4")))
    refused(
        long,
        10001,
        mode="Partial",
        take_profit=Exit(D(51_000), qty=D("0.1")),
        stop_loss=Exit(D(49_000), qty=D("0.2")),
    )
    refused(long, 10001, mode="Partial", stop_loss=Exit(D(0)))
    refused(long, 10001, mode="Partial", stop_loss=Exit(D(49_000), qty=D("0.0001")))
    for number in range(20):
        stop(long, mode="Partial", stop_loss=Exit(D(49_000 - number), qty=D("0.01")))
    refused(long, 110061, mode="Partial", stop_loss=Exit(D(48_000), qty=D("0.01")))
    stop(long, mode="Partial", take_profit=Exit(D(52_000), qty=D("0.01")))


@pytest.mark.parametrize("kind", ["TakeProfit", "StopLoss", "TrailingStop"])
def test_cancelling_an_exit_order_takes_it_off_the_position(long: Account, kind: str) -> None:
    stop(long, take_profit=Exit(D(52_000)), stop_loss=Exit(D(49_000)), trailing_stop=D(500))
    order_id = waiting(long)[kind].order_id
    events = long.do(CancelOrder(long.now, LINEAR, "BTCUSDT", order_id=order_id))
    assert statuses(events) == [(kind, OrderStatus.DEACTIVATED)]
    assert set(waiting(long)) == {"TakeProfit", "StopLoss", "TrailingStop"} - {kind}
    position = long.state.positions["BTCUSDT"]
    left = {
        "TakeProfit": position.take_profit,
        "StopLoss": position.stop_loss,
        "TrailingStop": position.trailing_stop,
    }
    assert [name for name, value in left.items() if value is None] == [kind]
    long.place(LINEAR, Side.BUY, "0.1")
    assert set(waiting(long)) == {"TakeProfit", "StopLoss", "TrailingStop"} - {kind}


def test_a_stop_that_the_book_can_not_fill_is_made_again(long: Account) -> None:
    stop(long, stop_loss=Exit(D(49_000)))
    first = waiting(long)["StopLoss"].order_id
    long.market.set_depth(0.0002)
    long.tick(LINEAR, "49000")
    left = long.state.positions["BTCUSDT"].size
    assert D(0) < left < D("0.3")
    (again,) = long.state.orders.values()
    assert (again.stop_order_type, again.qty, again.order_id == first) == ("StopLoss", left, False)
    long.market.set_depth(2.0)
    long.tick(LINEAR, "48999")
    assert long.state.positions["BTCUSDT"].size == 0
