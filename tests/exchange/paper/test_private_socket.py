"""The private socket: auth, topics, and what happens to the account in Bybit's order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from tests.exchange.paper.account_client import push
from tests.exchange.paper.socket_client import market_order, post, private_socket, socket_to
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

OPTIONS = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        process = paper_exchange_process(folder / "data", *OPTIONS).start()
        yield process
        process.stop()


def test_nothing_is_told_to_who_is_not_authenticated(exchange: PaperExchange) -> None:
    with socket_to(exchange, "private") as socket:
        assert socket.subscribe("order")["ret_msg"] == "Request not authorized"
        refused = socket.authenticate(secret="wrong")
        assert (refused["success"], refused["op"], refused["retCode"]) == (False, "auth", 10004)
        told = socket.authenticate(req_id="r1")
        assert told == {"success": True, "ret_msg": "", "op": "auth", "conn_id": told["conn_id"], "req_id": "r1"}
        assert socket.subscribe("order")["success"] is True


def test_both_pings_are_answered(exchange: PaperExchange) -> None:
    with socket_to(exchange, "private") as socket:
        pong = socket.ask(op="ping", req_id="p1")
        assert (pong["op"], pong["req_id"]) == ("pong", "p1")
        assert int(pong["args"][0]) > 0
        assert socket.connection.ping().wait(5)


@pytest.mark.parametrize(
    "topic", ["order", "execution", "execution.fast", "position", "wallet", "greeks", "dcp.spot", "order.inverse"]
)
def test_every_topic_of_bybit_is_taken(exchange: PaperExchange, topic: str) -> None:
    with private_socket(exchange, [topic]):
        pass


def test_an_unknown_topic_is_named_and_nothing_subscribed(exchange: PaperExchange) -> None:
    with socket_to(exchange, "private") as socket:
        socket.authenticate()
        refused = socket.subscribe("order", "orders.linear")
        assert refused["success"] is False
        assert "orders.linear" in refused["ret_msg"]
        post(exchange, "order/create", market_order())
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0.3)


def test_a_fill_is_told_as_execution_then_order_then_position_then_wallet(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["wallet", "position", "order", "execution"]) as socket:
        post(exchange, "order/create", market_order("told-1"))
        heard = socket.until(lambda messages: any(message["topic"] == "wallet" for message in messages))
    assert [message["topic"] for message in heard] == ["execution", "order", "position", "wallet"]
    assert len({message["id"] for message in heard}) == 4
    assert all(message["creationTime"] > 0 for message in heard)
    assert heard[1]["data"][0]["orderStatus"] == "Filled"


def test_the_form_of_a_category_tells_only_that_category(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order.spot", "execution.linear"]) as socket:
        post(exchange, "order/create", market_order("told-2"))
        spot = market_order("told-3", category="spot", qty="0.01", marketUnit="baseCoin")
        post(exchange, "order/create", spot)
        heard = socket.until(lambda messages: any(message["topic"] == "order.spot" for message in messages))
    assert [message["topic"] for message in heard] == ["execution.linear", "order.spot"]
    assert heard[0]["data"][0]["orderLinkId"] == "told-2"
    assert heard[1]["data"][0]["orderLinkId"] == "told-3"


def test_fast_executions_carry_what_is_known_first(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["execution.fast", "execution"]) as socket:
        post(exchange, "order/create", market_order("told-4"))
        heard = socket.until(lambda messages: len(messages) == 2)
    whole, fast = ({m["topic"]: m for m in heard}[topic]["data"][0] for topic in ("execution", "execution.fast"))
    assert set(fast) == {
        *("category", "symbol", "execId", "execPrice", "execQty", "orderId"),
        *("isMaker", "orderLinkId", "side", "execTime", "seq"),
    }
    assert fast.items() <= whole.items()


def test_subscribing_twice_tells_once_and_unsubscribing_ends_it(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as socket:
        assert socket.subscribe("order")["success"] is True
        post(exchange, "order/create", market_order("told-5"))
        post(exchange, "order/create", market_order("told-6"))
        socket.receive(
            lambda message: message.get("topic") == "order" and message["data"][0]["orderLinkId"] == "told-6"
        )
        told = [message["data"][0]["orderLinkId"] for message in socket.heard if message.get("topic") == "order"]
        assert told == ["told-5", "told-6"]
        assert socket.ask(op="unsubscribe", args=["order"])["success"] is True
        post(exchange, "order/create", market_order("told-7"))
        with pytest.raises(TimeoutError):
            socket.receive(timeout=0.3)


def test_every_socket_hears_the_same(exchange: PaperExchange) -> None:
    with private_socket(exchange, ["order"]) as one, private_socket(exchange, ["order"]) as other:
        push(exchange, "linear", "BTCUSDT", "50000")
        post(exchange, "order/create", market_order("told-8"))
        assert one.receive()["data"] == other.receive()["data"]


@pytest.mark.parametrize("sent", ["{", "[1]"])
def test_what_is_no_request_is_refused_and_the_socket_goes_on(exchange: PaperExchange, sent: str) -> None:
    with socket_to(exchange, "private") as socket:
        socket.connection.send(sent)
        assert socket.receive()["success"] is False
        assert socket.ask(op="ping")["op"] == "pong"


def test_a_binary_frame_ends_the_socket(exchange: PaperExchange) -> None:
    with socket_to(exchange, "private") as socket:
        socket.connection.send(b"\x00")
        with pytest.raises(ConnectionClosed):
            socket.receive()
