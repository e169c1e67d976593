"""pybit, unmodified, trades on the paper exchange over real HTTP and sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest
import websockets.sync.client

from tests.exchange.paper.account_client import (
    PrivateStream,
    push,
    raw_post,
    refusal_code,
    session,
    signed_headers,
)
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

D = Decimal
READ_ONLY = ("readonlykey", "readonlysecret")
_numbers = count(1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    """A manual market at 50,000, shared by the tests of this file: each takes its own link ids."""
    with scratch_folder() as folder:
        process = paper_exchange_process(
            folder / "data",
            "--manual",
            "--symbols",
            "BTCUSDT=50000",
            "ETHUSDT=2000",
            "SOLUSDT=150",
            "--deposit",
            "USDT=1000000",
            "--read-only-key",
            ":".join(READ_ONLY),
            "--rate-limits",
            "off",
        ).start()
        yield process
        process.stop()


@pytest.fixture(scope="module")
def stream(exchange: PaperExchange) -> Iterator[PrivateStream]:
    opened = PrivateStream(exchange)
    yield opened
    opened.close()


@pytest.fixture
def http(exchange: PaperExchange) -> Any:
    return session(exchange)


@pytest.fixture
def link() -> str:
    return f"pybit-{next(_numbers)}-E1"


def market(http: Any, category: str, side: str, qty: str, symbol: str = "BTCUSDT", **more: Any) -> dict[str, Any]:
    unit = {"marketUnit": "baseCoin"} if category == "spot" else {}
    fields = {**unit, **more}
    return http.place_order(category=category, symbol=symbol, side=side, orderType="Market", qty=qty, **fields)[
        "result"
    ]


def the_one(answer: dict[str, Any]) -> dict[str, Any]:
    (row,) = answer["result"]["list"]
    return row


def test_a_market_order_fills_and_the_private_stream_tells_it_in_bybits_order(
    http: Any, stream: PrivateStream, link: str
) -> None:
    order = market(http, "spot", "Buy", "0.01", orderLinkId=link)
    assert order["orderLinkId"] == link
    told = stream.wait_for("order", order["orderId"], orderStatus="Filled")
    execution = stream.wait_for("execution", order["orderId"])
    assert (execution["execQty"], execution["execPrice"], execution["feeCurrency"]) == ("0.01", "50005", "BTC")
    assert (told["cumExecQty"], told["avgPrice"], told["orderLinkId"]) == ("0.01", "50005", link)
    assert stream.topics_of(order["orderId"])[:2] == ["execution", "order"]
    assert all("creationTime" in message and message["id"] for message in stream.messages)


def test_order_times_are_the_markets_and_the_envelopes_is_the_walls(http: Any, link: str) -> None:
    market(http, "spot", "Buy", "0.01", orderLinkId=link)
    answer = http.get_order_history(category="spot", orderLinkId=link)
    assert int(the_one(answer)["createdTime"]) < 1_740_000_000_000  # the market began in January 2025
    assert abs(answer["time"] / 1000 - time.time()) < 5


def test_a_linear_entry_is_protected_from_the_fill_on_and_its_stop_closes_it(
    exchange: PaperExchange, http: Any, stream: PrivateStream, link: str
) -> None:
    order = market(http, "linear", "Buy", "1", symbol="ETHUSDT", stopLoss="1900", orderLinkId=link)
    stream.wait_for("order", order["orderId"], orderStatus="Filled")
    stop = the_one(http.get_open_orders(category="linear", symbol="ETHUSDT"))
    assert (stop["orderStatus"], stop["stopOrderType"], stop["orderLinkId"]) == ("Untriggered", "StopLoss", "")
    assert (stop["triggerPrice"], stop["qty"], stop["tpslMode"]) == ("1900", "1", "Full")
    position = the_one(http.get_positions(category="linear", symbol="ETHUSDT"))
    assert (position["side"], position["size"], position["stopLoss"]) == ("Buy", "1", "1900")
    push(exchange, "linear", "ETHUSDT", "1899")
    stream.wait_for("order", stop["orderId"], orderStatus="Filled")
    execution = stream.wait_for("execution", stop["orderId"])
    assert (execution["orderLinkId"], execution["createType"]) == ("", "CreateByStopLoss")
    assert execution["closedSize"] == "1"
    assert the_one(http.get_positions(category="linear", symbol="ETHUSDT"))["size"] == "0"
    push(exchange, "linear", "ETHUSDT", "2000")


def test_a_spot_stop_order_is_listed_and_cancelled_as_a_stop_order(http: Any, link: str) -> None:
    market(http, "spot", "Buy", "0.01")
    stop = market(http, "spot", "Sell", "0.005", triggerPrice="45000", orderFilter="StopOrder", orderLinkId=link)
    shown = the_one(http.get_open_orders(category="spot", orderLinkId=link))
    assert (shown["orderStatus"], shown["triggerPrice"]) == ("Untriggered", "45000")
    assert "tpslMode" not in shown
    plain = {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": link}
    assert refusal_code(http.cancel_order, **plain) == 170213  # plain orders only, unless told otherwise
    assert http.cancel_order(**plain, orderFilter="StopOrder")["result"]["orderId"] == stop["orderId"]
    assert the_one(http.get_order_history(category="spot", orderLinkId=link))["orderStatus"] == "Deactivated"


def test_cancel_all_takes_every_conditional_order_of_the_symbol(http: Any) -> None:
    made = {
        market(http, "linear", "Buy", "0.1", "SOLUSDT", triggerPrice="160", triggerDirection=1)["orderId"]
        for _ in range(3)
    }
    answer = http.cancel_all_orders(category="linear", symbol="SOLUSDT")["result"]
    assert {row["orderId"] for row in answer["list"]} == made
    assert http.get_open_orders(category="linear", symbol="SOLUSDT")["result"]["list"] == []
    assert refusal_code(http.cancel_all_orders, category="linear") == 10001


def test_orders_and_executions_page_by_their_percent_encoded_cursors(http: Any) -> None:
    made = [market(http, "linear", side, "0.1", "SOLUSDT")["orderId"] for side in ("Buy", "Sell") * 13]
    for ask, size in ((http.get_order_history, 10), (http.get_executions, 9)):
        found: list[str] = []
        cursor = ""
        while True:
            page = ask(category="linear", symbol="SOLUSDT", limit=size, cursor=cursor)["result"]
            assert len(page["list"]) <= size
            found += [row["orderId"] for row in page["list"]]
            cursor = page["nextPageCursor"]
            if not cursor:
                break
            assert "%3A" in cursor
        assert [order for order in found if order in made] == list(reversed(made))


def test_leverage_is_set_once_and_then_unchanged(http: Any) -> None:
    leverage = {"category": "linear", "symbol": "SOLUSDT", "buyLeverage": "3", "sellLeverage": "3"}
    http.set_leverage(**leverage)
    assert the_one(http.get_positions(category="linear", symbol="SOLUSDT"))["leverage"] == "3"
    assert refusal_code(http.set_leverage, **leverage) == 110043
    assert refusal_code(http.set_leverage, **{**leverage, "sellLeverage": "2"}) == 10001


def test_trading_stop_moves_the_stop_of_an_open_position(http: Any) -> None:
    market(http, "linear", "Sell", "1", "SOLUSDT")
    stop = {"category": "linear", "symbol": "SOLUSDT", "tpslMode": "Full", "positionIdx": 0}
    http.set_trading_stop(**stop, stopLoss="155")
    assert the_one(http.get_positions(category="linear", symbol="SOLUSDT"))["stopLoss"] == "155"
    assert refusal_code(http.set_trading_stop, **stop, stopLoss="155") == 34040
    assert refusal_code(http.set_trading_stop, **stop, stopLoss="145") == 10001
    assert refusal_code(http.set_trading_stop, **stop, takeProfit="151") == 10001
    http.set_trading_stop(**stop, takeProfit="100")
    assert the_one(http.get_positions(category="linear", symbol="SOLUSDT"))["takeProfit"] == "100"
    market(http, "linear", "Buy", "1", "SOLUSDT", reduceOnly=True)
    assert http.get_positions(category="linear", settleCoin="USDT")["result"]["list"] == []


def test_the_wallet_is_what_the_transaction_log_adds_up_to(exchange: PaperExchange, http: Any) -> None:
    market(http, "spot", "Buy", "0.02")
    market(http, "spot", "Sell", "0.01")
    wallet = the_one(http.get_wallet_balance(accountType="UNIFIED"))
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = http.get_transaction_log(accountType="UNIFIED", limit=50, cursor=cursor)["result"]
        rows += page["list"]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    for coin in wallet["coin"]:
        changes = [D(row["change"]) for row in rows if row["currency"] == coin["coin"]]
        assert sum(changes) == D(coin["walletBalance"])
        assert coin["availableToWithdraw"] == ""
    assert {row["type"] for row in rows} == {"TRADE", "TRANSFER_IN"}
    assert exchange.books()["check"] == {**exchange.books()["check"], "ok": True, "problems": []}


def test_account_fees_and_key_are_told(http: Any) -> None:
    assert http.get_account_info()["result"]["marginMode"] == "REGULAR_MARGIN"
    fee = the_one(http.get_fee_rates(category="linear", symbol="BTCUSDT"))
    assert (fee["takerFeeRate"], fee["makerFeeRate"]) == ("0.00055", "0.0002")
    assert http.get_api_key_information()["result"]["uta"] == 1


def test_a_duplicate_link_id_is_refused_and_the_first_order_found_by_it(http: Any, link: str) -> None:
    for category, code in (("spot", 170141), ("linear", 110072)):
        first = market(http, category, "Buy", "0.01", orderLinkId=link)
        assert refusal_code(market, http=http, category=category, side="Buy", qty="0.01", orderLinkId=link) == code
        assert (
            the_one(http.get_open_orders(category=category, symbol="BTCUSDT", orderLinkId=link))["orderId"]
            == (first["orderId"])
        )
        assert len(http.get_executions(category=category, orderLinkId=link)["result"]["list"]) == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"qty": "0.0000001"}, 170136),
        ({"qty": "many"}, 10001),
        ({"qty": "NaN"}, 10001),
        ({"qty": "1e999999"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"side": "Long"}, 10001),
        ({"category": "option"}, 10001),
        ({"orderType": "Limit"}, 10001),
        ({"orderType": "Limit", "price": "60000"}, 170193),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"takeProfit": "60000"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"qty": "1000"}, 170135),
        ({"side": "Sell", "qty": "80"}, 170131),
    ],
)
def test_bad_orders_are_refused_and_leave_nothing(
    exchange: PaperExchange, http: Any, fields: dict[str, Any], code: int
) -> None:
    before = exchange.books()
    good = {"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.01"}
    assert refusal_code(http.place_order, **{**good, "marketUnit": "baseCoin", **fields}) == code
    after = exchange.books()
    assert [after[k] for k in ("orders", "executions", "transaction_log")] == [
        before[k] for k in ("orders", "executions", "transaction_log")
    ]


def test_signatures_are_checked(exchange: PaperExchange, http: Any) -> None:
    ask = {"accountType": "UNIFIED"}
    assert refusal_code(session(exchange, key="nobody").get_wallet_balance, **ask) == 10003
    assert refusal_code(session(exchange, secret="wrong").get_wallet_balance, **ask) == 10004
    now = int(time.time() * 1000)
    for at_ms, window in ((now - 6_000, 5_000), (now + 2_000, 5_000), (now - 200, 100)):
        headers = signed_headers(exchange.key, exchange.secret, "", at_ms=at_ms, window=window)
        answer = httpx.get(f"{exchange.url}/v5/account/info", headers=headers).json()
        assert answer["retCode"] == 10002
    reader = session(exchange, *READ_ONLY)
    assert reader.get_wallet_balance(**ask)["retCode"] == 0
    assert refusal_code(market, http=reader, category="spot", side="Buy", qty="0.01") == 10005


def test_a_body_that_was_changed_after_signing_is_refused(exchange: PaperExchange) -> None:
    body = json.dumps({"category": "spot", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "10"})
    headers = signed_headers(exchange.key, exchange.secret, body)
    assert raw_post(exchange, "order/create", body.replace('"10"', '"90"'), headers)["retCode"] == 10004


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "\xff", ""])
def test_malformed_bodies_are_refused_with_10001(exchange: PaperExchange, body: str) -> None:
    answer = raw_post(exchange, "order/create", body)
    assert answer["retCode"] == 10001, answer


def test_books_tell_when_each_order_reached_the_server(exchange: PaperExchange, http: Any, link: str) -> None:
    before = time.time() * 1000
    market(http, "spot", "Buy", "0.01", orderLinkId=link)
    (order,) = [o for o in exchange.books()["orders"] if o["orderLinkId"] == link]
    assert before - 1 <= order["received_wall_ms"] <= time.time() * 1000


def socket(exchange: PaperExchange) -> Any:
    return websockets.sync.client.connect(f"ws://127.0.0.1:{exchange.port}/v5/private")


def ask(connection: Any, **request: Any) -> dict[str, Any]:
    connection.send(json.dumps(request))
    return json.loads(connection.recv(timeout=5))


def test_a_private_socket_answers_both_pings_and_refuses_who_is_not_known(exchange: PaperExchange) -> None:
    with socket(exchange) as connection:
        assert connection.ping().wait(5)
        pong = ask(connection, op="ping", req_id="7")
        assert (pong["op"], pong["req_id"]) == ("pong", "7")
        assert ask(connection, op="subscribe", args=["order"])["success"] is False
        expires = int(time.time() * 1000) + 1000
        wrong = ask(connection, op="auth", args=[exchange.key, expires, "00"])
        assert (wrong["success"], wrong["retCode"]) == (False, 10004)
        assert ask(connection, op="auth", args=["x"])["success"] is False
        assert ask(connection, op="dance")["success"] is False
        connection.send("{")
        assert json.loads(connection.recv(timeout=5))["success"] is False


def test_a_subscription_is_acknowledged_late_enough_for_slow_clients_and_loses_nothing(
    exchange: PaperExchange, http: Any, link: str
) -> None:
    with socket(exchange) as connection:
        expires = int(time.time() * 1000) + 1000
        signed = hmac.new(exchange.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        assert ask(connection, op="auth", args=[exchange.key, expires, signed])["success"] is True
        begun = time.monotonic()
        connection.send(json.dumps({"op": "subscribe", "req_id": "1", "args": ["execution.spot", "order"]}))
        assert json.loads(connection.recv(timeout=5))["success"] is True
        assert time.monotonic() - begun >= 0.018
        order = market(http, "spot", "Buy", "0.01", orderLinkId=link)
        first, second = (json.loads(connection.recv(timeout=5)) for _ in range(2))
        assert (first["topic"], second["topic"]) == ("execution.spot", "order")
        assert {row["orderId"] for row in first["data"] + second["data"]} == {order["orderId"]}
        assert ask(connection, op="subscribe", args=["orders"])["success"] is False


def limit(http: Any, category: str, side: str, qty: str, price: str, symbol: str = "ETHUSDT", **more: Any) -> Any:
    answer = http.place_order(
        category=category, symbol=symbol, side=side, orderType="Limit", qty=qty, price=price, **more
    )
    return answer["result"]


@pytest.mark.parametrize("category", ["spot", "linear"])
def test_a_limit_order_rests_is_amended_and_fills_as_maker(
    exchange: PaperExchange, http: Any, stream: PrivateStream, link: str, category: str
) -> None:
    order = limit(http, category, "Buy", "0.5", "1990", orderLinkId=f"{link}-{category}")
    stream.wait_for("order", order["orderId"], orderStatus="New")
    shown = the_one(http.get_open_orders(category=category, symbol="ETHUSDT"))
    assert (shown["price"], shown["qty"], shown["leavesQty"], shown["timeInForce"]) == ("1990", "0.5", "0.5", "GTC")
    assert shown["leavesValue"] == "995"
    named = {"category": category, "symbol": "ETHUSDT", "orderLinkId": f"{link}-{category}"}
    assert http.amend_order(**named, qty="0.7", price="1980")["result"]["orderId"] == order["orderId"]
    assert refusal_code(http.amend_order, **named, qty="0.7") == 10001
    push(exchange, category, "ETHUSDT", "1979")
    told = stream.wait_for("order", order["orderId"], orderStatus="Filled")
    assert (told["avgPrice"], told["cumExecQty"]) == ("1980", "0.7")
    execution = stream.wait_for("execution", order["orderId"])
    assert (execution["isMaker"], execution["execPrice"], execution["orderPrice"]) == (True, "1980", "1980")
    assert refusal_code(http.amend_order, **named, qty="0.8") == (170213 if category == "spot" else 110001)
    push(exchange, category, "ETHUSDT", "2000")


def test_a_post_only_order_that_would_take_is_accepted_and_told_as_ended(http: Any, stream: PrivateStream) -> None:
    for category, status in (("spot", "Rejected"), ("linear", "Cancelled")):
        price = the_one(http.get_tickers(category=category, symbol="ETHUSDT"))["ask1Price"]
        order = limit(http, category, "Buy", "0.5", price, timeInForce="PostOnly")
        told = stream.wait_for("order", order["orderId"])
        assert (told["orderStatus"], told["rejectReason"]) == (status, "EC_PostOnlyWillTakeLiquidity")


def test_a_batch_does_each_item_by_itself(http: Any) -> None:
    good = {"symbol": "ETHUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "1900"}
    links = [f"batch-{n}" for n in range(3)]
    items = [{**good, "orderLinkId": links[0]}, {**good, "side": "Long"}, {**good, "orderLinkId": links[1]}]
    answer = http.place_batch_order(category="linear", request=items)
    first, refused, second = answer["result"]["list"]
    assert [o["code"] for o in answer["retExtInfo"]["list"]] == [0, 10001, 0]
    assert (first["orderLinkId"], second["orderLinkId"], refused["orderId"]) == (links[0], links[1], "")
    assert first["orderId"]
    assert int(first["createAt"]) > 0
    amends = [{"symbol": "ETHUSDT", "orderLinkId": link, "price": "1890"} for link in links]
    answer = http.amend_batch_order(category="linear", request=amends)
    assert [o["code"] for o in answer["retExtInfo"]["list"]] == [0, 0, 110001]
    cancels = [{"symbol": "ETHUSDT", "orderId": first["orderId"]}, {"symbol": "ETHUSDT", "orderLinkId": links[1]}]
    answer = http.cancel_batch_order(category="linear", request=cancels)
    assert [o["code"] for o in answer["retExtInfo"]["list"]] == [0, 0]
    closed = http.get_order_history(category="linear", orderLinkId=links[1])
    assert (the_one(closed)["orderStatus"], the_one(closed)["price"]) == ("Cancelled", "1890")
    assert refusal_code(http.place_batch_order, category="spot", request=[good] * 11) == 10001


def test_cancel_all_keeps_to_its_scope(http: Any) -> None:
    http.cancel_all_orders(category="linear", settleCoin="USDT")
    plain = limit(http, "linear", "Buy", "0.1", "1900")
    waiting = market(http, "linear", "Buy", "0.1", "ETHUSDT", triggerPrice="2100", triggerDirection=1)
    other = limit(http, "linear", "Buy", "0.1", "149", symbol="SOLUSDT")

    def cancelled(**scope: Any) -> set[str]:
        answer = http.cancel_all_orders(category="linear", **scope)["result"]
        return {row["orderId"] for row in answer["list"]}

    assert cancelled(settleCoin="USDT", orderFilter="StopOrder", stopOrderType="Stop") == {waiting["orderId"]}
    assert cancelled(baseCoin="SOL") == {other["orderId"]}
    assert cancelled(settleCoin="USDC") == set()
    assert cancelled(settleCoin="USDT", orderFilter="Order") == {plain["orderId"]}


def test_a_spot_limit_order_with_exits_leaves_a_pair_of_which_one_ends_the_other(
    exchange: PaperExchange, http: Any, stream: PrivateStream
) -> None:
    entry = limit(http, "spot", "Buy", "0.5", "1990", takeProfit="2100", stopLoss="1900", slOrderType="Market")
    push(exchange, "spot", "ETHUSDT", "1989")
    stream.wait_for("order", entry["orderId"], orderStatus="Filled")
    rows = http.get_open_orders(category="spot", symbol="ETHUSDT", orderFilter="tpslOrder")["result"]["list"]
    assert {row["triggerPrice"] for row in rows} == {"2100", "1900"}
    assert {row["qty"] for row in rows} == {"0.4995"}  # the fee was taken in the coin
    stop, profit = sorted(rows, key=lambda row: float(row["triggerPrice"]))
    push(exchange, "spot", "ETHUSDT", "1899")
    stream.wait_for("order", stop["orderId"], orderStatus="Filled")
    stream.wait_for("order", profit["orderId"], orderStatus="Deactivated")
    push(exchange, "spot", "ETHUSDT", "2000")


def test_executions_are_found_by_type_and_base_coin(http: Any) -> None:
    market(http, "linear", "Buy", "0.1", "ETHUSDT")
    found = http.get_executions(category="linear", baseCoin="ETH", execType="Trade")["result"]["list"]
    assert found
    assert {row["symbol"] for row in found} == {"ETHUSDT"}
    assert http.get_executions(category="linear", baseCoin="ETH", execType="Funding")["result"]["list"] == []
    assert refusal_code(http.get_executions, category="linear", execType="Gift") == 10001


def test_an_order_of_realtime_is_open_unless_closed_ones_are_asked_for(http: Any, link: str) -> None:
    resting = limit(http, "spot", "Buy", "0.1", "1900", orderLinkId=link)
    done = market(http, "spot", "Buy", "0.1", "ETHUSDT")

    def told(**asked: Any) -> list[str]:
        answer = http.get_open_orders(category="spot", symbol="ETHUSDT", **asked)
        return [row["orderId"] for row in answer["result"]["list"]]

    assert told() == [resting["orderId"]]
    assert told(openOnly=1)[:2] == [done["orderId"], resting["orderId"]]
    assert told(orderId=done["orderId"]) == [done["orderId"]]
    assert told(orderFilter="StopOrder") == []
    assert refusal_code(http.get_open_orders, category="spot", openOnly=7) == 10001
    http.cancel_order(category="spot", symbol="ETHUSDT", orderLinkId=link)
    assert told() == []
    assert told(orderLinkId=link) == [resting["orderId"]]


def test_order_history_is_narrowed_by_status_and_coin(http: Any) -> None:
    limit(http, "linear", "Buy", "0.1", "1900", timeInForce="IOC")

    def statuses(**asked: Any) -> set[str]:
        rows = http.get_order_history(category="linear", limit=50, **asked)["result"]["list"]
        return {row["orderStatus"] for row in rows}

    assert statuses(baseCoin="ETH", orderStatus="Cancelled") == {"Cancelled"}
    assert statuses(settleCoin="USDC") == set()
    assert {"Filled", "Cancelled"} <= statuses(settleCoin="USDT")


def test_linear_order_rows_carry_their_exits_and_the_mode_of_them(http: Any, link: str) -> None:
    limit(
        http,
        "linear",
        "Buy",
        "0.1",
        "1900",
        orderLinkId=link,
        tpslMode="Partial",
        takeProfit="2100",
        tpOrderType="Limit",
        tpLimitPrice="2101",
        stopLoss="1800",
        slTriggerBy="MarkPrice",
    )
    row = the_one(http.get_open_orders(category="linear", symbol="ETHUSDT", orderLinkId=link))
    assert (row["tpslMode"], row["takeProfit"], row["tpLimitPrice"], row["tpTriggerBy"]) == (
        "Partial",
        "2100",
        "2101",
        "LastPrice",
    )
    assert (row["stopLoss"], row["slLimitPrice"], row["slTriggerBy"]) == ("1800", "", "MarkPrice")
    http.amend_order(category="linear", symbol="ETHUSDT", orderLinkId=link, stopLoss="0")
    assert the_one(http.get_open_orders(category="linear", orderLinkId=link, symbol="ETHUSDT"))["stopLoss"] == ""
    http.cancel_order(category="linear", symbol="ETHUSDT", orderLinkId=link)


@pytest.mark.parametrize(
    "fields",
    [
        {"category": "spot", "isLeverage": 1},
        {"category": "linear", "tpOrderType": "Limit", "takeProfit": "2100"},
        {"category": "linear", "slOrderType": "Iceberg", "stopLoss": "1800"},
        {"category": "linear", "timeInForce": "Someday"},
        {"category": "linear", "price": "nothing"},
    ],
)
def test_fields_that_would_change_the_meaning_of_an_order_are_not_passed_over(
    http: Any, fields: dict[str, Any]
) -> None:
    good = {"symbol": "ETHUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "1900"}
    assert refusal_code(http.place_order, **{**good, **fields}) in (10001, 170037)
