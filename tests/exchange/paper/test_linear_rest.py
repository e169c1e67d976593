"""Positions, closed P&L, transfers and the wallet as pybit sees them, on a real server and over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.exchange.paper.account_client import PrivateStream, push, refusal_code, session
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

D = Decimal
WITHDRAWS = ("withdrawkey", "withdrawsecret")
SYMBOL = {"category": "linear", "symbol": "BTCUSDT"}
_numbers = count(1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    """A manual market at 50,000; each test leaves it without positions."""
    with scratch_folder() as folder:
        process = paper_exchange_process(
            folder / "data",
            "--manual",
            "--symbols",
            "BTCUSDT=50000",
            "SOLUSDT=150",
            "--deposit",
            "USDT=1000000",
            "--withdraw-key",
            ":".join(WITHDRAWS),
            "--rate-limits",
            "off",
        ).start()
        yield process
        process.stop()


@pytest.fixture
def http(exchange: PaperExchange) -> Iterator[Any]:
    push(exchange, "spot", "BTCUSDT", "50000")
    push(exchange, "linear", "BTCUSDT", "50000")
    client = session(exchange)
    yield client
    for position in rows(client.get_positions(category="linear", settleCoin="USDT")):
        side = "Sell" if position["side"] == "Buy" else "Buy"
        trade(client, side, position["size"], symbol=position["symbol"], reduceOnly=True)
    check = exchange.books()["check"]
    assert check["ok"], check


def trade(client: Any, side: str, qty: str, **more: Any) -> str:
    """A market order; its id."""
    fields = {**SYMBOL, "side": side, "orderType": "Market", "qty": qty, "orderLinkId": f"rest-{next(_numbers)}"}
    return client.place_order(**{**fields, **more})["result"]["orderId"]


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return answer["result"]["list"]


def test_a_position_row_tells_margins_exits_leverage_and_where_it_is_liquidated(http: Any) -> None:
    http.set_leverage(**SYMBOL, buyLeverage="20", sellLeverage="20")
    trade(http, "Buy", "0.1")
    http.set_trading_stop(
        **SYMBOL,
        tpslMode="Full",
        positionIdx=0,
        takeProfit="55000",
        stopLoss="48000",
        slTriggerBy="MarkPrice",
        trailingStop="900",
        activePrice="51000",
    )
    (row,) = rows(http.get_positions(**SYMBOL))
    assert (row["side"], row["size"], row["leverage"]) == ("Buy", "0.1", "20")
    assert (row["takeProfit"], row["stopLoss"], row["trailingStop"]) == ("55000", "48000", "900")
    value = D(row["positionValue"])
    assert D(row["positionIM"]) == value / 20 + value * D("0.00055")
    assert D(row["positionMM"]) == D("5000") * D("0.00555")
    assert row["liqPrice"] == ""  # the account could lose all of it
    assert D(row["curRealisedPnl"]) == -value * D("0.00055")
    found = {o["stopOrderType"]: o for o in rows(http.get_open_orders(**SYMBOL))}
    assert set(found) == {"TakeProfit", "StopLoss", "TrailingStop"}
    assert found["StopLoss"]["triggerBy"] == "MarkPrice"
    assert {o["tpslMode"] for o in found.values()} == {"Full"}
    assert refusal_code(http.set_trading_stop, **SYMBOL, positionIdx=0, takeProfit="55000") == 34040
    http.set_trading_stop(**SYMBOL, positionIdx=0, takeProfit="0", stopLoss="0", trailingStop="0")
    assert rows(http.get_open_orders(**SYMBOL)) == []


def test_positions_are_listed_by_symbol_by_settle_coin_and_by_page(http: Any) -> None:
    assert [r["size"] for r in rows(http.get_positions(**SYMBOL))] == ["0"]
    assert rows(http.get_positions(category="linear", settleCoin="USDT")) == []
    trade(http, "Buy", "0.1")
    trade(http, "Sell", "5", symbol="SOLUSDT")
    first = http.get_positions(category="linear", settleCoin="USDT", limit=1)
    second = http.get_positions(category="linear", settleCoin="USDT", limit=1, cursor=first["result"]["nextPageCursor"])
    assert [r["symbol"] for r in rows(first) + rows(second)] == ["BTCUSDT", "SOLUSDT"]
    assert second["result"]["nextPageCursor"] == ""
    assert [r["symbol"] for r in rows(http.get_positions(category="linear", baseCoin="SOL"))] == ["SOLUSDT"]
    assert refusal_code(http.get_positions, category="linear") == 10001
    assert refusal_code(http.get_positions, category="spot") == 10001


def test_partial_exits_with_a_limit_are_set_by_trading_stop(http: Any, exchange: PaperExchange) -> None:
    trade(http, "Buy", "0.2")
    http.set_trading_stop(
        **SYMBOL,
        positionIdx=0,
        tpslMode="Partial",
        takeProfit="51000",
        tpOrderType="Limit",
        tpLimitPrice="51010",
        tpSize="0.1",
        stopLoss="49000",
        slSize="0.1",
    )
    found = {o["stopOrderType"]: o for o in rows(http.get_open_orders(**SYMBOL))}
    assert (found["PartialTakeProfit"]["orderType"], found["PartialTakeProfit"]["price"]) == ("Limit", "51010")
    assert {o["tpslMode"] for o in found.values()} == {"Partial"}
    push(exchange, "linear", "BTCUSDT", "51000")
    (left,) = rows(http.get_open_orders(**SYMBOL))
    assert (left["orderStatus"], left["stopOrderType"]) == ("New", "PartialTakeProfit")
    http.cancel_order(**SYMBOL, orderId=left["orderId"])
    bad = {"tpslMode": "Partial", "takeProfit": "56000", "tpSize": "0.1", "tpOrderType": "Limit"}
    assert refusal_code(http.set_trading_stop, **SYMBOL, positionIdx=0, **bad) == 10001
    assert refusal_code(http.set_trading_stop, **SYMBOL, positionIdx=0) == 10001


def test_closed_pnl_is_listed_newest_first_by_page_and_week(http: Any) -> None:
    orders = []
    for _ in range(3):
        trade(http, "Buy", "0.01")
        orders.append(trade(http, "Sell", "0.01", reduceOnly=True))
    first = http.get_closed_pnl(**SYMBOL, limit=2)
    second = http.get_closed_pnl(**SYMBOL, limit=1, cursor=first["result"]["nextPageCursor"])
    found = rows(first) + rows(second)
    assert [r["orderId"] for r in found] == orders[::-1]
    row = found[0]
    entry, exit_, fees = D(row["cumEntryValue"]), D(row["cumExitValue"]), D(row["openFee"]) + D(row["closeFee"])
    assert D(row["closedPnl"]) == exit_ - entry - fees
    assert (row["side"], row["execType"], row["fillCount"], row["closedSize"]) == ("Sell", "Trade", "1", "0.01")
    assert (row["avgEntryPrice"], row["avgExitPrice"]) == ("50005", "49995")
    window = {"startTime": 1, "endTime": 1 + 8 * 86_400_000}
    assert refusal_code(http.get_closed_pnl, **SYMBOL, **window) == 10001
    assert rows(http.get_closed_pnl(**SYMBOL, startTime=1, endTime=86_400_000)) == []


def test_the_wallets_totals_are_those_of_its_parts(http: Any) -> None:
    trade(http, "Buy", "1")
    limit = http.place_order(
        **SYMBOL, side="Buy", orderType="Limit", qty="1", price="40000", orderLinkId=f"rest-{next(_numbers)}"
    )["result"]["orderId"]
    (account,) = rows(http.get_wallet_balance(accountType="UNIFIED"))
    (coin,) = [c for c in account["coin"] if c["coin"] == "USDT"]
    leverage = D(rows(http.get_positions(**SYMBOL))[0]["leverage"])
    assert D(coin["totalOrderIM"]) == D(40_000) / leverage + 2 * D(40_000) * D("0.00055")
    assert D(account["totalInitialMargin"]) == D(coin["totalPositionIM"]) + D(coin["totalOrderIM"])
    assert D(account["totalMaintenanceMargin"]) == D(coin["totalPositionMM"]) == D(50_000) * D("0.00555")
    assert D(account["totalMarginBalance"]) == D(account["totalWalletBalance"]) + D(account["totalPerpUPL"])
    loss = D(account["totalPerpUPL"])
    assert loss == D(-5)
    assert D(account["totalAvailableBalance"]) == D(coin["walletBalance"]) + loss - D(account["totalInitialMargin"])
    assert D(account["accountIMRate"]) > D(account["accountMMRate"]) > 0
    http.cancel_order(**SYMBOL, orderId=limit)


def test_a_transfer_moves_coins_to_the_funding_account_and_back_once_per_id(http: Any, exchange: PaperExchange) -> None:
    transfer = {
        "transferId": str(uuid4()),
        "coin": "USDT",
        "amount": "1500.5",
        "fromAccountType": "UNIFIED",
        "toAccountType": "FUND",
    }
    before = D(rows(http.get_wallet_balance(accountType="UNIFIED"))[0]["totalWalletBalance"])
    assert http.create_internal_transfer(**transfer)["result"]["transferId"] == transfer["transferId"]
    assert refusal_code(http.create_internal_transfer, **transfer) == 131214
    after = D(rows(http.get_wallet_balance(accountType="UNIFIED"))[0]["totalWalletBalance"])
    assert before - after == D("1500.5")
    held = http.get_coins_balance(accountType="FUND")["result"]["balance"]
    assert held == [{"coin": "USDT", "transferBalance": "1500.5", "walletBalance": "1500.5", "bonus": ""}]
    back = {**transfer, "transferId": str(uuid4()), "fromAccountType": "FUND", "toAccountType": "UNIFIED"}
    assert refusal_code(http.create_internal_transfer, **{**back, "amount": "1501"}) == 131212
    assert refusal_code(http.create_internal_transfer, **{**back, "toAccountType": "FUND"}) == 131211
    exchange.kill()
    exchange.start()
    http = session(exchange)
    assert refusal_code(http.create_internal_transfer, **transfer) == 131214
    assert exchange.books()["funding_account"] == {"USDT": "1500.5"}
    http.create_internal_transfer(**back)
    found = rows(http.get_internal_transfer_records())
    assert [(r["transferId"], r["fromAccountType"], r["amount"]) for r in found] == [
        (back["transferId"], "FUND", "1500.5"),
        (transfer["transferId"], "UNIFIED", "1500.5"),
    ]
    assert rows(http.get_internal_transfer_records(transferId=back["transferId"]))[0]["status"] == "SUCCESS"
    kinds = [r["type"] for r in rows(http.get_transaction_log(currency="USDT"))]
    assert kinds[:2] == ["TRANSFER_IN", "TRANSFER_OUT"]
    single = http.get_coin_balance(accountType="UNIFIED", coin="USDT")["result"]["balance"]
    assert single["walletBalance"] == str(before.normalize()) or D(single["walletBalance"]) == before


def test_what_positions_hold_can_not_be_transferred(http: Any) -> None:
    trade(http, "Buy", "1")
    balance = http.get_coin_balance(accountType="UNIFIED", coin="USDT")["result"]["balance"]
    free, whole = D(balance["transferBalance"]), D(balance["walletBalance"])
    assert free < whole
    request = {"coin": "USDT", "fromAccountType": "UNIFIED", "toAccountType": "FUND"}
    too_much = {**request, "transferId": str(uuid4()), "amount": str(free + 1)}
    assert refusal_code(http.create_internal_transfer, **too_much) == 131212
    there, back = str(uuid4()), str(uuid4())
    http.create_internal_transfer(**request, transferId=there, amount=str(free))
    home = {"coin": "USDT", "fromAccountType": "FUND", "toAccountType": "UNIFIED"}
    http.create_internal_transfer(**home, transferId=back, amount=str(free))


def test_the_transaction_log_is_filtered_by_type_coin_and_base_coin(http: Any) -> None:
    trade(http, "Buy", "0.01")
    trade(http, "Buy", "1", symbol="SOLUSDT")
    assert {r["symbol"] for r in rows(http.get_transaction_log(type="TRADE", baseCoin="SOL"))} == {"SOLUSDT"}
    assert {r["type"] for r in rows(http.get_transaction_log(category="linear"))} == {"TRADE"}
    assert rows(http.get_transaction_log(currency="BTC")) == []
    assert rows(http.get_transaction_log(transSubType="movePosition")) == []


def test_modes_are_one_way_and_regular_margin_and_stay_so(http: Any) -> None:
    assert http.switch_position_mode(**SYMBOL, mode=0)["retCode"] == 0
    assert http.switch_position_mode(category="linear", coin="USDT", mode=0)["retCode"] == 0
    assert refusal_code(http.switch_position_mode, **SYMBOL, mode=3) == 110029
    assert refusal_code(http.switch_position_mode, category="linear", mode=0) == 10001
    assert http.set_margin_mode(setMarginMode="REGULAR_MARGIN")["result"] == {"reasons": []}
    assert refusal_code(http.set_margin_mode, setMarginMode="ISOLATED_MARGIN") == 3400045


def test_leverage_has_the_limit_of_the_symbol(http: Any) -> None:
    assert refusal_code(http.set_leverage, **SYMBOL, buyLeverage="101", sellLeverage="101") == 110013
    sol = {"category": "linear", "symbol": "SOLUSDT"}
    assert refusal_code(http.set_leverage, **sol, buyLeverage="51", sellLeverage="51") == 110013
    http.set_leverage(**sol, buyLeverage="50", sellLeverage="50")
    assert refusal_code(http.set_leverage, **sol, buyLeverage="50", sellLeverage="50") == 110043


def test_a_key_tells_whether_it_could_withdraw(http: Any, exchange: PaperExchange) -> None:
    assert http.get_api_key_information()["result"]["permissions"]["Wallet"] == []
    other = session(exchange, *WITHDRAWS)
    assert "Withdraw" in other.get_api_key_information()["result"]["permissions"]["Wallet"]


def test_coins_and_system_status_are_told(http: Any, exchange: PaperExchange) -> None:
    found = http.get_coin_info()["result"]["rows"]
    assert [r["coin"] for r in found] == ["BTC", "SOL", "USDT"]
    assert {chain["chainWithdraw"] for r in found for chain in r["chains"]} == {"0"}
    assert [r["coin"] for r in http.get_coin_info(coin="SOL")["result"]["rows"]] == ["SOL"]
    status = httpx.get(f"{exchange.url}/v5/system/status", timeout=5).json()
    assert (status["retCode"], status["result"]) == (0, {"list": []})


def test_a_trailing_stop_that_moves_is_told_on_the_private_stream(http: Any, exchange: PaperExchange) -> None:
    stream = PrivateStream(exchange)
    try:
        trade(http, "Buy", "0.1")
        http.set_trading_stop(**SYMBOL, positionIdx=0, trailingStop="500")
        (order,) = rows(http.get_open_orders(**SYMBOL))
        push(exchange, "linear", "BTCUSDT", "50400")
        stream.wait_for("order", order["orderId"], triggerPrice="49900")
        push(exchange, "linear", "BTCUSDT", "49900")
        stream.wait_for("order", order["orderId"], orderStatus="Filled")
        fill = stream.wait_for("execution", order["orderId"])
        assert (fill["stopOrderType"], fill["createType"]) == ("TrailingStop", "CreateByTrailingStop")
    finally:
        stream.close()
