"""Order books: what is shown adds up to what is met, and deltas lead to what REST tells."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market import Category, Side
from exchange.paper.clock import MarketClockKeeper
from exchange.paper.core.depth import Take, ladder, take_base
from exchange.paper.depth_stream import sequence_of
from exchange.paper.feed import Liquidity, Tick
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.instruments import make_instrument
from exchange.paper.public_ws import PublicHub
from exchange.paper.shown_book import shown_levels
from tests.support.folders import scratch_folder

D = Decimal
START = datetime(2025, 1, 1, tzinfo=UTC)
LINEAR = Category.LINEAR

SYMBOLS = st.sampled_from(["BTCUSDT", "DOGEUSDT", "NEWUSDT"])
DEPTHS = st.builds(Liquidity, st.floats(0, 25), st.floats(1e-4, 1e6))
PRICES = st.decimals(D("0.001"), D(100_000), places=3)


@given(SYMBOLS, st.sampled_from(list(Side)), PRICES, DEPTHS)
def test_the_shown_book_holds_what_market_orders_meet(
    symbol: str, taker: Side, price: Decimal, liquidity: Liquidity
) -> None:
    instrument = make_instrument(LINEAR, symbol, price)
    last = max(instrument.round_price(price), instrument.tick_size)
    bands = list(ladder(instrument, taker, last, liquidity))
    levels = [
        Take(ticks * instrument.tick_size, steps * instrument.qty_step)
        for ticks, steps in shown_levels(instrument, taker, bands)
    ]
    assert all(level.qty >= instrument.qty_step and level.price > 0 for level in levels)
    outwards = [level.price if taker is Side.BUY else -level.price for level in levels]
    assert outwards == sorted(set(outwards))
    for band in [band.price for band in bands[1:]] + [levels[-1].price * (2 if taker is Side.BUY else 0)]:
        assert _before(levels, taker, band) == _before(bands, taker, band)
    assert {band.price for band in bands} <= {level.price for level in levels}


@given(st.sampled_from(list(Side)), DEPTHS, st.floats(0.001, 1))
def test_no_order_pays_more_than_it_was_shown(taker: Side, liquidity: Liquidity, share: float) -> None:
    instrument = make_instrument(LINEAR, "BTCUSDT", D(60_000))
    bands = list(ladder(instrument, taker, D(60_000), liquidity))
    shown = [
        Take(ticks * instrument.tick_size, steps * instrument.qty_step)
        for ticks, steps in shown_levels(instrument, taker, bands)
    ]
    qty = max(instrument.floor_qty(sum((band.qty for band in bands), D(0)) * D(share)), instrument.qty_step)
    paid, told = (sum((t.price * t.qty for t in take_base(book, qty)), D(0)) for book in (bands, shown))
    assert paid <= told if taker is Side.BUY else paid >= told


def _before(levels: Sequence[Take], taker: Side, price: Decimal) -> Decimal:
    """What is to be had at better prices than ``price``."""
    better = [level.qty for level in levels if (level.price < price if taker is Side.BUY else level.price > price)]
    return sum(better, D(0))


class Listener:
    """Takes messages as a socket would, and keeps each topic's book by them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.books: dict[str, dict[str, dict[str, str]]] = {}

    def send(self, message: str) -> None:
        told = orjson.loads(message)
        self.messages.append(told)
        if told["type"] == "snapshot":
            self.books[told["topic"]] = {"b": {}, "a": {}}
        for side in ("b", "a"):
            book = self.books[told["topic"]][side]
            for price, qty in told["data"][side]:
                if qty == "0":
                    del book[price]  # only what is there is ever removed
                else:
                    book[price] = qty

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["topic"] == topic]


class Market:
    """A hub on a manual feed, driven by hand."""

    def __init__(self, folder: Path) -> None:
        self.feed = ManualFeed(folder / "manual.db", {"BTCUSDT": D(60_000), "DOGEUSDT": D("0.2")}, START)
        self.clock = MarketClockKeeper(folder / "clock.json", epoch=self.feed.epoch, start=START, speed=0.001)
        self.hub = PublicHub(self.feed, self.clock)
        self.now = START

    def trade(self, symbol: str, price: Decimal) -> None:
        self.now += timedelta(milliseconds=250)
        ticks: list[Tick] = self.feed.push([PushedTrade(LINEAR, symbol, price)], self.now)
        self.hub.publish(ticks, self.now)

    def listen(self, *topics: str) -> Listener:
        listener = Listener()
        self.hub.join(LINEAR, topics, listener)  # type: ignore[arg-type]
        return listener

    def book(self, symbol: str, depth: int) -> dict[str, dict[str, str]]:
        bids, asks = self.hub.board.book(LINEAR, symbol, self.now, depth)
        return {"b": dict(bids), "a": dict(asks)}

    def close(self) -> None:
        self.clock.close()
        self.feed.close()


def with_market(work: Callable[[Market], Awaitable[None]]) -> None:
    async def whole() -> None:
        with scratch_folder() as folder:
            market = Market(folder)
            try:
                await work(market)
            finally:
                market.close()

    asyncio.run(whole())


ALL_DEPTHS = (1, 50, 200, 500, 1000)
MOVES = st.lists(
    st.tuples(st.sampled_from(["BTCUSDT", "DOGEUSDT"]), st.integers(-40, 40), st.sampled_from(["", "told", "taken"])),
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(MOVES)
def test_deltas_rebuild_the_queried_book_at_every_moment(moves: list[tuple[str, int, str]]) -> None:
    async def work(market: Market) -> None:
        names = [(symbol, depth) for symbol in ("BTCUSDT", "DOGEUSDT") for depth in ALL_DEPTHS]
        listener = market.listen(*(f"orderbook.{depth}.{symbol}" for symbol, depth in names))
        for symbol, ticks, happens in moves:
            instrument = market.hub.board.instruments[LINEAR, symbol]
            last = market.feed.last_price(LINEAR, symbol, market.now)
            market.hub.board.taken = dict
            market.trade(symbol, max(last + ticks * instrument.tick_size, instrument.tick_size))
            if happens == "taken":
                gone = instrument.qty_step * 4321
                market.hub.board.taken = lambda gone=gone, symbol=symbol: {(LINEAR, symbol, Side.BUY): gone}
            if happens:
                market.hub.tell_all()
                for name, depth in names:
                    assert listener.books[f"orderbook.{depth}.{name}"] == market.book(name, depth)
        for symbol, depth in names:
            told = listener.of(f"orderbook.{depth}.{symbol}")
            first, *later = told
            assert (first["type"], first["data"]["u"]) == ("snapshot", 1)
            assert {message["type"] for message in later} <= {"snapshot" if depth == 1 else "delta"}
            assert [message["data"]["u"] for message in told] == list(range(1, len(told) + 1))
            sequences = [message["data"]["seq"] for message in told]
            assert all(earlier <= later for earlier, later in itertools.pairwise(sequences))

    with_market(work)


def test_who_comes_later_begins_with_the_book_that_the_next_change_builds_on() -> None:
    async def work(market: Market) -> None:
        topic = "orderbook.200.BTCUSDT"
        early = market.listen(topic)
        for price in (60_010, 60_020, 60_030):  # the last two wait for their pace
            market.trade("BTCUSDT", D(price))
            await asyncio.sleep(0)  # a turn of the loop, in which the books are told
        late = market.listen(topic)
        assert late.messages[0]["type"] == "snapshot"
        assert late.books == early.books
        assert late.messages[0]["data"]["u"] == early.messages[-1]["data"]["u"]
        market.hub.tell_all()
        assert late.books == early.books == {topic: market.book("BTCUSDT", 200)}
        assert late.messages[1:] == early.messages[-1:]

    with_market(work)


def test_numbers_go_on_from_one_listener_to_the_next_and_rest_tells_the_deepest_ones() -> None:
    async def work(market: Market) -> None:
        topic = "orderbook.1000.BTCUSDT"
        assert market.hub.book_update(LINEAR, "BTCUSDT") == 1
        first = market.listen(topic)
        market.trade("BTCUSDT", D(60_100))
        market.hub.tell_all()
        assert market.hub.book_update(LINEAR, "BTCUSDT") == first.messages[-1]["data"]["u"] == 2
        market.hub.leave(LINEAR, [topic], first)  # type: ignore[arg-type]
        market.trade("BTCUSDT", D(60_200))
        second = market.listen(topic)
        assert (second.messages[0]["type"], second.messages[0]["data"]["u"]) == ("snapshot", 3)
        assert second.messages[0]["data"]["seq"] == sequence_of(market.now)
        assert second.books == {topic: market.book("BTCUSDT", 1000)}

    with_market(work)


def test_what_was_taken_is_not_shown() -> None:
    async def work(market: Market) -> None:
        listener = market.listen("orderbook.50.BTCUSDT")
        before = sum(map(D, market.book("BTCUSDT", 1000)["a"].values()))
        market.hub.board.taken = lambda: {(LINEAR, "BTCUSDT", Side.BUY): D(1)}
        assert before - sum(map(D, market.book("BTCUSDT", 1000)["a"].values())) == 1
        market.hub.publish([], market.now)
        market.hub.tell_all()
        assert listener.books == {"orderbook.50.BTCUSDT": market.book("BTCUSDT", 50)}

    with_market(work)
