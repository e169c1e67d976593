"""The public REST endpoints, read by an unmodified pybit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pybit.exceptions import InvalidRequestError

from domain.candle import Timeframe, to_ms
from tests.exchange.paper.market_case import BEGIN, candle_file, candle_frame
from tests.exchange.paper.market_client import public_session
from tests.support.paper import PaperExchange, paper_exchange_process

DAYS = 40
STEP = Timeframe.M15.milliseconds
BEGIN_MS = to_ms(BEGIN)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    folder = tmp_path_factory.mktemp("rest")
    path = candle_file(folder, DAYS * 96)
    started = paper_exchange_process(folder / "data", "--replay", str(path), "--speed", "1").start()
    yield started
    started.stop()


@pytest.fixture
def http(exchange: PaperExchange) -> Any:
    return public_session(exchange)


def opens(answer: dict[str, Any]) -> list[int]:
    return [int(row[0]) for row in answer["result"]["list"]]


def test_server_time_is_the_walls(http: Any) -> None:
    before = time.time_ns()
    told = http.get_server_time()["result"]
    assert before <= int(told["timeNano"]) <= time.time_ns()
    assert int(told["timeSecond"]) == int(told["timeNano"]) // 10**9


def test_candles_are_the_files_newest_first(http: Any) -> None:
    answer = http.get_kline(
        category="linear", symbol="BTCUSDT", interval="15", start=BEGIN_MS, end=BEGIN_MS + 99 * STEP
    )
    rows = answer["result"]["list"]
    assert (answer["result"]["category"], answer["result"]["symbol"]) == ("linear", "BTCUSDT")
    assert opens(answer) == [BEGIN_MS + i * STEP for i in range(99, -1, -1)]
    frame = candle_frame(DAYS * 96)[:100][::-1]
    for place, column in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert [Decimal(row[place]) for row in rows] == [Decimal(repr(value)) for value in frame[column].tolist()]
    assert all(isinstance(cell, str) for row in rows for cell in row)


def test_without_bounds_the_newest_two_hundred_come_up_to_the_forming_one(http: Any) -> None:
    answer = http.get_kline(category="spot", symbol="BTCUSDT", interval="60")
    told = opens(answer)
    assert len(told) in (199, 200)  # the forming hour isn't there before its first trade
    assert told[0] - told[-1] == (len(told) - 1) * Timeframe.H1.milliseconds


def test_a_start_alone_gives_the_first_from_it(http: Any) -> None:
    answer = http.get_kline(category="spot", symbol="BTCUSDT", interval="15", start=BEGIN_MS + 1, limit=5)
    assert opens(answer) == [BEGIN_MS + i * STEP for i in range(5, 0, -1)]


def test_an_end_gives_the_last_up_to_it_and_a_thousand_are_the_most(http: Any) -> None:
    end = BEGIN_MS + 1500 * STEP
    answer = http.get_kline(category="spot", symbol="BTCUSDT", interval="15", start=BEGIN_MS, end=end, limit=5000)
    assert opens(answer) == [end - i * STEP for i in range(1000)]
    assert opens(http.get_kline(category="spot", symbol="BTCUSDT", interval="15", end=end + 5, limit=2)) == [
        end,
        end - STEP,
    ]


def test_weeks_open_on_monday(http: Any) -> None:
    assert opens(http.get_kline(category="spot", symbol="BTCUSDT", interval="W", start=0, end=BEGIN_MS)) == [BEGIN_MS]


def test_months_open_on_their_first_day_and_other_lengths_are_sums(http: Any) -> None:
    asked = {"category": "linear", "symbol": "BTCUSDT", "start": BEGIN_MS, "end": BEGIN_MS + 30 * 3_600_000}
    assert opens(http.get_kline(**{**asked, "start": 0}, interval="M")) == [BEGIN_MS]
    parts = http.get_kline(**asked, interval="15")["result"]["list"][::-1]
    for code, count in {"30": 2, "120": 8, "360": 24, "720": 48}.items():
        rows = http.get_kline(**asked, interval=code)["result"]["list"][::-1]
        for place, row in enumerate(rows[: len(parts) // count]):
            inside = parts[place * count : (place + 1) * count]
            assert row[0] == inside[0][0]
            assert (row[1], row[4]) == (inside[0][1], inside[-1][4])
            assert Decimal(row[2]) == max(Decimal(part[2]) for part in inside)
            assert Decimal(row[3]) == min(Decimal(part[3]) for part in inside)
            assert Decimal(row[5]) == sum(Decimal(part[5]) for part in inside)
            assert Decimal(row[6]) == sum(Decimal(part[6]) for part in inside)


def test_reference_prices_are_candles_of_five_cells(http: Any) -> None:
    asked = {"category": "linear", "symbol": "BTCUSDT", "interval": "60", "start": BEGIN_MS, "end": BEGIN_MS + 10**8}
    traded = http.get_kline(**asked)["result"]["list"]
    for call in ("get_mark_price_kline", "get_index_price_kline", "get_premium_index_price_kline"):
        rows = getattr(http, call)(**asked)["result"]["list"]
        assert [row[0] for row in rows] == [row[0] for row in traded]
        assert {len(row) for row in rows} == {5}
        with pytest.raises(InvalidRequestError, match="category invalid: spot"):
            getattr(http, call)(**{**asked, "category": "spot"})


def test_price_limits_lie_around_the_market(http: Any) -> None:
    for category, ratio in (("spot", "0.02"), ("linear", "0.1")):
        band = http.get_price_limit(category=category, symbol="BTCUSDT")["result"]
        (ticker,) = http.get_tickers(category=category, symbol="BTCUSDT")["result"]["list"]
        last = Decimal(ticker["lastPrice"])
        assert last * (1 - 2 * Decimal(ratio)) < Decimal(band["sellLmt"]) < last < Decimal(band["buyLmt"])
        assert Decimal(band["buyLmt"]) < last * (1 + 2 * Decimal(ratio))


def test_candles_of_the_future_or_before_the_data_are_not_there(http: Any) -> None:
    far = BEGIN_MS + DAYS * 86_400_000
    assert opens(http.get_kline(category="spot", symbol="BTCUSDT", interval="D", start=far)) == []
    assert opens(http.get_kline(category="spot", symbol="BTCUSDT", interval="D", end=BEGIN_MS - 1)) == []


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"symbol": "FOOUSDT"}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"interval": "7"}, "interval"),
        ({"interval": ""}, "interval"),
        ({"category": "futures"}, "category"),
        ({"limit": 0}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"start": "soon"}, "start"),
        ({"start": -5}, "start"),
        ({"end": 10**18}, "end"),
        ({"start": 2000, "end": 1000}, "start"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(http: Any, arguments: dict[str, Any], parameter: str) -> None:
    asked = {"category": "linear", "symbol": "BTCUSDT", "interval": "15", **arguments}
    with pytest.raises(InvalidRequestError) as refused:
        http.get_kline(**asked)
    assert refused.value.status_code == 10001
    assert f"params error: {parameter} " in refused.value.message


@pytest.mark.parametrize("call", ["get_orderbook", "get_public_trade_history", "get_tickers", "get_instruments_info"])
def test_an_unknown_symbol_is_refused_everywhere(http: Any, call: str) -> None:
    with pytest.raises(InvalidRequestError, match="symbol invalid: 'FOOUSDT'"):
        getattr(http, call)(category="linear", symbol="FOOUSDT")


def test_instruments_carry_the_filters(http: Any) -> None:
    (spot,) = http.get_instruments_info(category="spot")["result"]["list"]
    assert spot["lotSizeFilter"]["basePrecision"] == "0.000001"
    assert spot["lotSizeFilter"]["minOrderAmt"] == "5"
    (linear,) = http.get_instruments_info(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert linear["priceFilter"]["tickSize"] == "0.10"
    assert linear["lotSizeFilter"]["qtyStep"] == "0.001"
    assert linear["fundingInterval"] == 480


@pytest.mark.parametrize(
    "asked",
    [{"category": "inverse"}, {"category": "option", "baseCoin": "BTC"}, {"category": "linear", "status": "PreLaunch"}],
)
def test_what_is_not_traded_here_is_an_empty_list(http: Any, asked: dict[str, str]) -> None:
    assert http.get_instruments_info(**asked)["result"]["list"] == []


def test_tickers_agree_with_candles_trades_and_book(http: Any) -> None:
    for category in ("spot", "linear"):
        (ticker,) = http.get_tickers(category=category, symbol="BTCUSDT")["result"]["list"]
        last = Decimal(ticker["lastPrice"])
        trades = http.get_public_trade_history(category=category, symbol="BTCUSDT", limit=60)["result"]["list"]
        book = http.get_orderbook(category=category, symbol="BTCUSDT", limit=5)["result"]
        assert Decimal(ticker["bid1Price"]) < last < Decimal(ticker["ask1Price"])
        assert last in {Decimal(trade["price"]) for trade in trades}
        assert Decimal(ticker["lowPrice24h"]) <= last <= Decimal(ticker["highPrice24h"])
        assert Decimal(ticker["volume24h"]) > 0
        prices = [Decimal(level[0]) for level in (*reversed(book["b"]), *book["a"])]
        assert prices == sorted(set(prices))
        assert all(Decimal(level[1]) > 0 for level in (*book["b"], *book["a"]))
        assert ("usdIndexPrice" in ticker) == (category == "spot")
        assert ("openInterestValue" in ticker) == (category == "linear")


def test_recent_trades_come_newest_first_with_rising_ids(http: Any) -> None:
    rows = http.get_public_trade_history(category="linear", symbol="BTCUSDT", limit=1000)["result"]["list"]
    assert len(rows) == 1000
    ids, times = [row["execId"] for row in rows], [int(row["time"]) for row in rows]
    assert ids == sorted(set(ids), reverse=True)
    assert times == sorted(times, reverse=True)
    assert len(http.get_public_trade_history(category="spot", symbol="BTCUSDT", limit=500)["result"]["list"]) == 60


def test_the_clock_tells_epoch_market_time_and_speed(exchange: PaperExchange) -> None:
    clock = exchange.clock()
    assert set(clock) == {"epoch", "now", "speed", "step", "paused", "read_at"}
    assert clock["epoch"].startswith("replay-")
    assert (clock["speed"], clock["step"], clock["paused"]) == (1.0, False, False)
    assert clock["now"].startswith("2024-01-25T00:")


def test_pushing_trades_is_refused_where_the_market_has_its_own(exchange: PaperExchange) -> None:
    trade = {"category": "linear", "symbol": "BTCUSDT", "price": "1"}
    answer = httpx.post(f"{exchange.url}/paper/ticks", json=[trade])
    assert (answer.status_code, answer.json()["error"]) == (409, "this market is not manual: its trades are its own")


def test_a_killed_market_goes_on_later_never_earlier(tmp_path: Path) -> None:
    path = candle_file(tmp_path, DAYS * 96)
    exchange = paper_exchange_process(tmp_path / "data", "--replay", str(path), "--speed", "600").start()
    asked = {"category": "linear", "symbol": "BTCUSDT", "interval": "1", "limit": 1000}
    try:
        known = public_session(exchange).get_kline(**asked)["result"]["list"]
        before = exchange.clock()["now"]
        exchange.kill()
        exchange.start()
        after = exchange.clock()["now"]
        later = {row[0]: row for row in public_session(exchange).get_kline(**asked)["result"]["list"]}
    finally:
        exchange.stop()
    assert datetime.fromisoformat(after) >= datetime.fromisoformat(before)
    closed = [row for row in known[1:] if row[0] in later]
    assert len(closed) > 500
    assert closed == [later[row[0]] for row in closed]
