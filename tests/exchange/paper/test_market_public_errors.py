"""Whatever is asked of the public endpoints, the answer is theirs: rows, or a refusal in words. Never a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

PATHS = [
    "time",
    "kline",
    "mark-price-kline",
    "index-price-kline",
    "premium-index-price-kline",
    "instruments-info",
    "orderbook",
    "tickers",
    "recent-trade",
    "funding/history",
    "open-interest",
    "account-ratio",
    "price-limit",
    "risk-limit",
    "delivery-price",
]
ODD = st.one_of(st.text(max_size=12), st.integers(-(10**20), 10**20).map(str), st.floats().map(str))
TIMES = st.integers(0, 253_402_300_799_999).map(str)


def mostly(*usual: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(usual), st.sampled_from(usual), ODD)


PARAMETERS = {
    "category": mostly("linear", "linear", "spot", "inverse", "option"),
    "symbol": mostly("BTCUSDT", "BTCUSDT", "ETHUSDT", "btcusdt"),
    "interval": mostly("1", "3", "5", "30", "720", "D", "W", "M", "7"),
    "intervalTime": mostly("5min", "1h", "1d", "2d"),
    "period": mostly("5min", "4h", "1d"),
    "start": st.one_of(TIMES, ODD),
    "end": st.one_of(TIMES, ODD),
    "startTime": st.one_of(TIMES, ODD),
    "endTime": st.one_of(TIMES, ODD),
    "limit": mostly("1", "200", "1000", "100000", "0"),
    "cursor": mostly("1735689600000:before", "after:BTCUSDT", "after%3ABTCUSDT"),
    "baseCoin": mostly("BTC"),
    "status": mostly("Trading", "PreLaunch"),
}
ASKED = st.fixed_dictionaries({}, optional=PARAMETERS).flatmap(
    lambda given: st.sampled_from([given, {"category": "linear", "symbol": "BTCUSDT", "interval": "15"} | given])
)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        started = paper_exchange_process(folder / "data", "--symbols", "BTCUSDT", "ETHUSDT").start()
        yield started
        started.stop()


@pytest.fixture(scope="module")
def http(exchange: PaperExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{exchange.url}/v5/market/", timeout=30) as client:
        yield client


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), asked=ASKED)
def test_random_parameters_are_answered_or_refused_by_name(
    http: httpx.Client, path: str, asked: dict[str, str]
) -> None:
    answer = http.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["retCode"] in (0, 10001)
    if body["retCode"] == 0:
        assert body["retMsg"] == "OK"
    else:
        assert body["result"] == {}
        named = body["retMsg"].removeprefix("params error: ").split(" ")[0]
        assert named in PARAMETERS


@pytest.mark.parametrize("category", ["inverse", "option"])
@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("time", "orderbook", "price-limit")])
def test_lists_of_what_is_not_traded_are_empty(http: httpx.Client, path: str, category: str) -> None:
    body = http.get(path, params={"category": category, "symbol": "BTCUSD"}).json()
    assert (body["retCode"], body["result"]["list"]) == (0, [])
