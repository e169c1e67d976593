"""Open interest: a series of its own that says the same whatever is asked, served as Bybit does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pybit.exceptions import InvalidRequestError

from domain.candle import to_ms
from domain.market import Category
from exchange.paper.feed import Feed
from exchange.paper.feeds.candle_file import CandleFileRefused
from exchange.paper.feeds.replay import replay_feed
from exchange.paper.feeds.synthetic import synthetic_feed
from tests.exchange.paper.market_case import BEGIN, candle_file, candle_frame
from tests.exchange.paper.market_client import public_session
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

Start = Callable[..., PaperExchange]
START = datetime(2025, 1, 1, tzinfo=UTC)
OPENING = {"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000)}
MINUTE_MS = 60_000
FIVE, QUARTER, HOUR, FOUR_HOURS, DAY = (minutes * MINUTE_MS for minutes in (5, 15, 60, 240, 1440))
ALL = 10**6


def market(seed: int = 1) -> Feed:
    return synthetic_feed(OPENING, seed=seed, start=START)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return market()


def values(feed: Feed, interval_ms: int, days: int = 300, symbol: str = "BTCUSDT") -> np.ndarray:
    stamps = feed.open_interest(symbol, interval_ms, START - timedelta(days=days), START, START, ALL)
    return np.array([float(stamp.value) for stamp in stamps])


def test_a_stamp_has_one_value_whatever_window_interval_or_order_is_asked(feed: Feed) -> None:
    whole = {s.at: s.value for s in feed.open_interest("BTCUSDT", FIVE, START - timedelta(days=40), START, START, ALL)}
    assert len(whole) == 40 * 288 + 1
    rng = random.Random(4)
    other = market()
    for _ in range(40):
        fresh = rng.choice((feed, other))
        begin = START - timedelta(minutes=rng.uniform(0, 40 * 1440))
        end = begin + timedelta(minutes=rng.uniform(0, 3000))
        interval, limit = rng.choice((FIVE, QUARTER, HOUR, FOUR_HOURS, DAY)), rng.choice((1, 7, ALL))
        told = fresh.open_interest("BTCUSDT", interval, begin, end, START, limit)
        wanted = [at for at in whole if begin <= at <= end and to_ms(at) % interval == 0][-limit:]
        assert [stamp.at for stamp in told] == wanted
        assert all(whole[stamp.at] == stamp.value for stamp in told)


def test_nothing_is_told_before_its_time_and_nothing_told_changes(feed: Feed) -> None:
    now = START + timedelta(days=3, minutes=7)
    early = feed.open_interest("BTCUSDT", FIVE, START, now + timedelta(days=9), now, ALL)
    assert early[-1].at == START + timedelta(days=3, minutes=5)
    later = feed.open_interest("BTCUSDT", FIVE, START, now, now + timedelta(days=90), ALL)
    assert later == early


def test_it_differs_by_seed_and_symbol_and_goes_back_to_the_beginning_of_history(feed: Feed) -> None:
    assert not np.array_equal(values(feed, HOUR), values(market(2), HOUR))
    bitcoin, ether = values(feed, HOUR), values(feed, HOUR, symbol="ETHUSDT")
    assert abs(np.corrcoef(np.diff(np.log(bitcoin)), np.diff(np.log(ether)))[0, 1]) < 0.9
    assert len(values(feed, DAY, days=700)) == 701


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_positive_and_moves_as_recorded_ones_do(seed: int) -> None:
    feed = market(seed)
    interest = values(feed, FOUR_HOURS)
    changes = np.diff(np.log(interest))
    assert interest.min() > 0
    assert 0.01 < changes.std() < 0.05  # recorded BTC: 0.023
    assert np.corrcoef(interest[1:], interest[:-1])[0, 1] > 0.95
    day_volume = float(sum(bar.volume for bar in feed.bars(Category.LINEAR, "BTCUSDT", "1d", *_year(), START))) / 300
    assert 0.1 < interest.mean() / day_volume < 1.5  # recorded BTC: 0.45


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_rises_while_a_move_goes_on_and_falls_when_it_unwinds(seed: int) -> None:
    feed = market(seed)
    changes = np.diff(np.log(values(feed, FOUR_HOURS)))
    bars = feed.bars(Category.LINEAR, "BTCUSDT", "4h", *_year(), START)[: len(changes)]
    moves = np.log([float(bar.close / bar.open) for bar in bars])
    goes_on = np.sign(moves[1:]) == np.sign(moves[:-1])
    large = np.abs(moves[1:]) > np.median(np.abs(moves))
    assert changes[1:][goes_on & large].mean() > 0.002
    assert changes[1:][~goes_on & large].mean() < changes[1:][goes_on & large].mean() - 0.005


def _year() -> tuple[datetime, datetime]:
    return START - timedelta(days=300), START


def replayed(folder: Path, interest: list[float | None], prefix: str = "") -> str:
    frame = candle_frame(len(interest))
    frame["open_interest"] = interest
    path = folder / "BTCUSDT_15m.parquet"
    frame.to_parquet(path)
    return f"{prefix}{path}"


def test_a_replay_serves_its_files_own_stamps(tmp_path: Path) -> None:
    told: list[float | None] = [1000.5 + i for i in range(200)]
    told[8] = None
    feed = replay_feed([replayed(tmp_path, told)], seed=1)
    now = BEGIN + timedelta(hours=20)
    for interval in (FIVE, QUARTER):
        stamps = feed.open_interest("BTCUSDT", interval, BEGIN, now, now, ALL)
        assert [s.at for s in stamps] == [BEGIN + i * timedelta(minutes=15) for i in range(81) if i != 8]
        assert stamps[3].value == Decimal("1003.5")
    hours = feed.open_interest("BTCUSDT", HOUR, BEGIN, BEGIN + timedelta(days=9), now, 3)
    assert [(s.at, s.value) for s in hours] == [
        (BEGIN + timedelta(hours=h), Decimal("1000.5") + 4 * h) for h in (18, 19, 20)
    ]


def test_a_replay_without_the_column_has_none(tmp_path: Path) -> None:
    feed = replay_feed([str(candle_file(tmp_path, 200))], seed=1)
    assert feed.open_interest("BTCUSDT", FIVE, BEGIN, feed.start, feed.start, ALL) == []


def test_a_file_with_negative_open_interest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CandleFileRefused, match=r"data row 3 .* open_interest is negative or infinite"):
        replay_feed([replayed(tmp_path, [1.0, 2.0, -1.0, *[4.0] * 97])], seed=1)


# the endpoint


@pytest.fixture(scope="module")
def manual() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        started = paper_exchange_process(folder / "data", "--manual", "--symbols", "BTCUSDT").start()
        yield started
        started.stop()


def test_the_endpoint_pages_from_the_newest_back(paper_exchange: Start) -> None:
    exchange = paper_exchange("--symbols", "BTCUSDT", "--speed", "step")
    http = public_session(exchange)
    asked: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "15min"}
    first = http.get_open_interest(**asked)["result"]
    assert (first["symbol"], first["category"], len(first["list"])) == ("BTCUSDT", "linear", 50)
    assert first["list"][0]["timestamp"] == str(to_ms(START))
    assert set(first["list"][0]) == {"openInterest", "timestamp"}
    begin, end = to_ms(START - timedelta(days=5)), to_ms(START - timedelta(days=1))
    rows: list[dict[str, str]] = []
    cursor, pages = "", 0
    while pages == 0 or cursor:
        page = http.get_open_interest(**asked, startTime=begin, endTime=end, limit=1000, cursor=cursor)["result"]
        rows += page["list"]
        cursor, pages = page["nextPageCursor"], pages + 1
    assert pages == 2
    assert [int(row["timestamp"]) for row in rows] == list(range(end, begin - 1, -QUARTER))
    (ticker,) = http.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert ticker["openInterest"] == first["list"][0]["openInterest"]


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"category": "spot"}, "category"),
        ({"symbol": "FOOUSDT"}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"intervalTime": "1min"}, "intervalTime"),
        ({"intervalTime": ""}, "intervalTime"),
        ({"limit": 0}, "limit"),
        ({"startTime": 2000, "endTime": 1000}, "startTime"),
        ({"endTime": "soon"}, "endTime"),
        ({"cursor": "soon"}, "cursor"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(manual: PaperExchange, arguments: dict[str, Any], parameter: str) -> None:
    asked = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h", **arguments}
    with pytest.raises(InvalidRequestError) as refused:
        public_session(manual).get_open_interest(**asked)
    assert refused.value.status_code == 10001
    assert f"params error: {parameter} " in refused.value.message


def test_a_manual_market_has_an_empty_list(manual: PaperExchange) -> None:
    answer = public_session(manual).get_open_interest(category="linear", symbol="BTCUSDT", intervalTime="1h")
    assert answer["result"] == {"symbol": "BTCUSDT", "category": "linear", "list": [], "nextPageCursor": ""}
