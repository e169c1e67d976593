"""ccxt, unmodified, trading: orders of every type, their changes, and what the account is told to be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import ccxt
import pytest

from tests.exchange.clients.connecting import ccxt_exchange
from tests.exchange.clients.private_exchange import LINEAR, PRICE, SPOT, private_exchange
from tests.exchange.paper.account_client import push
from tests.support.paper import PaperExchange

_numbers = count(1)


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with private_exchange() as started:
        yield started


@pytest.fixture(scope="module")
def client(exchange: PaperExchange) -> ccxt.bybit:
    return ccxt_exchange(exchange.url, exchange.key, exchange.secret)


@pytest.fixture(autouse=True)
def flat(client: Any) -> Iterator[None]:
    """Each test begins and ends without orders and positions."""
    yield
    for symbol in (LINEAR, SPOT):
        client.cancel_all_orders(symbol)
    client.cancel_all_orders(SPOT, {"orderFilter": "StopOrder"})
    for position in client.fetch_positions([LINEAR]):
        if position["contracts"]:
            side = "sell" if position["side"] == "long" else "buy"
            client.create_order(LINEAR, "market", side, position["contracts"], None, {"reduceOnly": True})


def open_ids(client: Any, symbol: str, **more: Any) -> set[str]:
    return {order["id"] for order in client.fetch_open_orders(symbol, None, None, more)}


@pytest.mark.parametrize(("symbol", "amount"), [(LINEAR, 0.01), (SPOT, 0.01)])
def test_a_market_order_fills(client: Any, symbol: str, amount: float) -> None:
    made = client.create_order(symbol, "market", "buy", amount, PRICE)
    found = client.fetch_order(made["id"], symbol, {"acknowledged": True})
    assert (found["status"], found["side"], found["type"]) == ("closed", "buy", "market")
    assert found["filled"] == pytest.approx(amount, rel=0.01)
    assert made["id"] in {order["id"] for order in client.fetch_closed_orders(symbol)}
    trades = client.fetch_order_trades(made["id"], symbol)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(found["filled"])
    assert made["id"] in {trade["order"] for trade in client.fetch_my_trades(symbol)}


@pytest.mark.parametrize("symbol", [LINEAR, SPOT])
@pytest.mark.parametrize("more", [{}, {"postOnly": True}, {"timeInForce": "GTC"}])
def test_a_limit_order_rests_is_edited_and_cancelled(client: Any, symbol: str, more: dict[str, Any]) -> None:
    made = client.create_order(symbol, "limit", "buy", 0.01, 40_000, more)
    assert open_ids(client, symbol) == {made["id"]}
    client.edit_order(made["id"], symbol, "limit", "buy", 0.02, 41_000)
    (order,) = client.fetch_open_orders(symbol)
    assert (order["price"], order["amount"], order["status"]) == (41_000, 0.02, "open")
    client.cancel_order(made["id"], symbol)
    assert open_ids(client, symbol) == set()
    assert made["id"] in {order["id"] for order in client.fetch_canceled_orders(symbol)}


@pytest.mark.parametrize(("tif", "price", "status"), [("IOC", 40_000, "canceled"), ("FOK", 51_000, "closed")])
def test_immediate_orders_end_at_once(client: Any, tif: str, price: float, status: str) -> None:
    made = client.create_order(LINEAR, "limit", "buy", 0.01, price, {"timeInForce": tif})
    assert client.fetch_order(made["id"], LINEAR, {"acknowledged": True})["status"] == status


@pytest.mark.parametrize(
    ("symbol", "direction", "kept"),
    [(LINEAR, {"triggerDirection": "ascending"}, {}), (SPOT, {}, {"orderFilter": "StopOrder"})],
)
def test_a_trigger_order_waits_for_its_price(
    client: Any, exchange: PaperExchange, symbol: str, direction: dict[str, str], kept: dict[str, str]
) -> None:
    made = client.create_order(symbol, "market", "buy", 0.01, 55_000, {"triggerPrice": 55_000, **direction})
    assert open_ids(client, symbol, **kept) == {made["id"]}
    category = "linear" if symbol == LINEAR else "spot"
    push(exchange, category, "BTCUSDT", "55100")
    assert client.fetch_order(made["id"], symbol, {"acknowledged": True})["status"] == "closed"
    push(exchange, category, "BTCUSDT", str(PRICE))


def test_an_entry_brings_its_exits(client: Any) -> None:
    exits = {"stopLoss": {"triggerPrice": 45_000}, "takeProfit": {"triggerPrice": 60_000}}
    client.create_order(LINEAR, "market", "buy", 0.01, None, exits)
    (position,) = client.fetch_positions([LINEAR])
    assert (position["stopLossPrice"], position["takeProfitPrice"]) == (45_000, 60_000)
    assert (position["side"], position["contracts"]) == ("long", 0.01)


def test_a_position_is_given_a_stop_and_a_trailing_stop(client: Any) -> None:
    client.create_order(LINEAR, "market", "buy", 0.01)
    client.create_order(LINEAR, "market", "sell", 0.01, None, {"stopLossPrice": 44_000, "tradingStopEndpoint": True})
    client.create_order(LINEAR, "market", "sell", 0.01, None, {"trailingAmount": 500})
    (stop,) = [o["info"] for o in client.fetch_open_orders(LINEAR) if o["info"]["stopOrderType"] == "PartialStopLoss"]
    assert (stop["triggerPrice"], stop["qty"]) == ("44000", "0.01"), "ccxt names a size, so it is a stop of a part"
    (position,) = client.fetch_positions([LINEAR])
    assert float(position["info"]["trailingStop"]) == 500


def test_orders_are_made_and_cancelled_together(client: Any) -> None:
    wanted = [
        {"symbol": LINEAR, "type": "limit", "side": "buy", "amount": 0.01, "price": price} for price in (40_000, 41_000)
    ]
    made = client.create_orders(wanted)
    ids = [order["id"] for order in made]
    assert open_ids(client, LINEAR) == set(ids)
    changed = [
        {"id": name, "symbol": LINEAR, "type": "limit", "side": "buy", "amount": 0.02, "price": 39_000} for name in ids
    ]
    client.edit_orders(changed)
    assert {order["price"] for order in client.fetch_open_orders(LINEAR)} == {39_000}
    client.cancel_orders(ids, LINEAR)
    assert open_ids(client, LINEAR) == set()


def test_all_orders_are_cancelled(client: Any) -> None:
    for price in (40_000, 41_000, 42_000):
        client.create_order(LINEAR, "limit", "buy", 0.01, price)
    assert len(client.cancel_all_orders(LINEAR)) == 3
    assert open_ids(client, LINEAR) == set()


def test_a_round_trip_is_in_the_position_history_with_its_loss(client: Any) -> None:
    client.create_order(LINEAR, "market", "buy", 0.01)
    client.create_order(LINEAR, "market", "sell", 0.01, None, {"reduceOnly": True})
    newest = client.fetch_positions_history([LINEAR])[0]
    assert float(newest["info"]["closedPnl"]) < 0
    assert float(newest["info"]["closedSize"]) == 0.01


def test_the_balance_holds_what_orders_lock(client: Any) -> None:
    before = client.fetch_balance()["USDT"]
    made = client.create_order(SPOT, "limit", "buy", 0.1, 40_000)
    during = client.fetch_balance()["USDT"]
    assert during["total"] == before["total"]
    assert during["used"] - before["used"] == pytest.approx(4_000)
    client.cancel_order(made["id"], SPOT)
    assert client.fetch_balance()["USDT"]["used"] == before["used"]


def test_leverage_and_position_mode_are_set(client: Any) -> None:
    client.set_leverage(9, LINEAR)
    assert client.fetch_leverage(LINEAR)["longLeverage"] == 9
    with pytest.raises(ccxt.ExchangeError, match="110043"):
        client.set_leverage(9, LINEAR)
    client.set_position_mode(False, LINEAR)
    with pytest.raises(ccxt.ExchangeError, match="110029"):
        client.set_position_mode(True, LINEAR)


def test_the_ledger_tells_what_changed_the_wallet(client: Any) -> None:
    client.create_order(LINEAR, "market", "buy", 0.01)
    rows = client.fetch_ledger("USDT")
    assert rows
    assert {"USDT"} == {row["currency"] for row in rows}
    assert "trade" in {row["type"] for row in rows}


def test_money_is_transferred_and_the_transfer_found(client: Any) -> None:
    made = client.transfer("USDT", 10, "unified", "funding")
    assert made["status"] in ("ok", "pending")
    assert made["id"] in {row["id"] for row in client.fetch_transfers("USDT")}
    client.transfer("USDT", 10, "funding", "unified")


def test_fees_and_funding_are_told(client: Any) -> None:
    assert client.fetch_trading_fee(LINEAR)["taker"] == pytest.approx(0.00055)
    assert client.fetch_funding_history(LINEAR) == []


@pytest.mark.parametrize(
    ("symbol", "amount", "error"),
    [(LINEAR, 90, ccxt.InsufficientFunds), (SPOT, 50, ccxt.InsufficientFunds)],
)
def test_refusals_are_the_errors_ccxt_knows(client: Any, symbol: str, amount: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.create_order(symbol, "limit", "buy", amount, 49_000)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("00000000-0000-0000-0000-000000000000", symbol)
