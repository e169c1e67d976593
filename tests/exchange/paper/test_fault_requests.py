"""Faults of requests, over REST and over the trade socket: each does what its name says, no more and no less."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.exchange.paper.socket_client import get, market_order, orders_of, post, socket_to, trade_socket
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.waiting import wait_until

OPTIONS = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")

Row = dict[str, Any]
Broken = (httpx.TransportError, ConnectionClosed)

_numbers = count(1)


@pytest.fixture(scope="module")
def running() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        process = paper_exchange_process(folder / "data", *OPTIONS).start()
        yield process
        process.stop()


@pytest.fixture
def exchange(running: PaperExchange) -> Iterator[PaperExchange]:
    yield running
    running.clear_faults()


@pytest.fixture
def link() -> str:
    return f"hit-{next(_numbers)}"


def over_rest(exchange: PaperExchange, fields: Row) -> Row:
    return post(exchange, "order/create", fields).json()


def over_socket(exchange: PaperExchange, fields: Row) -> Row:
    with trade_socket(exchange) as socket:
        return socket.trade("order.create", fields)


either_way = pytest.mark.parametrize("place", [over_rest, over_socket])
Place = Callable[[PaperExchange, Row], Row]


@either_way
@pytest.mark.parametrize(("kind", "orders"), [("answer_lost", 1), ("request_lost", 0)])
def test_a_connection_breaks_after_or_before_the_order_is_taken(
    exchange: PaperExchange, link: str, place: Place, kind: str, orders: int
) -> None:
    exchange.add_fault(kind=kind, endpoint="order/create")
    with pytest.raises(Broken):
        place(exchange, market_order(link))
    assert len(orders_of(exchange, link)) == orders
    assert place(exchange, market_order(f"{link}-after"))["retCode"] == 0, "worn out"


@either_way
@pytest.mark.parametrize("code", [10000, 10016])
@pytest.mark.parametrize(("after", "orders"), [(True, 1), (False, 0)])
def test_a_code_that_tells_nothing_is_answered_whether_or_not_it_took_effect(
    exchange: PaperExchange, link: str, place: Place, code: int, after: bool, orders: int
) -> None:
    exchange.add_fault(kind="ret_code", code=code, after=after, match={"orderLinkId": link})
    assert place(exchange, market_order(link))["retCode"] == code
    assert len(orders_of(exchange, link)) == orders


@either_way
def test_too_many_visits_means_nothing_was_done(exchange: PaperExchange, link: str, place: Place) -> None:
    exchange.add_fault(kind="ret_code", code=10006, endpoint="order/create")
    answer = place(exchange, market_order(link))
    assert (answer["retCode"], answer["retMsg"]) == (10006, "Too many visits!")
    assert orders_of(exchange, link) == []
    assert place(exchange, market_order(link))["retCode"] == 0


@either_way
@pytest.mark.parametrize("after", [True, False])
def test_a_delay_is_before_or_after_the_effect(exchange: PaperExchange, link: str, place: Place, after: bool) -> None:
    exchange.add_fault(kind="delay", endpoint="order/create", delay_ms=400, after=after)
    begun = time.time() * 1000
    assert place(exchange, market_order(link))["retCode"] == 0
    assert time.time() * 1000 - begun >= 400
    (order,) = orders_of(exchange, link)
    taken_after = float(order["received_wall_ms"]) - begun
    if place is over_rest:  # a socket's request is there when it was read, whatever becomes of it then
        assert taken_after < 400 if after else taken_after >= 400


def test_an_http_error_is_of_rest_alone(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="http_5xx", endpoint="order/create", status=504)
    assert over_socket(exchange, market_order(link))["retCode"] == 0
    assert post(exchange, "order/create", market_order()).status_code == 504


def test_a_fault_of_one_way_in_leaves_the_other(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="ret_code", code=10016, via="socket")
    assert over_rest(exchange, market_order(link))["retCode"] == 0
    assert over_socket(exchange, market_order())["retCode"] == 10016


def test_a_fault_lets_some_go_by_first(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="ret_code", code=10016, endpoint="order/create", skip=2, count=2)
    codes = [over_rest(exchange, market_order(f"{link}-{n}"))["retCode"] for n in range(5)]
    assert codes == [0, 0, 10016, 10016, 0]


def test_a_fault_wears_out_with_time(exchange: PaperExchange) -> None:
    exchange.add_fault(kind="ret_code", code=10016, endpoint="account/info", seconds=0.5)

    def refused() -> bool:
        return get(exchange, "account/info").json()["retCode"] == 10016

    assert refused()
    assert refused(), "a fault with a time has no count"
    wait_until(lambda: not refused(), "the fault to wear out")
    assert exchange.control("GET", "faults")["faults"][0]["active"] is False


def test_an_item_of_a_batch_is_matched_like_an_order(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="request_lost", match={"orderLinkId_suffix": "-X1", "category": "linear"})
    items = [market_order(f"{link}-E1"), market_order(f"{link}-X1")]
    with pytest.raises(Broken):
        post(exchange, "order/create-batch", {"category": "linear", "request": items})
    assert orders_of(exchange, f"{link}-E1") == []


@pytest.mark.parametrize("after", [True, False])
def test_the_same_seed_hits_the_same_requests(exchange: PaperExchange, after: bool) -> None:
    def hits(seed: int) -> list[bool]:
        exchange.clear_faults()
        exchange.add_fault(kind="ret_code", code=10000, probability=0.5, seed=seed, count=None, after=after)
        return [get(exchange, "account/info").json()["retCode"] == 10000 for _ in range(24)]

    first = hits(3)
    assert first == hits(3)
    assert 0 < sum(first) < 24
    assert first != hits(4)


@pytest.mark.slow
@either_way
@pytest.mark.parametrize(("after", "orders"), [(True, 1), (False, 0)])
def test_a_restart_is_the_process_killed_before_or_after_the_request(
    exchange: PaperExchange, link: str, place: Place, after: bool, orders: int
) -> None:
    exchange.add_fault(kind="restart", endpoint="order/create", after=after, skip=1)
    assert place(exchange, market_order(f"{link}-first"))["retCode"] == 0
    with pytest.raises(Broken):
        place(exchange, market_order(link))
    wait_until(lambda: not exchange.process.running, "the process to be gone")
    exchange.start()
    assert len(orders_of(exchange, f"{link}-first")) == 1
    assert len(orders_of(exchange, link)) == orders
    assert exchange.books()["check"]["ok"]
    assert exchange.control("GET", "faults")["faults"] == [], "a rule dies with the process"


def test_a_thin_book_fills_its_order_in_part_and_no_other(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="thin_book", factor=0.000001, match={"orderLinkId": link})
    over_rest(exchange, market_order(link, qty="2"))
    over_rest(exchange, market_order(f"{link}-whole", qty="2"))
    (thin,), (whole,) = orders_of(exchange, link), orders_of(exchange, f"{link}-whole")
    assert 0 < float(thin["cumExecQty"]) < 2
    assert thin["orderStatus"] == "Cancelled"
    assert whole["orderStatus"] == "Filled"


def test_maintenance_answers_503_cuts_sockets_and_refuses_new_ones(exchange: PaperExchange, link: str) -> None:
    with trade_socket(exchange) as socket:
        fault = exchange.add_fault(kind="maintenance", seconds=60)
        with pytest.raises(ConnectionClosed):
            socket.receive()
    assert fault["status"] == 503
    assert post(exchange, "order/create", market_order(link)).status_code == 503
    with pytest.raises(Exception, match="503"), socket_to(exchange, "private"):
        pass
    exchange.control("DELETE", f"faults/{fault['id']}")
    assert orders_of(exchange, link) == []
    assert over_rest(exchange, market_order(link))["retCode"] == 0


def test_maintenance_can_be_of_one_endpoint_and_an_answer_of_the_exchange_s_own(
    exchange: PaperExchange, link: str
) -> None:
    exchange.add_fault(kind="maintenance", endpoint="order/create", code=10016)
    assert over_rest(exchange, market_order(link))["retCode"] == 10016
    assert get(exchange, "account/info").json()["retCode"] == 0
    with trade_socket(exchange) as socket:
        assert socket.ask(op="ping")["retCode"] == 0


@pytest.mark.parametrize("offset_ms", [-7_000, 7_000])
def test_a_clock_that_is_off_is_told_and_judges_signatures(exchange: PaperExchange, offset_ms: int) -> None:
    exchange.add_fault(kind="clock_offset", offset_ms=offset_ms)
    told = int(httpx.get(f"{exchange.url}/v5/market/time").json()["result"]["timeNano"]) / 1e6
    assert abs(told - time.time() * 1000 - offset_ms) < 2_000
    assert get(exchange, "account/info").json()["retCode"] == 10002
    with socket_to(exchange, "trade") as socket:
        code = socket.authenticate()["retCode"]
        assert code == (10002 if offset_ms > 0 else 0), "what expires in five seconds has expired seven seconds later"
    exchange.clear_faults()
    assert get(exchange, "account/info").json()["retCode"] == 0


def _candles(exchange: PaperExchange) -> list[int]:
    query = "category=linear&symbol=BTCUSDT&interval=15&limit=40"
    answer = httpx.get(f"{exchange.url}/v5/market/kline?{query}").json()
    return [int(row[0]) for row in answer["result"]["list"]]


def test_candles_are_missing_always_the_same_ones(exchange: PaperExchange) -> None:
    whole = _candles(exchange)
    exchange.add_fault(kind="missing_candles", probability=0.3, seed=5)
    gaps = _candles(exchange)
    assert 0 < len(gaps) < len(whole)
    assert set(gaps) < set(whole)
    assert _candles(exchange) == gaps
    exchange.clear_faults()
    assert _candles(exchange) == whole


def test_candles_of_a_window_are_missing(exchange: PaperExchange) -> None:
    whole = _candles(exchange)
    first, last = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(whole[n] / 1000)) for n in (9, 5))
    exchange.add_fault(kind="missing_candles", open_from=first, open_to=last, match={"symbol": "BTCUSDT"}, count=1)
    assert _candles(exchange) == whole[:5] + whole[10:]
    assert _candles(exchange) == whole, "worn out"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "ret_code"}, "code=10000"),
        ({"kind": "ret_code", "code": 10006, "after": True}, "nothing is ever done"),
        ({"kind": "clock_offset", "seconds": 3}, "offset_ms=-7000"),
        ({"kind": "thin_book", "factor": 2}, "factor"),
        ({"kind": "socket_silent", "count": 2}, "count means nothing to socket_silent"),
        ({"kind": "reordered_events", "window": 1}, "window"),
        ({"kind": "missing_candles", "open_from": "2024-01-01T00:00:00"}, "open_from"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_what_to_do(
    exchange: PaperExchange, fault: dict[str, Any], said: str
) -> None:
    answer = httpx.post(f"{exchange.url}/paper/faults", json=fault)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert exchange.control("GET", "faults")["faults"] == []
