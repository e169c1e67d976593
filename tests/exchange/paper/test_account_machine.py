"""Thousands of random commands against an account reckoned independently, with restarts in between."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.market import Category, Side
from exchange.paper.core.account import apply
from exchange.paper.core.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Deposit,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
    Transfer,
)
from exchange.paper.core.events import Event
from exchange.paper.core.funding import settle
from exchange.paper.core.liquidation import liquidate_if_due
from exchange.paper.core.model import Exit, Order, OrderFilter, OrderStatus
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.state import AccountState
from exchange.paper.core.ticking import apply_tick
from exchange.paper.core.wallet import available
from exchange.paper.feed import Tick
from exchange.paper.history import History
from exchange.paper.journal import Journal
from tests.exchange.paper.account_market import START, FixedMarket
from tests.exchange.paper.account_model import AccountModel
from tests.support.scale import at_scale

D = Decimal
EPOCH = "machine-1"
DEPOSITS = {"USDT": D(250_000), "BTC": D(2)}
SYMBOLS = ("BTCUSDT", "ETHUSDT")

symbols = st.sampled_from(SYMBOLS)
categories = st.sampled_from(list(Category))
sides = st.sampled_from(list(Side))
quantities = st.integers(1, 3000).map(lambda n: D(n) / 1000)
offsets = st.integers(-400, 400)  # tenths of a percent around the last price


class AccountMachine(RuleBasedStateMachine):
    """Commands and trades of a market that wanders; after each, the model and the account must agree."""

    commands: ClassVar[int] = 0

    @initialize()
    def open_account(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="account-machine-"))
        self.market = FixedMarket(SYMBOLS, per_bp=1.0)
        self.now = START
        self.state = AccountState(id_seed="machine")
        self.model = AccountModel(dict(DEPOSITS))
        self.links = 0
        self.journal = self.loop.run_until_complete(self._open_journal())
        for coin, amount in DEPOSITS.items():
            self._do(Deposit(self.now, coin, amount))

    async def _open_journal(self) -> Journal:
        return Journal(self.directory, EPOCH)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.loop.run_until_complete(self.journal.close())
            self.loop.close()
            shutil.rmtree(self.directory)

    # what is done

    @rule(category=categories, symbol=symbols, side=sides, qty=quantities, reduces=st.booleans())
    def market_order(self, category: Category, symbol: str, side: Side, qty: Decimal, reduces: bool) -> None:
        unit = "baseCoin" if category is Category.SPOT else ""
        reduces = reduces and category is Category.LINEAR
        self._place(category, symbol, side, "Market", qty, market_unit=unit, reduce_only=reduces)

    @rule(symbol=symbols, amount=st.integers(5, 40_000).map(D))
    def spot_purchase_by_value(self, symbol: str, amount: Decimal) -> None:
        self._place(Category.SPOT, symbol, Side.BUY, "Market", amount, market_unit="quoteCoin")

    @rule(
        category=categories,
        symbol=symbols,
        side=sides,
        qty=quantities,
        offset=offsets,
        force=st.sampled_from(["GTC", "GTC", "GTC", "IOC", "FOK", "PostOnly"]),
        reduces=st.booleans(),
    )
    def limit_order(
        self, category: Category, symbol: str, side: Side, qty: Decimal, offset: int, force: str, reduces: bool
    ) -> None:
        price = self._price(category, symbol, offset)
        reduces = reduces and category is Category.LINEAR
        self._place(category, symbol, side, "Limit", qty, price=price, time_in_force=force, reduce_only=reduces)

    @rule(
        symbol=symbols,
        side=sides,
        qty=quantities,
        stop=offsets,
        profit=offsets,
        mode=st.sampled_from(["Full", "Partial"]),
    )
    def protected_entry(self, symbol: str, side: Side, qty: Decimal, stop: int, profit: int, mode: str) -> None:
        self._place(
            Category.LINEAR,
            symbol,
            side,
            "Market",
            qty,
            stop_loss=Exit(self._price(Category.LINEAR, symbol, stop)),
            take_profit=Exit(self._price(Category.LINEAR, symbol, profit)),
            tpsl_mode=mode,
        )

    @rule(
        category=categories,
        symbol=symbols,
        side=sides,
        qty=quantities,
        offset=offsets,
        limit=st.none() | offsets,
        kind=st.sampled_from([OrderFilter.STOP_ORDER, OrderFilter.TPSL_ORDER]),
    )
    def conditional_order(
        self,
        category: Category,
        symbol: str,
        side: Side,
        qty: Decimal,
        offset: int,
        limit: int | None,
        kind: OrderFilter,
    ) -> None:
        trigger = self._price(category, symbol, offset)
        last = self.market.last_price(category, symbol, self.now)
        spot = category is Category.SPOT
        self._place(
            category,
            symbol,
            side,
            "Market" if limit is None else "Limit",
            qty,
            price=None if limit is None else self._price(category, symbol, limit),
            market_unit="baseCoin" if spot and limit is None else "",
            order_filter=kind if spot else OrderFilter.STOP_ORDER,
            trigger_price=trigger,
            trigger_direction=0 if spot else (1 if trigger > last else 2),
        )

    @rule(category=categories, symbol=symbols, side=sides, qty=quantities, ticks=st.integers(1, 15))
    def limit_order_that_rests(self, category: Category, symbol: str, side: Side, qty: Decimal, ticks: int) -> None:
        offset = -ticks if side is Side.BUY else ticks
        self._place(category, symbol, side, "Limit", qty, price=self._price(category, symbol, offset))

    @rule(symbol=symbols, side=sides, coins=st.integers(5, 40), leverage=st.integers(10, 50))
    def entry_on_margin(self, symbol: str, side: Side, coins: int, leverage: int) -> None:
        self._do(SetLeverage(self.now, symbol, D(leverage)))
        self._place(Category.LINEAR, symbol, side, "Market", D(coins))

    @rule(which=st.integers(0, 50), qty=st.none() | quantities, offset=st.none() | offsets)
    def amend(self, which: int, qty: Decimal | None, offset: int | None) -> None:
        order = self._open_order(which)
        if order is None:
            return
        price = None if offset is None else self._price(order.category, order.symbol, offset)
        waits = order.status is OrderStatus.UNTRIGGERED
        self._do(
            AmendOrder(
                self.now,
                order.category,
                order.symbol,
                order_id=order.order_id,
                qty=qty,
                price=None if waits else price,
                trigger_price=price if waits else None,
            )
        )

    @rule(which=st.integers(0, 50))
    def cancel(self, which: int) -> None:
        order = self._open_order(which)
        if order is not None:
            self._do(CancelOrder(self.now, order.category, order.symbol, order_id=order.order_id))
            assert order.order_id not in self.state.orders

    @rule(category=categories, symbol=st.none() | symbols, seldom=st.integers(0, 9))
    def cancel_all(self, category: Category, symbol: str | None, seldom: int) -> None:
        if seldom == 9:
            self._do(CancelAll(self.now, category, symbol))

    @rule(symbol=symbols, leverage=st.integers(1, 60).map(D))
    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        self._do(SetLeverage(self.now, symbol, leverage))

    @rule(
        symbol=symbols, stop=st.none() | offsets, profit=st.none() | offsets, trailing=st.none() | st.integers(0, 300)
    )
    def set_trading_stop(self, symbol: str, stop: int | None, profit: int | None, trailing: int | None) -> None:
        self._do(
            SetTradingStop(
                self.now,
                symbol,
                stop_loss=None if stop is None else Exit(self._price(Category.LINEAR, symbol, stop)),
                take_profit=None if profit is None else Exit(self._price(Category.LINEAR, symbol, profit)),
                trailing_stop=None if trailing is None else D(trailing) * 10,
            )
        )

    @rule(coin=st.sampled_from(["USDT", "BTC"]), thousandths=st.integers(1, 300), out=st.booleans())
    def transfer(self, coin: str, thousandths: int, out: bool) -> None:
        self.links += 1
        amount = DEPOSITS[coin] * thousandths / 1000
        self._do(Transfer(self.now, f"transfer-{self.links}", coin, amount, to_funding=out))

    # what happens

    @rule(symbol=symbols, offset=st.integers(-60, 60), category=categories, lots=st.integers(1, 4000))
    def trade(self, symbol: str, offset: int, category: Category, lots: int) -> None:
        self._tick(category, symbol, self._price(category, symbol, offset), D(lots) / 1000)

    @rule(symbol=symbols, category=categories, offsets=st.lists(st.integers(-25, 25), min_size=2, max_size=6))
    def several_trades(self, symbol: str, category: Category, offsets: list[int]) -> None:
        for offset in offsets:
            self._tick(category, symbol, self._price(category, symbol, offset), D("0.4"))

    @rule(symbol=symbols, offset=st.integers(-350, 350), seldom=st.integers(0, 3))
    def crash_or_rally(self, symbol: str, offset: int, seldom: int) -> None:
        for category in Category if seldom == 3 else ():
            self._tick(category, symbol, self._price(category, symbol, offset), D(5))

    @rule(rate=st.integers(-50, 50))
    def funding(self, rate: int) -> None:
        self.market.rate = D(rate) / 10_000
        self._hear(settle(self.state, self.market, self.now))

    @precondition(lambda self: hasattr(self, "journal"))
    @rule()
    def restart(self) -> None:
        """The exchange ends and comes back: what is on disk is all there was."""

        async def again() -> None:
            await self.journal.close()
            self.journal = Journal(self.directory, EPOCH)

        self.loop.run_until_complete(again())
        loaded = self.journal.load()
        assert loaded is not None
        assert loaded[0] == self.state
        self.state = loaded[0]
        history = History(self.journal.read)
        assert list(history.every_execution()) == self.model.executions
        assert list(history.every_log_row()) == self.model.rows

    # what must hold

    @invariant()
    def the_books_agree(self) -> None:
        if hasattr(self, "model"):
            AccountMachine.commands += 1
            self.model.agree(self.state)

    @invariant()
    def nothing_is_spent_twice(self) -> None:
        if not hasattr(self, "model"):
            return
        for coin in ("BTC", "ETH"):
            held, locked = self.state.balance(coin), self.model.locked(coin)
            assert 0 <= locked <= held, f"{coin}: {locked} locked of {held}"
            assert available(self.state, self.market, coin, self.now) == held - locked

    @invariant()
    def the_exits_of_a_position_cover_it(self) -> None:
        for position in self.state.positions.values() if hasattr(self, "model") else ():
            own = [
                o for o in self.state.orders.values() if o.symbol == position.symbol and o.category is Category.LINEAR
            ]
            for kind, wanted in (("StopLoss", position.stop_loss), ("TakeProfit", position.take_profit)):
                found = [(o.left, o.trigger_price, o.side) for o in own if o.stop_order_type == kind]
                if wanted is None or position.side is None:
                    assert found == [], f"{position.symbol}: {kind} without reason: {found}"
                else:
                    assert found == [(position.size, wanted.trigger_price, position.side.opposite)]

    # how

    def _place(self, category: Category, symbol: str, side: Side, kind: str, qty: Decimal, **more: object) -> None:
        self.links += 1
        link = f"m-{self.links}"
        command = PlaceOrder(self.now, category, symbol, side, kind, qty, link_id=link, **more)  # type: ignore[arg-type]
        if self._do(command):
            with pytest.raises(Refusal) as refused:
                apply(self.state, self.market, command)
            assert refused.value.code in (110072, 170141), "an orderLinkId is used once"

    def _do(self, command: Command) -> bool:
        self.now += timedelta(seconds=1)
        before = self.state.copy()
        try:
            events = apply(self.state, self.market, command).events
        except Refusal:
            assert self.state == before, "a refusal changes nothing"
            return False
        self._hear(events)
        return True

    def _tick(self, category: Category, symbol: str, price: Decimal, qty: Decimal) -> None:
        self.now += timedelta(seconds=1)
        self.market.set_price(category, symbol, price)
        resting = [o for o in self.state.orders.values() if self._rests(o, category, symbol)]
        through = [o for o in resting if self._is_through(o, price)]
        limits = {o.order_id: o.price for o in resting}
        events = apply_tick(self.state, self.market, Tick(category, symbol, self.now, price, qty, Side.BUY, 0))
        fills = self._hear(events)
        made = [f for f in fills if f.is_maker and f.order_id in limits]
        for fill in made:
            assert fill.price == limits[fill.order_id]
            assert fill.order_id in {o.order_id for o in through}, "only what was traded through is filled"
        used = sum((f.qty for f in made), D(0))
        assert used <= qty, f"{used} filled by a trade of {qty}"
        left = [o for o in through if o.order_id in self.state.orders and self._is_through(o, price)]
        assert not left or used == qty, "what is traded through fills while there is volume"
        self._hear(liquidate_if_due(self.state, self.market, self.now))

    def _rests(self, order: Order, category: Category, symbol: str) -> bool:
        resting = order.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)
        return resting and order.category is category and order.symbol == symbol

    def _is_through(self, order: Order, price: Decimal) -> bool:
        assert order.price is not None
        return price < order.price if order.side is Side.BUY else price > order.price

    def _hear(self, events: list[Event]) -> list:
        fills = self.model.hear(events)
        self.journal.append(self.state, self.now, events)
        return fills

    def _price(self, category: Category, symbol: str, offset: int) -> Decimal:
        last = self.market.last_price(category, symbol, self.now)
        instrument = self.market.instrument(category, symbol)
        assert instrument is not None
        price = instrument.round_price(last * (1000 + offset) / 1000)
        return min(max(price, D(1_000)), D(900_000))

    def _open_order(self, which: int) -> Order | None:
        orders = list(self.state.orders.values())
        return orders[which % len(orders)] if orders else None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_commands_leave_books_that_agree_to_the_last_digit() -> None:
    wanted = settings(
        max_examples=at_scale(50, 150),
        stateful_step_count=100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    AccountMachine.commands = 0
    run_state_machine_as_test(AccountMachine, settings=wanted)
    assert AccountMachine.commands >= at_scale(3_000, 10_000)
