"""A shadow market over another paper exchange: the same trades and candles, whatever dies on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.candle import to_ms
from domain.market import Category
from exchange.paper.clock import MarketClockKeeper
from exchange.paper.feed import PriceKind, Tick
from exchange.paper.feeds.build import build_feed
from exchange.paper.feeds.shadow import ShadowFeed
from exchange.paper.options import PaperOptions
from tests.exchange.paper.account_client import session
from tests.exchange.paper.market_client import public_session
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.waiting import wait_until

LINEAR, SPOT = Category.LINEAR, Category.SPOT
SYMBOL = "BTCUSDT"
Row = dict[str, Any]


@pytest.fixture
def upstream(scratch: Path) -> Iterator[PaperExchange]:
    """A manual market in wall time: what the shadow takes for the real exchange."""
    folder = scratch / "upstream" / "data"
    folder.mkdir(parents=True)
    now = datetime.now(UTC).isoformat()
    exchange = paper_exchange_process(folder, "--manual", "--symbols", SYMBOL, "--start", now).start()
    yield exchange
    exchange.stop()


@pytest.fixture
def opened(scratch: Path, upstream: PaperExchange) -> Iterator[Callable[[], ShadowFeed]]:
    """Opens the shadow market of ``upstream`` in this process, again and again over the same file."""
    feeds: list[ShadowFeed] = []

    def make() -> ShadowFeed:
        for feed in feeds:
            feed.close()
        feeds.append(ShadowFeed(scratch / "shadow.db", upstream.url, [SYMBOL]))
        return feeds[-1]

    yield make
    for feed in feeds[-1:]:
        feed.close()


class Reader:
    """Takes a feed's ticks on and on, as an exchange does."""

    def __init__(self, feed: ShadowFeed, position: datetime | None = None) -> None:
        self.feed = feed
        self.position = position or feed.start
        self.told: list[Tick] = []

    def read(self) -> list[Tick]:
        now = datetime.now(UTC)
        made = list(self.feed.ticks(self.position, now))
        assert all(self.position < tick.at <= now for tick in made)
        self.position = now
        self.told += made
        return made

    def until(self, price: str) -> None:
        """Read until the perpetual trades at ``price``."""

        def arrived() -> bool:
            self.read()
            return any((tick.category, tick.price) == (LINEAR, Decimal(price)) for tick in self.told)

        wait_until(arrived, f"a trade at {price}")


def push(exchange: PaperExchange, *prices: str, category: str = "linear") -> None:
    exchange.push_ticks([{"category": category, "symbol": SYMBOL, "price": price} for price in prices])


def seen(ticks: list[Tick]) -> list[tuple[Decimal, Decimal, str]]:
    return [(tick.price, tick.qty, tick.side.value) for tick in ticks]


def listed(exchange: PaperExchange, category: str = "linear") -> list[Row]:
    rows = public_session(exchange).get_public_trade_history(category=category, symbol=SYMBOL, limit=60)
    return list(reversed(rows["result"]["list"]))


@pytest.mark.slow
def test_every_trade_is_told_once_and_in_order(upstream: PaperExchange, opened: Callable[[], ShadowFeed]) -> None:
    push(upstream, "59990", "59995")
    reader = Reader(opened())
    assert [str(t.price) for t in reader.feed.recent_ticks(LINEAR, SYMBOL, reader.feed.start, 9)] == ["59990", "59995"]
    for number in range(30):
        push(upstream, str(60_000 + number), str(60_000.5 + number))
        push(upstream, str(60_001 + number), category="spot")
        reader.read()
    wait_until(lambda: reader.read() is not None and len(reader.told) >= 90, "all of both sockets' trades")
    for category in Category:
        told = [tick for tick in reader.told if tick.category is category]
        assert [tick.sequence for tick in told] == list(range(told[0].sequence, told[0].sequence + len(told)))
        rows = listed(upstream, category.value)
        assert seen(told) == [(Decimal(row["price"]), Decimal(row["size"]), row["side"]) for row in rows[-len(told) :]]
    assert [len([t for t in reader.told if t.category is category]) for category in (LINEAR, SPOT)] == [60, 30]
    assert list(reader.feed.ticks(reader.feed.start, reader.position)) == reader.told
    assert [tick.at for tick in reader.told] == sorted(tick.at for tick in reader.told)


@pytest.mark.slow
def test_a_killed_market_goes_on_with_the_same_trades(
    upstream: PaperExchange, opened: Callable[[], ShadowFeed]
) -> None:
    reader = Reader(opened())
    push(upstream, "60001", "60002", "60003")
    reader.until("60003")
    before = list(reader.told)
    push(upstream, "60004", "60005")  # heard by nobody who told it, or by nobody at all
    again = Reader(opened(), reader.position)
    assert again.feed.epoch == reader.feed.epoch
    assert again.feed.start == reader.feed.start
    assert list(again.feed.ticks(reader.feed.start, reader.position)) == before
    push(upstream, "60006")
    again.until("60006")
    assert [str(tick.price) for tick in again.told] == ["60004", "60005", "60006"]
    assert [tick.sequence for tick in again.told] == [before[-1].sequence + n for n in (1, 2, 3)]


@pytest.mark.slow
def test_a_cut_is_filled_with_what_was_missed(upstream: PaperExchange, opened: Callable[[], ShadowFeed]) -> None:
    reader = Reader(opened())
    push(upstream, "60001")
    reader.until("60001")
    upstream.kill()
    reader.read()
    assert reader.feed.last_price(LINEAR, SYMBOL, reader.position) == Decimal(60001)
    assert reader.feed.mark_price(SYMBOL, reader.position) == Decimal(60001)
    assert reader.feed.liquidity(LINEAR, SYMBOL, reader.position).qty_per_bp > 0
    week = reader.feed.bars(LINEAR, SYMBOL, "1h", reader.position - timedelta(days=7), reader.position, reader.position)
    assert all(bar.close in (Decimal(60000), Decimal(60001)) for bar in week)
    upstream.start()
    push(upstream, "60002", "60003")  # most likely before the socket is back
    reader.until("60003")
    assert [str(tick.price) for tick in reader.told if tick.category is LINEAR] == ["60001", "60002", "60003"]


@pytest.mark.slow
def test_candles_are_the_upstreams_before_and_the_trades_own_since(
    upstream: PaperExchange, opened: Callable[[], ShadowFeed]
) -> None:
    push(upstream, "60010", "59980")
    reader = Reader(opened())
    # a trade that is on its way while the minute ends counts in the minute in which it is told
    wait_until(lambda: 1 < datetime.now(UTC).second < 50, "a while before the end of the minute", timeout=20)
    push(upstream, "60050", "60020")
    reader.until("60020")
    now = reader.position
    for timeframe, interval in (("15m", "15"), ("1d", "D"), ("1w", "W")):
        rows = public_session(upstream).get_kline(category="linear", symbol=SYMBOL, interval=interval, limit=40)
        theirs = {int(row[0]): [Decimal(value) for value in row[1:]] for row in rows["result"]["list"]}
        bars = reader.feed.bars(LINEAR, SYMBOL, timeframe, now - timedelta(weeks=60), now, now)[-40:]
        ours = {to_ms(bar.open_time): bar for bar in bars}
        assert set(ours) == set(theirs)
        for at, bar in ours.items():
            assert [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover] == theirs[at]
        assert [bar.confirmed for bar in bars] == [True] * (len(bars) - 1) + [False]


@pytest.mark.slow
def test_a_perpetuals_other_prices_are_the_upstreams(upstream: PaperExchange, opened: Callable[[], ShadowFeed]) -> None:
    reader = Reader(opened())
    push(upstream, "60020")
    push(upstream, "60030.5", category="spot")
    reader.until("60020")
    feed = reader.feed
    wait_until(lambda: feed.index_price(SYMBOL, reader.position) == Decimal("60030.5"), "the index")
    assert feed.mark_price(SYMBOL, reader.position) == feed.index_price(SYMBOL, reader.position)
    now = reader.position
    marks = feed.price_bars(PriceKind.MARK, SYMBOL, "15m", now - timedelta(hours=5), now, now)
    assert len(marks) == 20
    assert [bar.confirmed for bar in marks] == [True] * 19 + [False]
    assert marks[-1].close == Decimal("60030.5")
    assert feed.funding_rate(
        SYMBOL, now + timedelta(hours=8) - (now - now.min.replace(tzinfo=UTC)) % timedelta(hours=8)
    )
    liquidity = feed.liquidity(LINEAR, SYMBOL, now)
    assert liquidity.half_spread_bps == pytest.approx(1.0, abs=0.1)  # a manual market's own
    assert liquidity.qty_per_bp == pytest.approx(100_000 / 60_000, rel=0.3)


@pytest.mark.slow
def test_an_exchange_over_it_trades_through_cuts_and_kills(
    upstream: PaperExchange, paper_exchange: Callable[..., PaperExchange]
) -> None:
    push(upstream, "60000.5")
    shadow = paper_exchange("--shadow", upstream.url, "--symbols", SYMBOL)
    http = session(shadow)
    push(upstream, "60010")
    wait_until(lambda: listed(shadow)[-1]["price"] == "60010", "the trade in the shadow")
    http.place_order(category="linear", symbol=SYMBOL, side="Buy", orderType="Market", qty="0.1", orderLinkId="s-1")
    (fill,) = http.get_executions(category="linear", orderLinkId="s-1")["result"]["list"]
    assert Decimal("60010") < Decimal(fill["execPrice"]) < Decimal("60030")
    asked = {"category": "linear", "symbol": SYMBOL}
    http.place_order(**asked, side="Sell", orderType="Limit", qty="0.1", price="60100", reduceOnly=True)

    upstream.kill()
    upstream.start()
    push(upstream, "60020")
    wait_until(lambda: listed(shadow)[-1]["price"] == "60020", "the trade after the cut", timeout=20)

    shadow.kill()
    push(upstream, "60150", "60120")  # through the resting order, while nobody is there
    shadow.start()
    http = session(shadow)
    wait_until(lambda: listed(shadow)[-1]["price"] == "60120", "the trades after the kill", timeout=20)
    assert [row["size"] for row in http.get_positions(**asked)["result"]["list"]] == ["0"]

    def prices(exchange: PaperExchange) -> list[str]:
        return [row["price"] for row in listed(exchange)]

    assert prices(shadow) == prices(upstream) == ["60000.5", "60010", "60020", "60150", "60120"]
    days = [public_session(each).get_kline(**asked, interval="D", limit=30) for each in (shadow, upstream)]
    prices_of = [[row[:5] for row in day["result"]["list"]] for day in days]
    assert prices_of[0] == prices_of[1]  # not volume: the upstream's time stood still while it was down, ours went on
    clock = shadow.clock()
    assert abs(datetime.fromisoformat(clock["now"]) - datetime.now(UTC)) < timedelta(seconds=5)


def test_its_clock_is_the_walls_however_long_it_was_down(tmp_path: Path) -> None:
    def opened(start: datetime) -> MarketClockKeeper:
        return MarketClockKeeper(tmp_path / "clock.json", epoch="shadow-1", start=start, speed=1, follow_wall=True)

    begun = datetime.now(UTC)
    keeper = opened(begun - timedelta(days=3))
    first = keeper.now()
    assert timedelta(0) <= first - begun < timedelta(seconds=5)
    with pytest.raises(ValueError, match="not the wall's"):
        keeper.set_speed(60)
    keeper.close()
    again = opened(begun - timedelta(days=3)).now()
    assert first < again
    assert again - datetime.now(UTC) < timedelta(seconds=3)  # a lease may be ahead: it never goes back


def test_a_market_that_is_not_there_is_refused_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shadow: .*http://127.0.0.1:9"):
        ShadowFeed(tmp_path / "shadow.db", "http://127.0.0.1:9", [SYMBOL])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"manual": True}, "exclude each other"),
        ({"speed": 2.0}, "time of the wall"),
        ({"start": datetime(2025, 1, 1, tzinfo=UTC)}, "time of the wall"),
        ({"symbols": ("BTCUSDT=60000",)}, "its own prices"),
    ],
)
def test_options_that_make_no_sense_with_it_are_refused(tmp_path: Path, options: Row, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        build_feed(PaperOptions(data_dir=tmp_path, shadow="http://127.0.0.1:9", **options))
