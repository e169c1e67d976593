"""Whatever happens to an account - funding, transfers, liquidation - its wallet is the sum of what was told."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.core.account import apply, apply_tick
from exchange.paper.core.audit import audit
from exchange.paper.core.commands import CancelAll, Command, Deposit, PlaceOrder, SetLeverage, SetTradingStop, Transfer
from exchange.paper.core.events import Event, Executed, Logged, PnlClosed
from exchange.paper.core.funding import settle
from exchange.paper.core.liquidation import LiquidationWatch, liquidate_if_due
from exchange.paper.core.margin import margin_balance, total_maintenance
from exchange.paper.core.model import ClosedPnl, Execution, Exit, LogRow, OrderStatus
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.state import AccountState
from exchange.paper.core.stops import EXITS
from exchange.paper.feed import Tick
from exchange.paper.history import History
from exchange.paper.journal import Journal
from tests.exchange.paper.account_market import START, FixedMarket

D = Decimal
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LINEAR = Category.LINEAR

symbols = st.sampled_from(SYMBOLS)
prices = st.integers(400_000, 600_000).map(lambda n: D(n) / 10)
triggers = st.sampled_from(["LastPrice", "LastPrice", "MarkPrice", "IndexPrice"])
whole = st.builds(Exit, prices | st.just(D(0)), trigger_by=triggers)
parts = st.builds(Exit, prices, trigger_by=triggers, qty=st.none() | st.integers(1, 20).map(lambda n: D(n) / 10))


@dataclass(frozen=True)
class Traded:
    category: Category
    symbol: str
    price: Decimal
    qty: Decimal


@dataclass(frozen=True)
class Settled:
    rate: Decimal


Step = Command | Traded | Settled

entries = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=st.just(LINEAR),
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Market"),
    qty=st.integers(1, 500).map(lambda n: D(n) / 10),
    stop_loss=st.none() | st.builds(Exit, prices),
)
stop = {"at": st.just(START), "symbol": symbols}
stops = st.one_of(
    st.builds(SetTradingStop, **stop, take_profit=whole),
    st.builds(SetTradingStop, **stop, stop_loss=whole),
    st.builds(SetTradingStop, **stop, trailing_stop=st.integers(0, 3_000).map(D), active_price=st.none() | prices),
    st.builds(SetTradingStop, **stop, mode=st.just("Partial"), take_profit=parts),
    st.builds(SetTradingStop, **stop, mode=st.just("Partial"), stop_loss=parts),
)
trades = st.builds(Traded, st.sampled_from([LINEAR, LINEAR, Category.SPOT]), symbols, prices, st.integers(1, 30).map(D))
settlements = st.builds(Settled, st.integers(-500_000, 500_000).map(lambda n: D(n) / 100_000_000))
others = st.one_of(
    st.builds(
        PlaceOrder,
        at=st.just(START),
        category=st.just(Category.SPOT),
        symbol=symbols,
        side=st.sampled_from(list(Side)),
        order_type=st.just("Market"),
        qty=st.integers(1, 1_000).map(lambda n: D(n) / 1000),
        market_unit=st.just("baseCoin"),
    ),
    st.builds(
        PlaceOrder,
        at=st.just(START),
        category=st.sampled_from([LINEAR, LINEAR, Category.SPOT]),
        symbol=symbols,
        side=st.sampled_from(list(Side)),
        order_type=st.just("Limit"),
        qty=st.integers(1, 3_000).map(lambda n: D(n) / 1000),
        price=prices,
        reduce_only=st.sampled_from([False, False, True]),
    ),
    st.builds(
        Transfer,
        at=st.just(START),
        transfer_id=st.integers(1, 10).map(str),
        coin=st.sampled_from(["USDT", "BTC"]),
        amount=st.integers(1, 20_000_000).map(lambda n: D(n) / 1000),
        to_funding=st.booleans(),
    ),
    st.builds(CancelAll, at=st.just(START), category=st.sampled_from(list(Category))),
)
steps: st.SearchStrategy[Step] = st.one_of(entries, stops, stops, trades, trades, trades, settlements, others)
# a position to begin with, and enough of everything for it to be closed in every way there is
scripts = st.builds(lambda first, rest: [first, *rest], entries, st.lists(steps, min_size=10, max_size=40))


@dataclass
class Run:
    """An account of 100,000 USDT and 1 BTC at a leverage of 50, and everything it told."""

    state: AccountState = field(default_factory=lambda: AccountState(id_seed="wallet"))
    market: FixedMarket = field(default_factory=FixedMarket)
    events: list[Event] = field(default_factory=list)
    watch: LiquidationWatch = field(default_factory=LiquidationWatch)

    def begin(self) -> None:
        for coin, amount in (("USDT", D(100_000)), ("BTC", D(1))):
            self.events += apply(self.state, self.market, Deposit(START, coin, amount)).events
        for symbol in SYMBOLS:
            self.events += apply(self.state, self.market, SetLeverage(START, symbol, D(50))).events

    def step(self, what: Step, now: datetime) -> list[Event]:
        match what:
            case Traded():
                self.market.set_price(what.category, what.symbol, what.price)
                tick = Tick(what.category, what.symbol, now, what.price, what.qty, Side.BUY, 0)
                told = apply_tick(self.state, self.market, tick)
                told += self.watch.after(self.state, self.market, tick)
            case Settled():
                self.market.rate = what.rate
                told = settle(self.state, self.market, now)
                told += liquidate_if_due(self.state, self.market, now)
            case _:
                told = self._command(what)
        self.events += told
        return told

    def _command(self, what: Command) -> list[Event]:
        before = self.state.copy()
        try:
            return apply(self.state, self.market, what).events
        except Refusal:
            assert self.state == before
            return []

    @property
    def fills(self) -> list[Execution]:
        return [e.execution for e in self.events if isinstance(e, Executed)]

    @property
    def rows(self) -> list[LogRow]:
        return [e.row for e in self.events if isinstance(e, Logged)]

    @property
    def closed(self) -> dict[str, ClosedPnl]:
        return {e.closed.order_id: e.closed for e in self.events if isinstance(e, PnlClosed)}


def played(script: list[Step], after: Callable[[Run, datetime], None]) -> Run:
    """A script played step by step, ``after`` each."""
    run = Run()
    run.begin()
    for number, what in enumerate(script):
        now = START + timedelta(seconds=number)
        run.step(what, now)
        after(run, now)
    return run


def balanced(run: Run, now: datetime) -> None:
    checked = audit(run.state, run.market, run.fills, run.rows, run.closed.values())
    assert checked.ok, checked.problems


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_the_books_balance_to_the_last_digit_after_every_step(script: list[Step]) -> None:
    played(script, balanced)


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_a_wallet_is_its_log_and_its_executions_added_up_by_a_stranger(script: list[Step]) -> None:
    run = played(script, lambda run, now: None)
    log: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in run.rows:
        log[row.coin] += row.change
    assert {c: v for c, v in log.items() if v} == {c: v for c, v in run.state.balances.items() if v}
    # of perpetuals, what was realised is what came in for sales less what went out for purchases, once flat
    if not any(position.size for position in run.state.positions.values()):
        linear = [fill for fill in run.fills if fill.category is LINEAR and fill.exec_type != "Funding"]
        cash = sum(((-1 if f.side is Side.BUY else 1) * f.value - f.fee for f in linear), D(0))
        cash -= sum((f.fee for f in run.fills if f.exec_type == "Funding"), D(0))
        assert cash == sum((p.realised for p in run.state.positions.values()), D(0))


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_a_liquidated_account_holds_again_owes_nothing_and_has_no_orders_but_exits(script: list[Step]) -> None:
    def holds(run: Run, now: datetime) -> None:
        forced = [f for f in run.fills if f.exec_type == "BustTrade" and f.at == now]
        if not forced:
            return
        held = any(position.size for position in run.state.positions.values())
        assert margin_balance(run.state, run.market, now) >= 0
        assert not held or margin_balance(run.state, run.market, now) > total_maintenance(run.state, run.market, now)
        assert {o.stop_order_type for o in run.state.orders.values()} <= EXITS
        assert held or not run.state.orders

    played(script, holds)


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_no_trade_leaves_an_account_under_its_maintenance_margin(script: list[Step]) -> None:
    run = Run()
    run.begin()
    for number, what in enumerate(script):
        now = START + timedelta(seconds=number)
        run.step(what, now)
        if isinstance(what, Traded) and any(position.size for position in run.state.positions.values()):
            assert margin_balance(run.state, run.market, now) > total_maintenance(run.state, run.market, now)


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_the_exits_of_a_position_are_the_orders_that_stand_for_them(script: list[Step]) -> None:
    def stand(run: Run, now: datetime) -> None:
        by_symbol: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for order in run.state.orders.values():
            position = run.state.position(order.symbol)
            if order.stop_order_type in ("TakeProfit", "StopLoss", "TrailingStop"):
                assert order.stop_order_type not in by_symbol[order.symbol]
                by_symbol[order.symbol][order.stop_order_type] = order.order_id
                assert (order.qty, order.side.opposite) == (position.size, position.side)
                assert order.status is OrderStatus.UNTRIGGERED
            elif order.stop_order_type in EXITS:
                assert order.side.opposite is position.side
        for position in run.state.positions.values():
            wanted = {
                "TakeProfit": (position.take_profit, position.profit_order_id),
                "StopLoss": (position.stop_loss, position.stop_order_id),
                "TrailingStop": (position.trailing_stop, position.trailing_order_id),
            }
            assert {kind: by_symbol[position.symbol].get(kind, "") for kind in wanted} == {
                kind: order_id for kind, (_, order_id) in wanted.items()
            }
            assert all((value is None) == (order_id == "") for value, order_id in wanted.values())

    played(script, stand)


@settings(max_examples=25, deadline=None)
@given(scripts)
def test_the_journal_gives_back_all_of_it(script: list[Step]) -> None:
    async def check(directory: Path) -> None:
        run = Run()
        run.begin()
        journal = Journal(directory, "wallet-1")
        await journal.append(run.state, START, run.events)
        now = START
        for number, what in enumerate(script):
            now = START + timedelta(seconds=number)
            journal.append(run.state, now, run.step(what, now))
        await journal.close()
        again = Journal(directory, "wallet-1")
        loaded, history = again.load(), History(again.read)
        stored = list(history.every_execution()), list(history.every_log_row()), list(history.every_closed_pnl())
        await again.close()
        assert loaded is not None
        assert loaded == (run.state, now)
        assert stored == (run.fills, run.rows, sorted(run.closed.values(), key=lambda row: row.sequence))
        checked = audit(loaded[0], run.market, *stored)
        assert checked.ok, checked.problems

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory)))
