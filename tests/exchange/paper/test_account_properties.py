"""Whatever is asked of an account, its books balance, refusals leave no trace, and the journal brings it back."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.core.account import apply, apply_tick
from exchange.paper.core.audit import audit
from exchange.paper.core.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    Deposit,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
)
from exchange.paper.core.events import Event, Executed, Logged, OrderChanged
from exchange.paper.core.locks import locked
from exchange.paper.core.model import Exit, OrderFilter
from exchange.paper.core.refusal import Refusal
from exchange.paper.core.state import AccountState
from exchange.paper.feed import Tick
from exchange.paper.history import History
from exchange.paper.journal import Journal
from tests.exchange.paper.account_market import START, FixedMarket

D = Decimal
SYMBOLS = ("BTCUSDT", "ETHUSDT")

categories = st.sampled_from(list(Category))
symbols = st.sampled_from(SYMBOLS)
quantities = st.integers(1, 4000).map(lambda n: D(n) / 1000)
prices = st.integers(450_000, 550_000).map(lambda n: D(n) / 10) | st.integers(300_000, 700_000).map(lambda n: D(n) / 10)
links = st.integers(0, 30).map(lambda n: f"link-{n}" if n else "")


@dataclass(frozen=True)
class Traded:
    """A tick to be."""

    category: Category
    symbol: str
    price: Decimal
    qty: Decimal = Decimal(1)


@dataclass(frozen=True)
class Meant:
    """An amendment of the open order of this number, or its cancellation when nothing would change."""

    number: int
    changes: dict[str, Any]

    def command(self, state: AccountState) -> Command | None:
        if not state.orders:
            return None
        order = list(state.orders.values())[self.number % len(state.orders)]
        if not self.changes:
            return CancelOrder(START, order.category, order.symbol, order_id=order.order_id)
        return AmendOrder(START, order.category, order.symbol, order_id=order.order_id, **self.changes)


trigger_bys = st.sampled_from(["LastPrice", "LastPrice", "MarkPrice", "IndexPrice"])
exits = st.none() | st.builds(Exit, prices, trigger_bys, st.none() | prices)
places = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=categories,
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Market"),
    qty=quantities | st.integers(5, 200_000).map(D),
    link_id=links,
    market_unit=st.sampled_from(["", "", "baseCoin", "quoteCoin"]),
    order_filter=st.sampled_from([OrderFilter.ORDER, *OrderFilter]),
    trigger_price=st.none() | prices,
    trigger_direction=st.integers(0, 2),
    trigger_by=trigger_bys,
    reduce_only=st.booleans(),
    stop_loss=st.none() | st.builds(Exit, prices),
)
limits = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=categories,
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Limit"),
    qty=quantities,
    price=prices,
    time_in_force=st.sampled_from(["", "GTC", "IOC", "FOK", "PostOnly"]),
    link_id=links,
    reduce_only=st.sampled_from([False, False, True]),
    take_profit=exits,
    stop_loss=exits,
    tpsl_mode=st.sampled_from(["", "Full", "Partial"]),
)
resting = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=categories,
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Limit"),
    qty=quantities,
    price=prices,
    link_id=links,
)
waiting_limits = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=st.just(Category.SPOT),
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Limit"),
    qty=quantities,
    price=prices,
    link_id=links,
    order_filter=st.sampled_from([OrderFilter.STOP_ORDER, OrderFilter.TPSL_ORDER]),
    trigger_price=prices,
)
moves = st.builds(
    Meant,
    number=st.integers(0, 20),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "qty": quantities,
            "price": prices,
            "trigger_price": prices,
            "stop_loss_price": prices | st.just(D(0)),
        },
    ),
)
entries = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=st.just(Category.LINEAR),
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Market"),
    qty=quantities,
    stop_loss=st.none() | st.builds(Exit, prices),
)
steps = st.one_of(
    places,
    entries,
    entries,
    limits,
    resting,
    resting,
    waiting_limits,
    resting,
    moves,
    moves,
    st.builds(CancelOrder, at=st.just(START), category=categories, symbol=symbols, link_id=links),
    st.builds(CancelAll, at=st.just(START), category=categories, symbol=st.none() | symbols),
    st.builds(SetLeverage, at=st.just(START), symbol=symbols, leverage=st.integers(1, 120).map(D)),
    st.builds(SetTradingStop, at=st.just(START), symbol=symbols, stop_loss=st.builds(Exit, st.just(D(0)) | prices)),
    st.builds(Traded, category=categories, symbol=symbols, price=prices),
    st.builds(Traded, category=categories, symbol=symbols, price=prices, qty=quantities),
)

Step = Command | Traded | Meant


@dataclass
class Told:
    """Everything the events of a run told."""

    events: list[Event] = field(default_factory=list)

    @property
    def executions(self) -> list[Any]:
        return [e.execution for e in self.events if isinstance(e, Executed)]

    @property
    def rows(self) -> list[Any]:
        return [e.row for e in self.events if isinstance(e, Logged)]


def step(state: AccountState, market: FixedMarket, what: Step, now: datetime) -> list[Event]:
    """Do one step; a refused one is checked to have changed nothing."""
    if isinstance(what, Meant):
        command = what.command(state)
        return [] if command is None else step(state, market, command, now)
    if isinstance(what, Traded):
        market.set_price(what.category, what.symbol, what.price)
        tick = Tick(what.category, what.symbol, now, what.price, what.qty, Side.BUY, 0)
        return apply_tick(state, market, tick)
    before = state.copy()
    try:
        return apply(state, market, what).events
    except Refusal:
        assert state == before
        return []


def opened() -> tuple[AccountState, FixedMarket, Told]:
    state, market = AccountState(id_seed="property"), FixedMarket()
    return state, market, Told(apply(state, market, Deposit(START, "USDT", D(250_000))).events)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_books_balance_after_every_step(script: list[Step]) -> None:
    state, market, told = opened()
    for number, what in enumerate(script):
        told.events += step(state, market, what, START + timedelta(seconds=number))
        checked = audit(state, market, told.executions, told.rows)
        assert checked.ok, checked.problems
        assert all(position.size >= 0 for position in state.positions.values())
        assert all(state.balance(coin) >= 0 for coin in ("BTC", "ETH"))


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_every_order_tells_what_its_executions_add_up_to(script: list[Step]) -> None:
    state, market, told = opened()
    for number, what in enumerate(script):
        told.events += step(state, market, what, START + timedelta(seconds=number))
    filled: defaultdict[str, Decimal] = defaultdict(Decimal)
    value: defaultdict[str, Decimal] = defaultdict(Decimal)
    for fill in told.executions:
        filled[fill.order_id] += fill.qty
        value[fill.order_id] += fill.value
    last = {e.order.order_id: e.order for e in told.events if isinstance(e, OrderChanged)}
    assert set(filled) <= set(last)
    for order in last.values():
        assert (order.filled_qty, order.filled_value) == (filled[order.order_id], value[order.order_id])
        assert order.in_quote or order.filled_qty <= order.qty
    assert {o.order_id: o for o in last.values() if o.is_open} == state.orders


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_a_position_with_a_stop_loss_has_one_stop_order_of_its_size(script: list[Step]) -> None:
    state, market, _ = opened()
    for number, what in enumerate(script):
        step(state, market, what, START + timedelta(seconds=number))
        for position in state.positions.values():
            stops = [
                o for o in state.orders.values() if o.stop_order_type == "StopLoss" and o.symbol == position.symbol
            ]
            if position.stop_loss is None:
                assert stops == []
            else:
                assert position.side is not None
                wanted = (
                    position.stop_order_id,
                    position.size,
                    position.stop_loss.trigger_price,
                    position.side.opposite,
                )
                assert [(o.order_id, o.qty, o.trigger_price, o.side) for o in stops] == [wanted]


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_spot_orders_never_lock_a_coin_the_account_does_not_have(script: list[Step]) -> None:
    state, market, _ = opened()
    for number, what in enumerate(script):
        if isinstance(what, PlaceOrder | SetLeverage | SetTradingStop) and getattr(what, "category", None) != "spot":
            continue  # what a perpetual loses is paid from the coin that buys lock
        step(state, market, what, START + timedelta(seconds=number))
        for coin in ("USDT", "BTC", "ETH"):
            assert 0 <= locked(state, coin) <= state.balance(coin)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_a_maker_fills_at_its_own_price_and_all_of_them_no_more_than_was_traded(script: list[Step]) -> None:
    state, market, _ = opened()
    for number, what in enumerate(script):
        before = {o.order_id: o.snapshot() for o in state.orders.values()}
        events = step(state, market, what, START + timedelta(seconds=number))
        makers = [e.execution for e in events if isinstance(e, Executed) and e.execution.is_maker]
        if not isinstance(what, Traded):
            assert not makers
            continue
        assert sum((fill.qty for fill in makers), D(0)) <= what.qty
        for fill in makers:
            order = before[fill.order_id]
            assert fill.price == order.price
            assert what.price < fill.price if fill.side is Side.BUY else what.price > fill.price
            assert fill.qty <= order.left


@settings(max_examples=100, deadline=None)
@given(categories, st.sampled_from(list(Side)), st.integers(2, 60_000), st.integers(1, 59_999))
def test_splitting_an_order_in_one_instant_saves_nothing(category: Category, side: Side, qty: int, part: int) -> None:
    pieces = [D(min(part, qty - 1)) / 1000, D(qty - min(part, qty - 1)) / 1000]

    def cost(sizes: list[Decimal]) -> Decimal:
        state, market, _ = opened()
        for coin, amount in (("USDT", D(10**8)), ("BTC", D(1000))):
            apply(state, market, Deposit(START, coin, amount))
        unit = "baseCoin" if category is Category.SPOT else ""
        fills = [
            e.execution
            for size in sizes
            for e in apply(
                state, market, PlaceOrder(START, category, "BTCUSDT", side, "Market", size, market_unit=unit)
            ).events
            if isinstance(e, Executed)
        ]
        assert sum(fill.qty for fill in fills) == D(qty) / 1000
        return sum((fill.value for fill in fills), D(0)) * (1 if side is Side.BUY else -1)

    assert cost(pieces) >= cost([D(qty) / 1000])


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_same_script_gives_the_same_events(script: list[Step]) -> None:
    runs = []
    for _ in range(2):
        state, market, told = opened()
        for number, what in enumerate(script):
            told.events += step(state, market, what, START + timedelta(seconds=number))
        runs.append((state, told.events))
    assert runs[0] == runs[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_journal_gives_the_state_back(script: list[Step]) -> None:
    async def check(directory: Path) -> None:
        state, market, told = opened()
        journal = Journal(directory, "market-1")
        await journal.append(state, START, told.events)
        now = START
        for number, what in enumerate(script):
            now = START + timedelta(seconds=number)
            events = step(state, market, what, now)
            told.events += events
            journal.append(state, now, events)
        await journal.close()
        again = Journal(directory, "market-1")
        loaded = again.load()
        history = History(again.read)
        stored = list(history.every_execution()), list(history.every_log_row())
        await again.close()
        assert loaded is not None
        assert loaded == (state, now)
        assert loaded[0].watched == state.watched
        assert stored == (told.executions, told.rows)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory)))
