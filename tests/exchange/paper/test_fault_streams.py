"""Faults of sockets: cut, silent, and private events that come twice, late, in another order or never."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, pairwise
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.exchange.paper.account_client import push
from tests.exchange.paper.socket_client import (
    Socket,
    market_order,
    orders_of,
    post,
    private_socket,
    socket_to,
    trade_request,
    trade_socket,
)
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.waiting import wait_until

OPTIONS = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")
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


def place(exchange: PaperExchange, number: int = 1) -> list[str]:
    """Place orders one after the other; their link ids."""
    links = [f"event-{next(_numbers)}" for _ in range(number)]
    for link in links:
        assert post(exchange, "order/create", market_order(link)).json()["retCode"] == 0
    return links


def told(socket: Socket, links: list[str], last: str | None = None) -> list[str]:
    """The orders told until the ``last`` of them (by default as many as ``links``) was."""

    def rows(messages: list[dict[str, Any]]) -> list[str]:
        return [row["orderLinkId"] for m in messages if m.get("topic") == "order" for row in m["data"]]

    socket.until(lambda messages: last in rows(messages) if last else len(rows(messages)) >= len(links))
    return rows(socket.heard)


def test_events_are_told_twice(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order", "execution"]) as socket:
        exchange.add_fault(kind="duplicated_events", topic="execution")
        links = place(exchange, 2)
        assert told(socket, links) == links
        executions = [m["data"][0]["orderLinkId"] for m in socket.heard if m["topic"] == "execution"]
        assert executions == [links[0], links[0], links[1]]


def test_events_are_lost_for_good(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        exchange.add_fault(kind="lost_events", topic="order", skip=1)
        links = place(exchange, 3)
        assert told(socket, links, last=links[2]) == [links[0], links[2]]


def test_events_come_in_another_order_the_same_for_the_same_seed(exchange: PaperExchange) -> None:
    def order_told(seed: int) -> list[int]:
        exchange.clear_faults()
        with private_socket(exchange, ["order"]) as socket:
            exchange.add_fault(kind="reordered_events", topic="order", window=12, seed=seed, delay_ms=5_000)
            links = place(exchange, 4)  # the other topics' messages are mixed in too
            heard = told(socket, links)
            return [links.index(link) for link in heard]

    runs = [order_told(seed) for seed in range(6)]
    assert all(sorted(run) == [0, 1, 2, 3] for run in runs), "nothing is lost or doubled"
    assert any(run != [0, 1, 2, 3] for run in runs)
    assert [order_told(seed) for seed in range(6)] == runs


def test_a_window_that_does_not_fill_is_told_when_its_time_is_over(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        exchange.add_fault(kind="reordered_events", window=100, delay_ms=300)
        begun = time.monotonic()
        links = place(exchange)
        assert told(socket, links) == links
        assert time.monotonic() - begun >= 0.29


def test_late_events_keep_their_order(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        exchange.add_fault(kind="delayed_events", topic="order", delay_ms=500)
        begun = time.monotonic()
        links = place(exchange, 3)
        assert told(socket, links) == links
        assert time.monotonic() - begun >= 0.49
        assert socket.ask(op="ping")["op"] == "pong"


def test_every_socket_hears_the_same_fault(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as one, private_socket(exchange, ["order"]) as other:
        exchange.add_fault(kind="lost_events", topic="order", probability=0.5, seed=11, count=None)
        links = place(exchange, 12)
        exchange.clear_faults()
        (last,) = place(exchange)
        heard = told(one, links, last)
        assert heard == told(other, links, last)
        assert 1 < len(heard) < 13


def test_events_are_matched_by_their_rows(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        marked = f"event-{next(_numbers)}-X1"
        exchange.add_fault(kind="lost_events", match={"orderLinkId_suffix": "-X1"}, topic="order", count=None)
        (first,) = place(exchange)
        post(exchange, "order/create", market_order(marked))
        (last,) = place(exchange)
        assert told(socket, [], last) == [first, last]


@pytest.mark.parametrize(("which", "cut"), [("private", {0}), ("trade", {1}), ("public", {2}), ("all", {0, 1, 2})])
def test_the_sockets_asked_for_are_cut_and_no_others(exchange: PaperExchange, which: str, cut: set[int]) -> None:
    paths = ("private", "trade", "public/linear")
    with (
        socket_to(exchange, paths[0]) as one,
        socket_to(exchange, paths[1]) as two,
        socket_to(exchange, paths[2]) as three,
    ):
        for socket in (one, two, three):
            socket.ask(op="ping")
        assert exchange.add_fault(kind="socket_cut", sockets=which)["hits"] == len(cut)
        for number, socket in enumerate((one, two, three)):
            if number in cut:
                with pytest.raises(ConnectionClosed):
                    socket.receive()
            else:
                assert socket.ask(op="ping")


def test_a_silent_socket_stays_open_and_answers_nothing_pongs_neither(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        assert exchange.add_fault(kind="socket_silent", sockets="private")["hits"] == 1
        pong = socket.connection.ping()
        socket.send(op="ping")
        (lost,) = place(exchange)
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0.7)
        assert not pong.is_set()
        with private_socket(exchange, ["order"]) as fresh:
            (seen,) = place(exchange)
            assert told(fresh, [seen]) == [seen], "a new connection hears"
        exchange.clear_faults()
        (after,) = place(exchange)
        assert told(socket, [], after) == [after], f"what was told meanwhile is gone: {lost}"
        assert socket.connection.ping().wait(5)


def test_silence_ends_by_itself(exchange: PaperExchange) -> None:
    with socket_to(exchange, "private") as socket:
        socket.ask(op="ping")
        exchange.add_fault(kind="socket_silent", sockets="private", seconds=0.5)
        socket.send(op="ping")
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0.3)
        wait_until(lambda: socket.connection.ping().wait(0.1), "a pong")
        assert socket.ask(op="ping")["op"] == "pong"


def test_what_is_sent_into_silence_takes_effect(exchange: PaperExchange) -> None:
    with trade_socket(exchange) as socket:
        exchange.add_fault(kind="socket_silent", sockets="trade")
        socket.send(**trade_request("order.create", market_order("into-silence")))
        wait_until(lambda: orders_of(exchange, "into-silence"), "the order")
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0.2)


def test_silence_can_be_of_one_public_path(exchange: PaperExchange) -> None:
    with socket_to(exchange, "public/linear") as linear, socket_to(exchange, "public/spot") as spot:
        for socket in (linear, spot):
            socket.subscribe("publicTrade.BTCUSDT")
        assert exchange.add_fault(kind="socket_silent", endpoint="public/linear")["hits"] == 1
        push(exchange, "linear", "BTCUSDT", "50001")
        push(exchange, "spot", "BTCUSDT", "50001")
        assert spot.receive()["topic"] == "publicTrade.BTCUSDT"
        with pytest.raises(TimeoutError):
            linear.receive(timeout=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("via", ["socket", "rest"])
def test_a_missing_candle_is_not_confirmed(via: str) -> None:
    with scratch_folder() as folder:
        fast = paper_exchange_process(folder / "data", "--symbols", "BTCUSDT", "--speed", "600", "--rate-limits", "off")
        exchange = fast.start()
        try:
            exchange.add_fault(kind="missing_candles", via=via, match={"interval": "1"}, probability=0.5, seed=2)
            with connect(f"ws://127.0.0.1:{exchange.port}/v5/public/linear") as connection:
                socket = Socket(connection, exchange)
                socket.subscribe("kline.1.BTCUSDT")
                socket.until(lambda heard: len(_confirmed(heard)) >= 6)
                opened = _confirmed(socket.heard)
        finally:
            exchange.stop()
    gaps = [later - earlier for earlier, later in pairwise(opened)]
    assert (max(gaps) > 60_000) == (via == "socket")


def _confirmed(messages: list[dict[str, Any]]) -> list[int]:
    return [
        row["start"] for m in messages if m.get("topic") == "kline.1.BTCUSDT" for row in m["data"] if row["confirm"]
    ]
