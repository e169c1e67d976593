"""Liquidation, by figures worked out by hand: prices are 50,000, a basis point holds 2 coins, half a spread is one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from domain.market import Category, Side
from exchange.paper.core.audit import audit
from exchange.paper.core.commands import Deposit, PlaceOrder, SetLeverage, SetTradingStop
from exchange.paper.core.events import Event, Executed, Logged, OrderChanged, PnlClosed
from exchange.paper.core.liquidation import LiquidationWatch, liquidate_if_due
from exchange.paper.core.margin import liquidation_price, margin_balance, total_maintenance
from exchange.paper.core.model import Exit, OrderStatus
from exchange.paper.feed import Tick
from tests.exchange.paper.account_case import Account
from tests.exchange.paper.account_market import START, ListedFeed
from tests.exchange.paper.test_account_venue import venue_at

D = Decimal
LINEAR, SPOT = Category.LINEAR, Category.SPOT
TAKER = D("0.00055")


class Books:
    """An account whose every event is kept, to be audited."""

    def __init__(self) -> None:
        self.account = Account()
        self.told: list[Event] = list(self.account.events)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            self.did(self.account.do(SetLeverage(START, symbol, D(10))))

    def did(self, events: list[Event]) -> list[Event]:
        self.told += events
        return events

    def open(self, side: Side, qty: str, symbol: str = "BTCUSDT", **more: object) -> None:
        self.account.place(LINEAR, side, qty, symbol=symbol, **more)
        self.did(self.account.events)

    def mark(self, symbol: str, price: str) -> list[Event]:
        """The perpetual comes to trade, and to be marked, at this price; what is liquidated."""
        self.account.market.set_price(LINEAR, symbol, D(price))
        return self.did(liquidate_if_due(self.account.state, self.account.market, self.account.now))

    def check(self) -> None:
        fills = [e.execution for e in self.told if isinstance(e, Executed)]
        rows = [e.row for e in self.told if isinstance(e, Logged)]
        closed = [e.closed for e in self.told if isinstance(e, PnlClosed)]
        checked = audit(self.account.state, self.account.market, fills, rows, closed)
        assert checked.ok, checked.problems


def busts(events: list[Event]) -> list[tuple[str, Decimal, Decimal]]:
    """(symbol, price, quantity) of forced fills."""
    found = [e.execution for e in events if isinstance(e, Executed)]
    assert {fill.exec_type for fill in found} <= {"BustTrade"}
    return [(fill.symbol, fill.price, fill.qty) for fill in found]


def test_a_long_is_closed_at_the_first_price_that_no_longer_covers_its_maintenance() -> None:
    books = Books()
    books.open(Side.BUY, "14")  # 2 at 50,005, 4 at 50,010, 8 at 50,020
    cost = D(700_210)
    wallet = D(100_000) - cost * TAKER
    assert books.account.state.balance("USDT") == wallet
    # wallet + 14 p - cost = 14 p (0.005 + 0.00055)
    exact = (cost - wallet) / (14 * (1 - D("0.00555")))
    position = books.account.state.positions["BTCUSDT"]
    told = liquidation_price(books.account.state, books.account.market, position, START)
    assert told == exact
    assert D("43139.07") < exact < D("43139.08")
    assert books.mark("BTCUSDT", "43139.1") == []
    events = books.mark("BTCUSDT", "43139")
    sold = [D("43134.6") * 2, D("43130.3") * 4, D("43121.7") * 8]
    assert busts(events) == [
        ("BTCUSDT", D("43134.6"), D(2)),
        ("BTCUSDT", D("43130.3"), D(4)),
        ("BTCUSDT", D("43121.7"), D(8)),
    ]
    orders = [e.order for e in events if isinstance(e, OrderChanged)]
    assert [(o.create_type, o.status, o.reduce_only) for o in orders] == [("CreateByLiq", OrderStatus.FILLED, True)]
    assert {e.row.type for e in events if isinstance(e, Logged)} == {"LIQUIDATION"}
    assert books.account.state.balance("USDT") == wallet - cost + sum(sold) * (1 - TAKER)
    books.check()


def test_a_short_is_closed_at_its_own_price_above() -> None:
    books = Books()
    books.open(Side.SELL, "2")
    books.open(Side.SELL, "10")
    state, market = books.account.state, books.account.market
    position = state.positions["BTCUSDT"]
    exact = (position.cost + state.balance("USDT")) / (12 * (1 + D("0.00555")))
    assert liquidation_price(state, market, position, START) == exact
    below = exact.quantize(D("0.1"), "ROUND_FLOOR")
    assert books.mark("BTCUSDT", str(below)) == []
    assert margin_balance(state, market, START) > total_maintenance(state, market, START)
    assert busts(books.mark("BTCUSDT", str(below + D("0.1"))))
    assert position.size == 0
    books.check()


def test_a_debt_is_paid_by_the_insurance_and_leaves_exactly_nothing() -> None:
    books = Books()
    books.open(Side.BUY, "14")
    events = books.mark("BTCUSDT", "40000")
    rows = [e.row for e in events if isinstance(e, Logged)]
    paid = rows[-1]
    assert (paid.type, paid.trade_id, paid.order_id) == ("LIQUIDATION", "", "")
    assert paid.change > 40_000
    assert paid.cash_balance == books.account.state.balance("USDT") == 0
    books.check()


def test_orders_go_first_and_the_largest_loss_goes_before_the_others() -> None:
    books = Books()
    books.open(Side.BUY, "8")
    books.open(Side.BUY, "8", symbol="ETHUSDT")
    books.did(books.account.do(SetTradingStop(START, "ETHUSDT", stop_loss=Exit(D(30_000)))))
    resting = books.account.limit(LINEAR, Side.BUY, "0.1", "40000")
    books.did(books.account.events)
    events = books.mark("BTCUSDT", "37900")
    first = next(e.order for e in events if isinstance(e, OrderChanged))
    assert (first.order_id, first.status, first.cancel_type) == (
        resting.order_id,
        OrderStatus.CANCELLED,
        "CancelAllBeforeLiq",
    )
    assert {symbol for symbol, _, _ in busts(events)} == {"BTCUSDT"}
    kept = books.account.state.positions["ETHUSDT"]
    assert (kept.size, kept.stop_loss) == (D(8), Exit(D(30_000)))
    # what is left holds, and keeps the stop that protects it
    assert [o.stop_order_type for o in books.account.state.orders.values()] == ["StopLoss"]
    assert books.mark("BTCUSDT", "37900") == []
    books.check()


def test_other_coins_stand_behind_a_position_at_their_full_value() -> None:
    books = Books()
    books.did(books.account.do(Deposit(START, "BTC", D(1))))
    books.open(Side.BUY, "14", symbol="ETHUSDT")
    assert books.mark("ETHUSDT", "43139") == []
    books.account.market.set_price(SPOT, "BTCUSDT", D(100))
    assert books.mark("ETHUSDT", "43132") == []  # a coin worth 100 moves the price at which it comes by 7
    books.account.market.set_price(SPOT, "BTCUSDT", D(1))
    assert busts(books.mark("ETHUSDT", "43132"))
    books.check()


def test_what_the_book_can_not_take_is_taken_over_at_the_price_reached() -> None:
    books = Books()
    books.open(Side.BUY, "14")
    books.account.market.set_depth(0.01)
    events = books.mark("BTCUSDT", "43000")
    orders = [e.order for e in events if isinstance(e, OrderChanged)]
    assert [(o.create_type, o.status) for o in orders] == [
        ("CreateByLiq", OrderStatus.CANCELLED),
        ("CreateByTakeOver_PassThrough", OrderStatus.FILLED),
    ]
    done = busts(events)
    assert sum(qty for _, _, qty in done) == 14
    assert done[-1][1] == done[-2][1]
    assert books.account.state.positions["BTCUSDT"].size == 0
    books.check()


def test_the_exits_of_a_liquidated_position_end_with_it() -> None:
    books = Books()
    books.open(Side.BUY, "14", stop_loss=Exit(D(20_000)))
    books.did(books.account.do(SetTradingStop(START, "BTCUSDT", take_profit=Exit(D(90_000)))))
    books.mark("BTCUSDT", "43000")
    assert not books.account.state.orders
    assert books.account.state.positions["BTCUSDT"].stop_loss is None
    books.check()


def traded(books: Books, category: Category, symbol: str, price: str) -> Tick:
    books.account.market.set_price(category, symbol, D(price))
    return Tick(category, symbol, books.account.now, D(price), D(1), Side.BUY, 1)


def test_the_watch_sees_the_trade_that_brings_it_about() -> None:
    books = Books()
    books.open(Side.BUY, "14")
    state, market, watch = books.account.state, books.account.market, LiquidationWatch()
    assert watch.after(state, market, traded(books, LINEAR, "BTCUSDT", "43140")) == []
    assert watch.after(state, market, traded(books, LINEAR, "ETHUSDT", "10")) == []
    assert busts(books.did(watch.after(state, market, traded(books, LINEAR, "BTCUSDT", "43139"))))
    assert watch.after(state, market, traded(books, LINEAR, "BTCUSDT", "40000")) == []
    books.check()


def test_the_watch_sees_a_coin_that_stands_behind_a_position_fall() -> None:
    books = Books()
    books.did(books.account.do(Deposit(START, "BTC", D(1))))
    books.open(Side.BUY, "14", symbol="ETHUSDT")
    state, market, watch = books.account.state, books.account.market, LiquidationWatch()
    assert watch.after(state, market, traded(books, LINEAR, "ETHUSDT", "43132")) == []
    assert watch.after(state, market, traded(books, SPOT, "BTCUSDT", "200")) == []
    assert busts(watch.after(state, market, traded(books, SPOT, "BTCUSDT", "1")))


async def test_the_pump_liquidates_at_the_tick_that_brings_it_about(tmp_path: Path) -> None:
    second = timedelta(seconds=1)
    feed = ListedFeed([(n * second, D(50_000 - 1000 * n)) for n in range(1, 13)])
    async with venue_at(tmp_path, feed, START + second / 2) as venue:
        await venue.submit(lambda at: SetLeverage(at, "BTCUSDT", D(10)))
        await venue.submit(lambda at: PlaceOrder(at, LINEAR, "BTCUSDT", Side.BUY, "Market", D(14)))
    async with venue_at(tmp_path, feed, START + 12 * second) as venue:
        venue.pump()
        await venue.journal.settled()
        forced = [fill for fill in venue.history.every_execution() if fill.exec_type == "BustTrade"]
        assert {fill.at for fill in forced} == {START + 7 * second}  # 43,000 is the first price under 43,139
        assert venue.state.positions["BTCUSDT"].size == 0
        assert venue.state.balance("USDT") > 0
