"""ccxt.pro, unmodified: the private stream and orders over the trade socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ccxt
import pytest

from tests.exchange.clients.connecting import ccxt_pro_exchange
from tests.exchange.clients.private_exchange import LINEAR, SPOT, private_exchange
from tests.support.paper import PaperExchange

SECONDS = 15


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperExchange]:
    with private_exchange() as started:
        yield started


@pytest.fixture
async def client(exchange: PaperExchange) -> AsyncIterator[Any]:
    made = ccxt_pro_exchange(exchange.url, exchange.key, exchange.secret)
    try:
        yield made
    finally:
        await made.close()


async def told(client: Any, watch: str, *arguments: Any) -> Any:
    """What a watch hears of orders placed until it hears something."""
    await client.load_markets()
    hearing = asyncio.create_task(getattr(client, watch)(*arguments))
    async with asyncio.timeout(SECONDS):
        while not hearing.done():
            await client.create_order(LINEAR, "market", "buy", 0.001)
            await asyncio.wait({hearing}, timeout=0.2)
    return await hearing


async def test_orders_are_watched(client: Any) -> None:
    orders = await told(client, "watch_orders", LINEAR)
    assert (orders[-1]["symbol"], orders[-1]["side"], orders[-1]["filled"]) == (LINEAR, "buy", 0.001)


async def test_trades_are_watched(client: Any) -> None:
    (trade, *_) = await told(client, "watch_my_trades", LINEAR)
    assert (trade["symbol"], trade["amount"], trade["takerOrMaker"]) == (LINEAR, 0.001, "taker")
    assert trade["fee"]["cost"] > 0


async def test_fast_trades_are_watched(client: Any) -> None:
    (trade, *_) = await told(client, "watch_my_trades", LINEAR, None, None, {"executionFast": True})
    assert (trade["symbol"], trade["amount"]) == (LINEAR, 0.001)


async def test_the_balance_is_watched(client: Any) -> None:
    balance = await told(client, "watch_balance")
    assert balance["USDT"]["total"] > 0


async def test_positions_are_watched(client: Any) -> None:
    positions = await told(client, "watch_positions", [LINEAR])
    if not positions:  # the first answer is the snapshot
        positions = await told(client, "watch_positions", [LINEAR])
    assert {(position["symbol"], position["side"]) for position in positions} == {(LINEAR, "long")}


@pytest.mark.parametrize("symbol", [LINEAR, SPOT])
async def test_orders_are_made_edited_and_cancelled_over_the_trade_socket(client: Any, symbol: str) -> None:
    async with asyncio.timeout(SECONDS):
        made = await client.create_order_ws(symbol, "limit", "buy", 0.01, 40_000)
        await client.edit_order_ws(made["id"], symbol, "limit", "buy", 0.02, 41_000)
        (order,) = await client.fetch_open_orders(symbol)
        assert (order["id"], order["price"], order["amount"]) == (made["id"], 41_000, 0.02)
        gone = await client.cancel_order_ws(made["id"], symbol)
        assert gone["id"] == made["id"]
        assert await client.fetch_open_orders(symbol) == []


async def test_refusals_over_the_trade_socket_are_the_errors_ccxt_knows(client: Any) -> None:
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order_ws(SPOT, "limit", "buy", 50, 49_000)


async def test_a_wrong_secret_is_refused(exchange: PaperExchange) -> None:
    stranger: Any = ccxt_pro_exchange(exchange.url, exchange.key, "wrong")
    try:
        stranger.options["enableUnifiedMargin"], stranger.options["enableUnifiedAccount"] = False, True
        async with asyncio.timeout(SECONDS):
            with pytest.raises(ccxt.AuthenticationError):
                await stranger.watch_orders()
    finally:
        await stranger.close()
