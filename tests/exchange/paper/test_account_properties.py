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
    CancelAll,
    CancelOrder,
    Command,
    Deposit,
    PlaceOrder,
    SetLeverage,
    SetStopLoss,
)
from exchange.paper.core.events import Event, Executed, Logged, OrderChanged
from exchange.paper.core.model import OrderFilter
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
prices = st.integers(300_000, 700_000).map(lambda n: D(n) / 10)
links = st.integers(0, 30).map(lambda n: f"link-{n}" if n else "")


@dataclass(frozen=True)
class Traded:
    """A tick to be."""

    category: Category
    symbol: str
    price: Decimal


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
    order_filter=st.sampled_from([OrderFilter.ORDER, OrderFilter.ORDER, OrderFilter.STOP_ORDER]),
    trigger_price=st.none() | prices,
    trigger_direction=st.integers(0, 2),
    reduce_only=st.booleans(),
    stop_loss=st.none() | prices,
)
entries = st.builds(
    PlaceOrder,
    at=st.just(START),
    category=st.just(Category.LINEAR),
    symbol=symbols,
    side=st.sampled_from(list(Side)),
    order_type=st.just("Market"),
    qty=quantities,
    stop_loss=st.none() | prices,
)
steps = st.one_of(
    places,
    entries,
    entries,
    st.builds(CancelOrder, at=st.just(START), category=categories, symbol=symbols, link_id=links),
    st.builds(CancelAll, at=st.just(START), category=categories, symbol=st.none() | symbols),
    st.builds(SetLeverage, at=st.just(START), symbol=symbols, leverage=st.integers(1, 120).map(D)),
    st.builds(SetStopLoss, at=st.just(START), symbol=symbols, stop_loss=st.just(D(0)) | prices),
    st.builds(Traded, category=categories, symbol=symbols, price=prices),
    st.builds(Traded, category=categories, symbol=symbols, price=prices),
)


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


def step(state: AccountState, market: FixedMarket, what: Command | Traded, now: datetime) -> list[Event]:
    """Do one step; a refused one is checked to have changed nothing."""
    if isinstance(what, Traded):
        market.set_price(what.category, what.symbol, what.price)
        tick = Tick(what.category, what.symbol, now, what.price, D(1), Side.BUY, 0)
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
def test_books_balance_after_every_step(script: list[Command | Traded]) -> None:
    state, market, told = opened()
    for number, what in enumerate(script):
        told.events += step(state, market, what, START + timedelta(seconds=number))
        checked = audit(state, market, told.executions, told.rows)
        assert checked.ok, checked.problems
        assert all(position.size >= 0 for position in state.positions.values())
        assert all(state.balance(coin) >= 0 for coin in ("BTC", "ETH"))


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_every_order_tells_what_its_executions_add_up_to(script: list[Command | Traded]) -> None:
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
def test_a_position_with_a_stop_loss_has_one_stop_order_of_its_size(script: list[Command | Traded]) -> None:
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
                wanted = (position.stop_order_id, position.size, position.stop_loss, position.side.opposite)
                assert [(o.order_id, o.qty, o.trigger_price, o.side) for o in stops] == [wanted]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_same_script_gives_the_same_events(script: list[Command | Traded]) -> None:
    runs = []
    for _ in range(2):
        state, market, told = opened()
        for number, what in enumerate(script):
            told.events += step(state, market, what, START + timedelta(seconds=number))
        runs.append((state, told.events))
    assert runs[0] == runs[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=25))
def test_the_journal_gives_the_state_back(script: list[Command | Traded]) -> None:
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
