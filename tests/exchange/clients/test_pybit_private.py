"""pybit, unmodified, on everything private: every call it has for what this exchange offers, and both sockets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError

from tests.exchange.clients.connecting import pybit_http, pybit_socket, pybit_trade_socket
from tests.exchange.clients.private_exchange import private_exchange
from tests.support.paper import PaperExchange
from tests.support.waiting import wait_until

Row = dict[str, Any]
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
SPOT = {"category": "spot", "symbol": "BTCUSDT"}

_numbers = count(1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with private_exchange() as started:
        yield started


@pytest.fixture(scope="module")
def http(exchange: PaperExchange) -> Any:
    return pybit_http(exchange.url, exchange.key, exchange.secret)


@pytest.fixture
def link() -> str:
    return f"pybit-{next(_numbers)}"


def result(answer: Row) -> Row:
    assert answer["retCode"] == 0, answer
    return answer["result"]


def limit(link: str, **more: Any) -> Row:
    fields = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "40000", "orderLinkId": link}
    return {**fields, **more}


def market(link: str, **more: Any) -> Row:
    return {**LINEAR, "side": "Buy", "orderType": "Market", "qty": "0.01", "orderLinkId": link, **more}


def test_an_order_is_placed_amended_found_and_cancelled(http: Any, link: str) -> None:
    order_id = result(http.place_order(**limit(link)))["orderId"]
    assert result(http.amend_order(**LINEAR, orderId=order_id, price="41000", qty="0.02"))["orderLinkId"] == link
    (row,) = result(http.get_open_orders(**LINEAR, orderId=order_id))["list"]
    assert (row["price"], row["qty"], row["orderStatus"]) == ("41000", "0.02", "New")
    assert result(http.cancel_order(**LINEAR, orderLinkId=link))["orderId"] == order_id
    (closed,) = result(http.get_order_history(category="linear", orderId=order_id))["list"]
    assert closed["orderStatus"] == "Cancelled"


def test_batches_are_placed_amended_and_cancelled(http: Any, link: str) -> None:
    wanted = [{k: v for k, v in limit(f"{link}-{n}").items() if k != "category"} for n in range(3)]
    rows = result(http.place_batch_order(category="linear", request=wanted))["list"]
    named = [{"symbol": "BTCUSDT", "orderId": row["orderId"]} for row in rows]
    result(http.amend_batch_order(category="linear", request=[{**one, "price": "39000"} for one in named]))
    open_now = result(http.get_open_orders(**LINEAR))["list"]
    assert [row["price"] for row in open_now if row["orderLinkId"].startswith(f"{link}-")] == ["39000"] * 3
    gone = http.cancel_batch_order(category="linear", request=named)
    assert [outcome["code"] for outcome in gone["retExtInfo"]["list"]] == [0, 0, 0]


def test_all_orders_are_cancelled(http: Any, link: str) -> None:
    for number in range(2):
        http.place_order(**limit(f"{link}-{number}"))
    assert len(result(http.cancel_all_orders(**LINEAR))["list"]) == 2
    assert result(http.get_open_orders(**LINEAR))["list"] == []


def test_a_fill_is_an_execution_a_position_and_its_profit_when_closed(http: Any, link: str) -> None:
    order_id = result(http.place_order(**market(link)))["orderId"]
    (fill,) = result(http.get_executions(category="linear", orderId=order_id))["list"]
    assert (fill["execQty"], fill["execType"], fill["feeRate"]) == ("0.01", "Trade", "0.00055")
    (position,) = result(http.get_positions(**LINEAR))["list"]
    assert (position["side"], position["size"]) == ("Buy", "0.01")
    http.place_order(**market(f"{link}-X", side="Sell", reduceOnly=True))
    closed = result(http.get_closed_pnl(**LINEAR))["list"][0]
    assert (closed["closedSize"], closed["side"]) == ("0.01", "Sell")
    assert float(closed["closedPnl"]) < 0


def test_a_position_is_set_up_and_protected(http: Any, link: str) -> None:
    result(http.set_leverage(**LINEAR, buyLeverage="7", sellLeverage="7"))
    with pytest.raises(InvalidRequestError, match="110043"):
        http.set_leverage(**LINEAR, buyLeverage="7", sellLeverage="7")
    result(http.switch_position_mode(**LINEAR, mode=0))
    with pytest.raises(InvalidRequestError, match="110029"):
        http.switch_position_mode(**LINEAR, mode=3)
    http.place_order(**market(link))
    result(http.set_trading_stop(**LINEAR, takeProfit="60000", stopLoss="45000", tpslMode="Full", positionIdx=0))
    (position,) = result(http.get_positions(**LINEAR))["list"]
    assert (position["takeProfit"], position["stopLoss"], position["leverage"]) == ("60000", "45000", "7")
    http.place_order(**market(f"{link}-X", side="Sell", reduceOnly=True))


def test_spot_is_bought_and_sold(http: Any, link: str) -> None:
    result(http.place_order(**{**market(link), **SPOT, "qty": "100"}))
    (bought,) = result(http.get_executions(category="spot"))["list"][:1]
    assert (bought["side"], bought["feeCurrency"]) == ("Buy", "BTC")
    result(http.place_order(**{**market(f"{link}-X"), **SPOT, "side": "Sell", "qty": "0.001"}))


def test_the_account_is_described(http: Any) -> None:
    assert result(http.get_wallet_balance(accountType="UNIFIED"))["list"][0]["accountType"] == "UNIFIED"
    assert result(http.get_account_info())["marginMode"] == "REGULAR_MARGIN"
    assert result(http.get_fee_rates(**LINEAR))["list"][0]["takerFeeRate"] == "0.00055"
    assert result(http.get_transaction_log(accountType="UNIFIED"))["list"]
    assert result(http.get_api_key_information())["uta"] == 1
    assert {"BTC", "USDT"} <= {row["coin"] for row in result(http.get_coin_info())["rows"]}


def test_money_is_moved_to_the_funding_account_and_back(http: Any) -> None:
    def held() -> str:
        row = result(http.get_coin_balance(accountType="FUND", coin="USDT"))["balance"]
        return row["walletBalance"]

    assert held() == "0"
    there = {"transferId": str(uuid.uuid4()), "coin": "USDT", "amount": "250"}
    moved = http.create_internal_transfer(**there, fromAccountType="UNIFIED", toAccountType="FUND")
    assert result(moved)["transferId"] == there["transferId"]
    assert held() == "250"
    assert result(http.get_coins_balance(accountType="FUND", coin="USDT"))["balance"][0]["walletBalance"] == "250"
    back = {**there, "transferId": str(uuid.uuid4()), "fromAccountType": "FUND", "toAccountType": "UNIFIED"}
    assert result(http.create_internal_transfer(**back))["status"] == "SUCCESS"
    rows = result(http.get_internal_transfer_records())["list"]
    assert {there["transferId"], back["transferId"]} <= {row["transferId"] for row in rows}


def test_the_private_socket_tells_an_order_from_end_to_end(exchange: PaperExchange, http: Any, link: str) -> None:
    socket = pybit_socket(exchange.url, "private", exchange.key, exchange.secret)
    heard: list[Row] = []
    for subscribe in (socket.order_stream, socket.execution_stream, socket.position_stream, socket.wallet_stream):
        subscribe(heard.append)
    socket.fast_execution_stream(heard.append)
    try:
        wait_until(lambda: socket.is_connected(), "the socket")

        def told() -> bool:
            http.place_order(**market(f"{link}-{next(_numbers)}"))
            return {m["topic"] for m in list(heard)} >= {"order", "execution", "execution.fast", "position", "wallet"}

        wait_until(told, "every topic", every=0.1)
    finally:
        socket.exit()


def test_the_trade_socket_places_amends_and_cancels(exchange: PaperExchange, http: Any, link: str) -> None:
    socket = pybit_trade_socket(exchange.url, exchange.key, exchange.secret)
    answers: list[Row] = []
    refused: list[Row] = []

    def ask(operation: Any, **fields: Any) -> Row:
        before = len(answers)
        operation(answers.append, refused.append, **fields)
        wait_until(lambda: len(answers) > before or refused, "the answer")
        assert refused == []
        return answers[-1]

    # the library sends first and notes then whom to tell: an answer that is quicker than that is lost in it
    exchange.add_fault(kind="delay", via="socket", delay_ms=200, after=True)
    try:
        wait_until(lambda: socket.auth, "the authentication")
        order_id = ask(socket.place_order, **limit(link))["data"]["orderId"]
        ask(socket.amend_order, **LINEAR, orderId=order_id, price="38000")
        assert result(http.get_open_orders(**LINEAR, orderId=order_id))["list"][0]["price"] == "38000"
        ask(socket.cancel_order, **LINEAR, orderId=order_id)
        wanted = [{k: v for k, v in limit(f"{link}-{n}").items() if k != "category"} for n in range(2)]
        made = ask(socket.place_batch_order, category="linear", request=wanted)
        named = [{"symbol": "BTCUSDT", "orderId": row["orderId"]} for row in made["data"]["list"]]
        ask(socket.amend_batch_order, category="linear", request=[{**one, "qty": "0.02"} for one in named])
        ask(socket.cancel_batch_order, category="linear", request=named)
        socket.place_order(answers.append, refused.append, **market(link, qty="0"))
        wait_until(lambda: refused, "the refusal")
        assert refused[0]["retCode"] != 0
    finally:
        exchange.clear_faults()
        socket.exit()
