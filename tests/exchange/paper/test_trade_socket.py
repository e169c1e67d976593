"""The trade socket: orders as over REST, answered by reqId, with Bybit's refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.exchange.paper.socket_client import (
    Socket,
    get,
    market_order,
    orders_of,
    socket_to,
    trade_request,
    trade_socket,
)
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

OPTIONS = ("--manual", "--symbols", "BTCUSDT=50000", "--deposit", "USDT=10000000", "--rate-limits", "off")


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        reading = ("--read-only-key", "reader:readersecret")
        process = paper_exchange_process(folder / "data", *OPTIONS, *reading).start()
        yield process
        process.stop()


@pytest.fixture
def socket(exchange: PaperExchange) -> Iterator[Socket]:
    with trade_socket(exchange) as made:
        yield made


def limit_order(link: str, **more: str) -> dict[str, str]:
    return market_order(link, orderType="Limit", price="40000", **more)


def test_auth_is_answered_in_the_trade_socket_s_own_shape(exchange: PaperExchange) -> None:
    with socket_to(exchange, "trade") as made:
        wrong = made.authenticate(secret="wrong", reqId="a1")
        assert (wrong["retCode"], wrong["op"], wrong["reqId"]) == (10004, "auth", "a1")
        right = made.authenticate()
        assert right == {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": right["connId"]}
        assert made.authenticate()["retCode"] == 20001


def test_ping_is_answered_with_the_time(socket: Socket) -> None:
    pong = socket.ask(op="ping")
    assert (pong["retCode"], pong["op"]) == (0, "pong")
    assert abs(int(pong["data"][0]) - time.time() * 1000) < 5000


def test_an_order_is_created_and_its_request_id_told_back(exchange: PaperExchange, socket: Socket) -> None:
    answer = socket.trade("order.create", market_order("trade-1"))
    (order,) = orders_of(exchange, "trade-1")
    assert (answer["retCode"], answer["retMsg"], answer["op"]) == (0, "OK", "order.create")
    assert answer["data"] == {"orderId": order["orderId"], "orderLinkId": "trade-1"}
    assert answer["retExtInfo"] == {}
    assert {"Traceid", "Timenow"} <= set(answer["header"])


def test_an_order_is_amended_and_cancelled(exchange: PaperExchange, socket: Socket) -> None:
    made = socket.trade("order.create", limit_order("trade-2"))["data"]
    named = {"category": "linear", "symbol": "BTCUSDT", "orderId": made["orderId"]}
    assert socket.trade("order.amend", {**named, "price": "41000"})["data"]["orderId"] == made["orderId"]
    assert orders_of(exchange, "trade-2")[0]["price"] == "41000"
    assert socket.trade("order.cancel", named)["retCode"] == 0
    assert orders_of(exchange, "trade-2")[0]["orderStatus"] == "Cancelled"
    assert socket.trade("order.cancel", named)["retCode"] == 110001


def test_batches_answer_each_item(exchange: PaperExchange, socket: Socket) -> None:
    items = [limit_order("trade-b1"), limit_order("trade-b2"), limit_order("trade-b1")]
    made = socket.trade("order.create-batch", {"category": "linear", "request": items})
    assert made["retCode"] == 0
    assert [outcome["code"] for outcome in made["retExtInfo"]["list"]] == [0, 0, 110072]
    ids = [{"symbol": "BTCUSDT", "orderId": row["orderId"]} for row in made["data"]["list"][:2]]
    amended = [{**named, "qty": "0.002"} for named in ids]
    told = socket.trade("order.amend-batch", {"category": "linear", "request": amended})
    assert [outcome["code"] for outcome in told["retExtInfo"]["list"]] == [0, 0]
    assert orders_of(exchange, "trade-b2")[0]["qty"] == "0.002"
    gone = socket.trade("order.cancel-batch", {"category": "linear", "request": ids})
    assert [row["orderId"] for row in gone["data"]["list"]] == [named["orderId"] for named in ids]


def test_refusals_are_those_of_rest(socket: Socket) -> None:
    socket.trade("order.create", market_order("trade-3"))
    assert socket.trade("order.create", market_order("trade-3"))["retCode"] == 110072
    assert socket.trade("order.create", market_order(qty="9000"))["retCode"] == 10001
    assert socket.trade("order.create", market_order(category="option"))["retCode"] == 10404
    assert socket.trade("order.replace", market_order())["retCode"] == 10404


def test_a_request_id_can_not_be_used_twice(exchange: PaperExchange, socket: Socket) -> None:
    socket.send(**trade_request("order.create", market_order("trade-4"), reqId="same"))
    socket.send(**trade_request("order.create", market_order("trade-5"), reqId="same"))
    codes = {socket.receive()["retCode"] for _ in range(2)}
    assert codes == {0, 20006}
    assert len(orders_of(exchange, "trade-4")) == 1
    assert orders_of(exchange, "trade-5") == []


def test_an_old_request_is_not_looked_at(exchange: PaperExchange, socket: Socket) -> None:
    old = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000) - 10_000), "X-BAPI-RECV-WINDOW": "5000"}
    assert socket.trade("order.create", market_order("trade-6"), header=old)["retCode"] == 10002
    assert orders_of(exchange, "trade-6") == []


def test_only_who_may_trade_can(exchange: PaperExchange) -> None:
    with socket_to(exchange, "trade") as stranger:
        assert stranger.trade("order.create", market_order("trade-7"))["retCode"] == 10003
        assert stranger.authenticate(key="reader", secret="readersecret")["retCode"] == 0
        assert stranger.trade("order.create", market_order("trade-7"))["retCode"] == 10005
    assert orders_of(exchange, "trade-7") == []


@pytest.mark.parametrize("sent", ["{", "[]", '"x"'])
def test_what_is_no_request_is_refused_and_the_socket_goes_on(socket: Socket, sent: str) -> None:
    socket.connection.send(sent)
    assert socket.receive()["retCode"] == 10001
    assert socket.ask(op="ping")["retCode"] == 0


def test_requests_of_one_socket_take_effect_in_order(exchange: PaperExchange, socket: Socket) -> None:
    links = [f"row-{number}" for number in range(40)]
    for link in links:
        socket.send(**trade_request("order.create", market_order(link), reqId=link))
    assert {socket.receive()["reqId"] for _ in links} == set(links)
    made = [order["orderLinkId"] for order in exchange.books()["orders"] if order["orderLinkId"].startswith("row-")]
    assert sorted(made, key=lambda link: int(link.split("-")[1])) in (made, made[::-1])


def test_what_was_answered_is_on_disk(exchange: PaperExchange) -> None:
    with trade_socket(exchange) as socket:
        order_id = socket.trade("order.create", market_order("trade-8"))["data"]["orderId"]
        exchange.kill()
    exchange.start()
    rows = get(exchange, "order/history", category="linear", orderId=order_id).json()["result"]["list"]
    assert [row["orderLinkId"] for row in rows] == ["trade-8"]
