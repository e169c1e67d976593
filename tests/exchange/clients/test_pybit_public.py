"""pybit, unmodified, on the public side of a paper exchange: every endpoint, every stream."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError

from tests.exchange.clients.connecting import pybit_http, pybit_socket
from tests.support.paper import PaperExchange
from tests.support.waiting import wait_until

ASKED = {"category": "linear", "symbol": "BTCUSDT"}
SERIES: dict[str, dict[str, Any]] = {
    "get_kline": {"interval": "15"},
    "get_mark_price_kline": {"interval": "15"},
    "get_index_price_kline": {"interval": "15"},
    "get_premium_index_price_kline": {"interval": "15"},
    "get_instruments_info": {},
    "get_tickers": {},
    "get_funding_rate_history": {},
    "get_public_trade_history": {},
    "get_open_interest": {"intervalTime": "1h"},
    "get_long_short_ratio": {"period": "1h"},
    "get_risk_limit": {},
}


@pytest.fixture(scope="module")
def http(public_exchange: PaperExchange) -> Any:
    return pybit_http(public_exchange.url)


@pytest.mark.parametrize("call", SERIES)
def test_every_list_has_rows_and_is_empty_for_what_is_not_traded(http: Any, call: str) -> None:
    assert getattr(http, call)(**ASKED, **SERIES[call])["result"]["list"]
    for category in ("inverse", "option"):
        asked = {**ASKED, **SERIES[call], "category": category, "baseCoin": "BTC"}
        assert getattr(http, call)(**asked)["result"]["list"] == []


def test_what_is_no_list_is_told_too(http: Any) -> None:
    assert int(http.get_server_time()["result"]["timeSecond"]) > 1_600_000_000
    assert len(http.get_orderbook(**ASKED, limit=500)["result"]["a"]) == 500
    band = http.get_price_limit(**ASKED)["result"]
    (ticker,) = http.get_tickers(**ASKED)["result"]["list"]
    assert Decimal(band["sellLmt"]) < Decimal(ticker["markPrice"]) < Decimal(band["buyLmt"])


def test_pages_of_instruments_join_to_the_whole(http: Any) -> None:
    found, cursor = [], ""
    while True:
        page = http.get_instruments_info(category="linear", limit=2, cursor=cursor)["result"]
        found += [row["symbol"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert found == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


def test_pages_of_account_ratios_join_to_the_whole(http: Any) -> None:
    whole = http.get_long_short_ratio(**ASKED, period="5min", limit=500)["result"]["list"]
    end = whole[0]["timestamp"]
    first = http.get_long_short_ratio(**ASKED, period="5min", limit=200, endTime=end)["result"]
    second = http.get_long_short_ratio(**ASKED, period="5min", limit=200, endTime=end, cursor=first["nextPageCursor"])[
        "result"
    ]
    assert first["list"] + second["list"] == whole[:400]
    assert all(Decimal(row["buyRatio"]) + Decimal(row["sellRatio"]) == 1 for row in whole)


def test_funding_from_a_time_needs_an_end(http: Any) -> None:
    with pytest.raises(InvalidRequestError, match="startTime invalid: it needs endTime"):
        http.get_funding_rate_history(**ASKED, startTime=1)
    rows = http.get_funding_rate_history(**ASKED, limit=500)["result"]["list"]
    assert len(rows) == 200
    stamps = [int(row["fundingRateTimestamp"]) for row in rows]
    assert stamps == [stamps[0] - number * 28_800_000 for number in range(200)]
    between = http.get_funding_rate_history(**ASKED, startTime=stamps[9], endTime=stamps[5])["result"]["list"]
    assert between == rows[5:10]


class Heard:
    """Messages of a pybit socket by topic."""

    def __init__(self, url: str, category: str) -> None:
        self.socket = pybit_socket(url, category)
        self.messages: dict[str, list[dict[str, Any]]] = {}

    def keep(self, message: dict[str, Any]) -> None:
        self.messages.setdefault(message["topic"], []).append(copy.deepcopy(message))

    def wait_for(self, topic: str, count: int) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.messages.get(topic, [])) >= count, f"{count} messages of {topic}", timeout=30)
        return self.messages[topic]


@pytest.fixture(params=["spot", "linear"])
def heard(public_exchange: PaperExchange, request: pytest.FixtureRequest) -> Iterator[Heard]:
    made = Heard(public_exchange.url, request.param)
    yield made
    made.socket.exit()


@pytest.mark.slow
def test_every_stream_is_heard(heard: Heard) -> None:
    heard.socket.ticker_stream("BTCUSDT", heard.keep)
    heard.socket.trade_stream("BTCUSDT", heard.keep)
    heard.socket.kline_stream(1, "BTCUSDT", heard.keep)
    heard.socket.kline_stream(3, "BTCUSDT", heard.keep)
    for depth in (1, 50, 200, 1000):
        heard.socket.orderbook_stream(depth, "BTCUSDT", heard.keep)
    for topic in ("tickers", "publicTrade", "kline.1", "kline.3"):
        heard.wait_for(f"{topic}.BTCUSDT", 2)
    for depth in (1, 50, 200, 1000):
        books = [message["data"] for message in heard.wait_for(f"orderbook.{depth}.BTCUSDT", 3)]
        assert [book["u"] for book in books] == list(range(books[0]["u"], books[0]["u"] + len(books)))
        for book in books:  # as pybit keeps it, so unsorted
            bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("b", "a"))
            assert max(bids) < min(asks)
            assert len(set(bids)) == len(bids) == len(set(asks)) == len(asks) == depth


def test_liquidations_may_be_listened_to(public_exchange: PaperExchange) -> None:
    heard = Heard(public_exchange.url, "linear")
    heard.socket.all_liquidation_stream("BTCUSDT", heard.keep)
    heard.socket.liquidation_stream("BTCUSDT", heard.keep)
    heard.socket.ticker_stream("BTCUSDT", heard.keep)
    heard.wait_for("tickers.BTCUSDT", 2)
    heard.socket.exit()
    assert set(heard.messages) == {"tickers.BTCUSDT"}
