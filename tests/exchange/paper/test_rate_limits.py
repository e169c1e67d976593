"""How often one may ask: Bybit's numbers, counted in a rolling window, told in every answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from domain.market import Category
from exchange.paper.private_rest import ENDPOINTS
from exchange.paper.rate_limits import RATES, AddressLimit, RateLimits, Visit
from tests.exchange.paper.socket_client import Row, get, market_order, orders_of, post, trade_request, trade_socket
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

OPTIONS = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "1")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        process = paper_exchange_process(folder / "data", *OPTIONS).start()
        yield process
        process.stop()


@pytest.fixture
def settled() -> None:
    """Every window of a second is empty again."""
    time.sleep(1.05)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def visit(limits: RateLimits, path: str, category: Category | None = Category.LINEAR, items: int = 1) -> Visit:
    made = limits.visit(path, category, items)
    assert made is not None
    return made


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 20)), min_size=1, max_size=200))
def test_no_second_ever_grants_more_than_the_limit(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    limits = RateLimits(1.0, clock)
    granted: list[tuple[float, int]] = []
    for pause, items in steps:
        clock.now += pause
        made = visit(limits, "order/create-batch", items=items)
        recent = sum(count for at, count in granted if at > clock.now - 1)
        assert made.granted == min(items, 10 - recent), "and nothing less than there is room for"
        assert made.remaining == 10 - recent - made.granted
        assert (made.reset_in_ms > 0) or made.remaining > 0
        granted.append((clock.now, made.granted))


def test_spot_and_linear_and_each_endpoint_count_for_themselves() -> None:
    limits = RateLimits(1.0, Clock())
    assert [visit(limits, "order/create").granted for _ in range(11)] == [1] * 10 + [0]
    assert [visit(limits, "order/create", Category.SPOT).granted for _ in range(21)] == [1] * 20 + [0]
    assert visit(limits, "order/cancel").granted == 1
    assert visit(limits, "order/create-batch", items=4).remaining == 6


def test_a_limit_is_free_again_when_its_oldest_visit_is_a_window_old() -> None:
    clock = Clock()
    limits = RateLimits(1.0, clock)
    for _ in range(60):
        visit(limits, "asset/transfer/inter-transfer", None)
        clock.now += 0.1
    full = visit(limits, "asset/transfer/inter-transfer", None)
    assert (full.granted, full.remaining, full.reset_in_ms) == (0, 0, 54_000)
    clock.now += 54.01
    assert visit(limits, "asset/transfer/inter-transfer", None).granted == 1


def test_limits_are_scaled_or_off() -> None:
    assert visit(RateLimits(2.0), "order/create").limit == 20
    assert visit(RateLimits(0.01), "order/create").limit == 1, "never none at all"
    assert RateLimits(None).visit("order/create", Category.LINEAR) is None


def test_every_limit_is_of_an_endpoint_there_is() -> None:
    assert set(RATES) - {path for _, path in ENDPOINTS} == set()


def at_once(exchange: PaperExchange, links: list[str]) -> dict[str, Row]:
    """Orders sent in one breath over a trade socket; the answers by link id."""
    with trade_socket(exchange) as socket:
        for link in links:
            socket.send(**trade_request("order.create", market_order(link), reqId=link))
        return {answer["reqId"]: answer for answer in (socket.receive() for _ in links)}


def test_over_the_limit_is_10006_and_nothing_is_done(exchange: PaperExchange, settled: None) -> None:
    answers = at_once(exchange, [f"limit-{number}" for number in range(30)])
    over_rest = post(exchange, "order/cancel", {"category": "linear", "symbol": "BTCUSDT", "orderId": "1"})
    # refusals don't wait for the disk: they overtake the answers of what was taken
    assert sorted(answer["retCode"] for answer in answers.values()) == [0] * 10 + [10006] * 20
    for link, answer in answers.items():
        assert len(orders_of(exchange, link)) == (answer["retCode"] == 0)
    refused = answers["limit-29"]
    assert (refused["retMsg"], refused["data"]) == ("Too many visits!", {})
    told = refused["header"]
    assert (told["X-Bapi-Limit"], told["X-Bapi-Limit-Status"]) == ("10", "0")
    assert 0 < int(told["X-Bapi-Limit-Reset-Timestamp"]) - int(told["Timenow"]) <= 1000
    assert over_rest.headers["X-Bapi-Limit-Status"] == "9", "another endpoint counts for itself"


def test_every_private_answer_tells_where_the_client_stands(exchange: PaperExchange, settled: None) -> None:
    first = get(exchange, "position/list", category="linear", symbol="BTCUSDT")
    second = get(exchange, "position/list", category="linear", symbol="NOSUCH")
    assert second.json()["retCode"] != 0
    told = [(a.headers["X-Bapi-Limit"], a.headers["X-Bapi-Limit-Status"]) for a in (first, second)]
    assert told == [("50", "49"), ("50", "48")]
    assert "X-Bapi-Limit" not in httpx.get(f"{exchange.url}/v5/market/time").headers


def test_a_batch_counts_its_items_and_those_beyond_the_limit_fail(exchange: PaperExchange, settled: None) -> None:
    items = [{k: v for k, v in market_order(f"batch-{n}").items() if k != "category"} for n in range(8)]
    first = post(exchange, "order/create-batch", {"category": "linear", "request": items})
    assert first.headers["X-Bapi-Limit-Status"] == "2"
    more = [dict(item, orderLinkId=item["orderLinkId"] + "-again") for item in items[:5]]
    second = post(exchange, "order/create-batch", {"category": "linear", "request": more}).json()
    assert second["retCode"] == 0
    assert [outcome["code"] for outcome in second["retExtInfo"]["list"]] == [0, 0, 10006, 10006, 10006]
    assert [row["orderLinkId"] for row in second["result"]["list"]] == [item["orderLinkId"] for item in more]
    assert [len(orders_of(exchange, item["orderLinkId"])) for item in more] == [1, 1, 0, 0, 0]


def test_the_trade_socket_counts_where_rest_counts(exchange: PaperExchange, settled: None) -> None:
    with trade_socket(exchange) as socket:
        over_socket = socket.trade("order.create", market_order())
        over_rest = post(exchange, "order/create", market_order())
    assert over_socket["header"]["X-Bapi-Limit-Status"] == "9"
    assert over_rest.headers["X-Bapi-Limit-Status"] == "8"


async def test_an_address_that_asks_too_often_is_answered_403() -> None:
    clock = Clock()
    limited = AddressLimit(PlainTextResponse("answered"), 1.0, clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(limited), base_url="http://exchange") as client:
        assert [(await client.get("/v5/market/time")).status_code for _ in range(601)] == [200] * 600 + [403]
        assert (await client.get("/paper/clock")).status_code == 200, "what is not Bybit's is not counted"
        clock.now += 5
        assert (await client.get("/v5/market/time")).status_code == 200
