"""Faults on demand hit what they are asked to hit, and do to it what their name says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
import requests
from pybit.exceptions import FailedRequestError

from tests.exchange.paper.account_client import PrivateStream, refusal_code, session
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.waiting import wait_until

_numbers = count(1)


@pytest.fixture(scope="module")
def running() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        options = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")
        process = paper_exchange_process(folder / "data", *options).start()
        yield process
        process.stop()


@pytest.fixture
def exchange(running: PaperExchange) -> Iterator[PaperExchange]:
    yield running
    running.clear_faults()


@pytest.fixture
def link() -> str:
    return f"fault-{next(_numbers)}"


def entry(link: str) -> dict[str, Any]:
    fields = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.001"}
    return {**fields, "orderLinkId": link}


def orders_of(exchange: PaperExchange, link: str) -> list[dict[str, Any]]:
    return [order for order in exchange.books()["orders"] if order["orderLinkId"] == link]


def test_a_lost_answer_means_the_order_is_there_and_its_id_used(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="answer_lost", endpoint="order/create")
    http = session(exchange)
    with pytest.raises(requests.exceptions.ConnectionError):
        http.place_order(**entry(link))
    assert [order["orderStatus"] for order in orders_of(exchange, link)] == ["Filled"]
    assert refusal_code(http.place_order, **entry(link)) == 110072
    assert exchange.control("GET", "faults")["faults"][0]["hits"] == 1


def test_answers_lost_fifty_times_leave_fifty_orders(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="answer_lost", endpoint="order/create", count=50)
    http = session(exchange)
    for number in range(50):
        with pytest.raises(requests.exceptions.ConnectionError):
            http.place_order(**entry(f"{link}-{number}"))
    made = [o for o in exchange.books()["orders"] if o["orderLinkId"].startswith(f"{link}-")]
    assert len(made) == len({order["orderId"] for order in made}) == 50
    http.place_order(**entry(link))  # worn out


def test_a_fault_hits_only_what_it_matches(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="answer_lost", endpoint="order/create", match={"orderLinkId_suffix": "-X1"})
    http = session(exchange)
    http.place_order(**entry(f"{link}-E1"))
    http.get_wallet_balance(accountType="UNIFIED")
    with pytest.raises(requests.exceptions.ConnectionError):
        http.place_order(**entry(f"{link}-X1"))


@pytest.mark.parametrize(("after", "orders"), [(True, 1), (False, 0)])
def test_http_5xx_comes_before_or_after_the_order_takes_effect(
    exchange: PaperExchange, link: str, after: bool, orders: int
) -> None:
    exchange.add_fault(kind="http_5xx", endpoint="order/create", after=after, status=503)
    with pytest.raises(FailedRequestError) as caught:
        session(exchange).place_order(**entry(link))
    assert caught.value.status_code == 503
    assert len(orders_of(exchange, link)) == orders


def test_a_delay_holds_the_request_back(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="delay", endpoint="order/create", delay_ms=300)
    begun = time.time()
    session(exchange).place_order(**entry(link))
    (order,) = orders_of(exchange, link)
    assert order["received_wall_ms"] >= (begun + 0.29) * 1000


def test_the_same_seed_hits_the_same_requests(exchange: PaperExchange) -> None:
    def hits() -> list[bool]:
        exchange.clear_faults()
        exchange.add_fault(kind="http_5xx", endpoint="account/info", probability=0.5, seed=7, count=None)
        with httpx.Client() as client:
            url = f"{exchange.url}/v5/account/info"
            return [client.get(url).status_code == 502 for _ in range(30)]

    first = hits()
    assert first == hits()
    assert 0 < sum(first) < 30


def test_cut_sockets_are_gone_and_a_client_that_reconnects_is_told_on(exchange: PaperExchange, link: str) -> None:
    stream = PrivateStream(exchange)
    before = stream.socket.ws
    assert exchange.add_fault(kind="socket_cut", sockets="private")["hits"] == 1
    wait_until(lambda: stream.socket.ws is not before and stream.socket.is_connected(), "pybit to reconnect")
    http = session(exchange)
    told: list[str] = []

    def told_on() -> bool:
        told.append(http.place_order(**entry(f"{link}-{len(told)}"))["result"]["orderId"])
        return any(stream.rows("order", order_id) for order_id in told)

    wait_until(told_on, "an order on the new socket", every=0.1)
    stream.close()


def test_cutting_public_sockets_leaves_private_ones(exchange: PaperExchange) -> None:
    stream = PrivateStream(exchange)
    before = stream.socket.ws
    assert exchange.add_fault(kind="socket_cut", sockets="public")["hits"] == 0
    assert stream.socket.ws is before
    assert stream.socket.is_connected()
    stream.close()


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"kind": "flood"},
        {"kind": "delay", "delay_ms": -1},
        {"kind": "delay", "probability": 2},
        {"kind": "delay", "x": 1},
    ],
)
def test_a_malformed_fault_is_refused(exchange: PaperExchange, fault: dict[str, Any]) -> None:
    answer = httpx.post(f"{exchange.url}/paper/faults", json=fault)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert exchange.control("GET", "faults")["faults"] == []


def test_cleared_faults_no_longer_hit(exchange: PaperExchange, link: str) -> None:
    exchange.add_fault(kind="answer_lost", endpoint="order/create", count=None)
    exchange.clear_faults()
    session(exchange).place_order(**entry(link))
