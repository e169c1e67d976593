"""Streams of the paper exchange, and what becomes of them when it cuts, dies and comes back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from domain.market import Category, Side
from exchange.bybit import BybitExchange
from exchange.protocol import (
    Candle,
    ExchangeOrderStatus,
    Execution,
    OrderReport,
    PositionReport,
    PrivateHandlers,
    StreamGap,
    Ticker,
    Trade,
    Wallet,
)
from tests.exchange.gateway.paper_gateway import LINEAR, MANY, SPOT, SYMBOLS, found, gateway, market_order, tick, until
from tests.support.paper import PaperExchange


class Told:
    """What the private stream said, one list, in order."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self.handlers = PrivateHandlers(
            on_orders=self.all.extend,
            on_executions=self.all.extend,
            on_positions=self.all.extend,
            on_wallet=self.all.append,
            on_gap=self.all.append,
        )

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.all if isinstance(one, kind)]


async def test_the_private_stream_tells_an_order_as_the_queries_do(exchange: BybitExchange) -> None:
    told = Told()
    subscription = exchange.subscribe_private(told.handlers)
    assert await subscription.wait_live(5)
    request = market_order(side=Side.SELL)
    await exchange.place_order(request)
    await until(lambda: told.of(Wallet))
    fills = [fill for fill in told.of(Execution) if fill.order_link_id == request.order_link_id]
    assert fills == await exchange.executions(LINEAR, order_link_id=request.order_link_id)
    order = told.of(OrderReport)[-1]
    assert order == await found(exchange, request)
    assert told.of(PositionReport)[-1].symbol == "BTCUSDT"
    assert told.of(Wallet)[-1].coins
    assert told.of(StreamGap) == []
    [fresh] = exchange.freshness()
    assert fresh.connected
    subscription.close()
    heard = len(told.all)
    await exchange.place_order(market_order(side=Side.BUY))
    await until(lambda: exchange.freshness() == [])
    assert len(told.all) == heard


async def test_a_cut_private_socket_tells_a_gap_and_queries_tell_what_was_missed(
    paper: PaperExchange, exchange: BybitExchange
) -> None:
    told = Told()
    subscription = exchange.subscribe_private(told.handlers)
    assert await subscription.wait_live(5)
    paper.add_fault(kind="socket_cut", sockets="private")
    request = market_order()
    await exchange.place_order(request)
    await until(lambda: told.of(StreamGap))
    assert not told.of(OrderReport)
    assert (await found(exchange, request)).status is ExchangeOrderStatus.FILLED
    second = market_order(side=Side.SELL)
    await exchange.place_order(second)
    await until(lambda: any(order.order_link_id == second.order_link_id for order in told.of(OrderReport)))
    assert isinstance(told.all[0], StreamGap)
    assert len(told.of(StreamGap)) == 1


async def test_the_public_streams_of_a_symbol(paper: PaperExchange, exchange: BybitExchange) -> None:
    trades: list[Trade] = []
    tickers: list[Ticker] = []
    candles: list[Candle] = []
    gaps: list[StreamGap] = []
    for subscription in (
        exchange.subscribe_trades(LINEAR, "ETHUSDT", trades.extend, gaps.append),
        exchange.subscribe_tickers(LINEAR, "ETHUSDT", tickers.append, gaps.append),
        exchange.subscribe_candles(LINEAR, "ETHUSDT", "1m", candles.append, gaps.append),
    ):
        assert await subscription.wait_live(5)
    paper.push_ticks([tick("3010", symbol="ETHUSDT"), tick("2990", symbol="ETHUSDT")])
    await until(lambda: len(trades) == 2 and candles and tickers and tickers[-1].last_price == 2990)
    assert [(trade.price, trade.qty) for trade in trades] == [(3010, Decimal("0.5")), (2990, Decimal("0.5"))]
    assert trades == (await exchange.recent_trades(LINEAR, "ETHUSDT"))[-2:]
    now = (await exchange.market_clock()).now
    for at in (trades[-1].at, tickers[-1].at):
        assert timedelta(0) <= now - at < timedelta(seconds=5), "market time"
    assert (candles[-1].close, candles[-1].confirmed) == (2990.0, False)
    assert gaps == []


async def test_a_cut_public_socket_tells_each_subscriber_its_gap(paper: PaperExchange, exchange: BybitExchange) -> None:
    story: list[str] = []
    subscriptions = [
        exchange.subscribe_trades(
            SPOT, symbol, lambda trades, s=symbol: story.append(s), lambda _, s=symbol: story.append(f"{s} gap")
        )
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    for subscription in subscriptions:
        assert await subscription.wait_live(5)
    paper.add_fault(kind="socket_cut", sockets="public")
    await until(lambda: len(story) == 2)
    paper.push_ticks([tick("60000", SPOT), tick("3000", SPOT, "ETHUSDT")])
    await until(lambda: len(story) == 4)
    assert story == ["BTCUSDT gap", "ETHUSDT gap", "BTCUSDT", "ETHUSDT"]


async def test_a_stopped_exchange_is_noticed_and_found_again(paper_exchange: Callable[..., PaperExchange]) -> None:
    paper = paper_exchange(*SYMBOLS)
    async with gateway(paper) as exchange:
        trades: list[Trade] = []
        gaps: list[StreamGap] = []
        subscription = exchange.subscribe_trades(LINEAR, "BTCUSDT", trades.extend, gaps.append)
        assert await subscription.wait_live(5)
        paper.kill(signal.SIGKILL)
        await until(lambda: not exchange.freshness()[0].connected)
        paper.start()
        await until(lambda: gaps)
        paper.push_ticks([tick("60001")])
        await until(lambda: trades)
        assert gaps[0].lost_at < gaps[0].back_at


async def test_fifty_subscriptions(paper: PaperExchange, exchange: BybitExchange) -> None:
    symbols = [text.partition("=")[0] for text in MANY]
    heard: dict[tuple[Category, str], list[Trade]] = {(kind, one): [] for kind in Category for one in symbols}
    subscriptions = [
        exchange.subscribe_trades(category, symbol, told.extend, lambda _: None)
        for (category, symbol), told in heard.items()
    ]
    assert all(await asyncio.gather(*(subscription.wait_live(10) for subscription in subscriptions)))
    paper.push_ticks([tick("11", category, symbol) for category, symbol in heard])
    await until(lambda: all(heard.values()))
    assert all(len(told) == 1 for told in heard.values())
    assert sum(one.connected for one in exchange.freshness()) == 50


async def test_two_exchanges_in_one_process(
    paper: PaperExchange, exchange: BybitExchange, paper_exchange: Callable[..., PaperExchange]
) -> None:
    other_paper = paper_exchange("--manual", "--symbols", "BTCUSDT=100")
    async with gateway(other_paper) as other:
        here: list[Trade] = []
        there: list[Trade] = []
        for one, told in ((exchange, here), (other, there)):
            subscription = one.subscribe_trades(SPOT, "BTCUSDT", told.extend, lambda _: None)
            assert await subscription.wait_live(5)
        paper.push_ticks([tick("60000", SPOT)])
        other_paper.push_ticks([tick("101", SPOT)])
        await until(lambda: here and there)
        assert (here[0].price, there[0].price) == (60000, 101)
        request = market_order()
        await exchange.place_order(request)
        assert await other.find_order(LINEAR, "BTCUSDT", request.order_link_id) is None
