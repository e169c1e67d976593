"""The whole gateway against the paper exchange, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from config.settings import ExchangeSettings, PaperSettings, Settings
from domain.market import Category, PositionSide, Side
from exchange.bybit import BybitExchange
from exchange.protocol import (
    Candle,
    DuplicateOrder,
    ExchangeOrderStatus,
    OrderReport,
    OutcomeUnknown,
    Refused,
    RetryLater,
)
from tests.exchange.gateway.paper_gateway import LINEAR, SPOT, SYMBOLS, found, gateway, market_order, tick
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange
from tests.support.waiting import eventually
from workers.connections import exchange_of

# market


async def test_the_clocks(exchange: BybitExchange) -> None:
    clock = await exchange.market_clock()
    assert clock.epoch.startswith("manual-")
    assert clock.speed == 1.0
    assert clock.now.year == 2025
    assert abs(await exchange.server_time() - datetime.now(UTC)) < timedelta(seconds=2)
    later = await exchange.market_clock()
    assert later.now > clock.now


async def test_instruments(exchange: BybitExchange) -> None:
    for category in Category:
        told = await exchange.instruments(category)
        assert {one.symbol for one in told} >= {"BTCUSDT", "ETHUSDT", "C0USDT"}
        [one] = await exchange.instruments(category, "BTCUSDT")
        assert (one.base_coin, one.quote_coin, one.tradable) == ("BTC", "USDT", True)
        assert one.tick_size > 0
        assert one.qty_step > 0
        assert one.max_market_qty > one.min_order_qty > 0


async def test_tickers_of_a_category_come_in_one_answer(paper: PaperExchange, exchange: BybitExchange) -> None:
    paper.push_ticks([tick("60010"), tick("60000")])
    for category in Category:
        told = {each.symbol: each for each in await exchange.tickers(category)}
        assert told.keys() == {one.symbol for one in await exchange.instruments(category)}
        one, alone = told["BTCUSDT"], await exchange.ticker(category, "BTCUSDT")
        assert (one.category, one.last_price, one.bid, one.ask) == (category, 60000, alone.bid, alone.ask)
        assert one.turnover is not None
        assert one.turnover == alone.turnover
    assert told["BTCUSDT"].turnover is not None


async def test_prices_and_trades(paper: PaperExchange, exchange: BybitExchange) -> None:
    paper.push_ticks([tick("60010"), tick("60000")])
    ticker = await exchange.ticker(LINEAR, "BTCUSDT")
    assert ticker.last_price == 60000
    assert ticker.bid is not None
    assert ticker.ask is not None
    assert ticker.bid < ticker.ask
    assert abs(ticker.at - (await exchange.market_clock()).now) < timedelta(seconds=2)
    book = await exchange.order_book(SPOT, "ETHUSDT", depth=5)
    assert book.bids[0][0] < book.asks[0][0]
    assert list(book.bids) == sorted(book.bids, reverse=True)
    trades = await exchange.recent_trades(LINEAR, "BTCUSDT")
    assert [trade.price for trade in trades[-2:]] == [60010, 60000]


async def test_candles_of_more_than_one_page_are_whole_and_only_the_last_is_open(
    paper: PaperExchange, exchange: BybitExchange
) -> None:
    paper.push_ticks([tick("60000", SPOT)])
    now = (await exchange.market_clock()).now
    end = now.replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=2500)
    candles = await exchange.candles(SPOT, "BTCUSDT", "1h", start, end)
    assert [candle.open_time for candle in candles] == [start + timedelta(hours=n) for n in range(2501)]
    assert all(candle.confirmed for candle in candles[:-1])
    assert not candles[-1].confirmed
    week = await exchange.candles(LINEAR, "BTCUSDT", "1w", end - timedelta(weeks=8), end)
    assert {candle.open_time.weekday() for candle in week} == {0}


async def test_a_candle_told_as_closed_never_changes(paper_exchange: Callable[..., PaperExchange]) -> None:
    async with gateway(paper_exchange("--speed", "2000", "--symbols", "BTCUSDT")) as exchange:
        closed: dict[datetime, Candle] = {}
        while len(closed) <= 20:
            now = (await exchange.market_clock()).now
            for candle in await exchange.candles(LINEAR, "BTCUSDT", "1m", now - timedelta(minutes=5), now):
                if candle.confirmed:
                    assert closed.setdefault(candle.open_time, candle) == candle


async def test_an_unknown_symbol_is_refused(exchange: BybitExchange) -> None:
    with pytest.raises(Refused, match="NOPEUSDT"):
        await exchange.ticker(LINEAR, "NOPEUSDT")
    with pytest.raises(Refused):
        await exchange.place_order(market_order().model_copy(update={"symbol": "NOPEUSDT"}))


# orders and account


async def test_a_linear_round_trip(exchange: BybitExchange) -> None:
    await exchange.set_leverage("BTCUSDT", Decimal(1))
    await exchange.set_leverage("BTCUSDT", Decimal(1))
    since = (await exchange.market_clock()).now
    entry = market_order(side=Side.SELL, stop_loss=Decimal("66000"))
    ack = await exchange.place_order(entry)
    assert ack.order_link_id == entry.order_link_id
    assert abs(ack.exchange_time - datetime.now(UTC)) < timedelta(seconds=2)
    report = await found(exchange, entry)
    assert (report.status, report.order_id) == (ExchangeOrderStatus.FILLED, ack.order_id)
    assert report.cum_exec_qty == entry.qty
    [position] = await exchange.positions(symbol="BTCUSDT")
    assert (position.side, position.size, position.stop_loss) == (PositionSide.SHORT, entry.qty, Decimal("66000"))
    assert [one.symbol for one in await exchange.positions()] == ["BTCUSDT"]
    stops = [order for order in await exchange.open_orders(LINEAR, "BTCUSDT") if order.stop_order_type == "StopLoss"]
    assert [stop.trigger_price for stop in stops] == [Decimal("66000")]

    closing = market_order(side=Side.BUY, reduce_only=True)
    await exchange.place_order(closing)
    [flat] = await exchange.positions(symbol="BTCUSDT")
    assert (flat.side, flat.size) == (None, Decimal(0))
    fills = await exchange.executions(LINEAR, order_link_id=closing.order_link_id)
    assert sum(fill.qty for fill in fills) == entry.qty
    assert all(fill.fee > 0 and fill.fee_coin == "USDT" and fill.closed_size == fill.qty for fill in fills)
    everything = await exchange.executions(LINEAR, symbol="BTCUSDT", since=since)
    assert {entry.order_link_id, closing.order_link_id} <= {fill.order_link_id for fill in everything}
    assert everything == sorted(everything, key=lambda fill: fill.executed_at)
    log = await exchange.transaction_log(since=since)
    ours = [row for row in log if row.order_link_id == closing.order_link_id]
    assert sum(row.fee for row in ours) == sum(fill.fee for fill in fills)


async def test_a_spot_buy_its_stop_and_its_cancel(exchange: BybitExchange) -> None:
    entry = market_order(SPOT, qty="0.02")
    await exchange.place_order(entry)
    fills = await exchange.executions(SPOT, order_link_id=entry.order_link_id)
    assert sum(fill.qty for fill in fills) == entry.qty, "quantity is base coin"
    assert {fill.fee_coin for fill in fills} == {"BTC"}
    wallet = await exchange.wallet()
    [btc] = [coin for coin in wallet.coins if coin.coin == "BTC"]
    assert btc.wallet_balance >= entry.qty - sum(fill.fee for fill in fills) > 0
    assert wallet.total_equity > 90_000

    stop = market_order(SPOT, Side.SELL, "0.019", trigger_price=Decimal("50000"), trigger_rises=False)
    await exchange.place_order(stop)
    assert (await found(exchange, stop)).status is ExchangeOrderStatus.UNTRIGGERED
    assert stop.order_link_id in {order.order_link_id for order in await exchange.open_orders(SPOT)}
    await exchange.cancel_order(SPOT, "BTCUSDT", stop.order_link_id)
    assert (await found(exchange, stop)).status is ExchangeOrderStatus.DEACTIVATED
    with pytest.raises(Refused) as again:
        await exchange.cancel_order(SPOT, "BTCUSDT", stop.order_link_id)
    assert again.value.code == 170213


async def test_cancel_all_takes_conditional_orders_of_both_categories(exchange: BybitExchange) -> None:
    await exchange.place_order(market_order(SPOT, qty="0.02"))
    for category in Category:
        waiting = market_order(category, Side.SELL, trigger_price=Decimal("50000"), trigger_rises=False)
        await exchange.place_order(waiting)
        await exchange.cancel_all(category, "BTCUSDT")
        assert await exchange.open_orders(category, "BTCUSDT") == []
        assert (await found(exchange, waiting)).status is ExchangeOrderStatus.DEACTIVATED
    with pytest.raises(Refused) as unknown:
        await exchange.cancel_order(LINEAR, "BTCUSDT", "NEVER-E1")
    assert unknown.value.code == 110001


async def test_what_the_exchange_refuses(exchange: BybitExchange) -> None:
    assert await exchange.find_order(LINEAR, "BTCUSDT", "NEVER-E1") is None
    for bad, code in (
        (market_order(qty="0.0000001"), 10001),
        (market_order(qty="50"), 110007),
        (market_order(reduce_only=True), 110017),
        (market_order(SPOT, qty="20"), 170131),
        (market_order(SPOT, qty="0.0000001"), 170136),
    ):
        with pytest.raises(Refused) as refusal:
            await exchange.place_order(bad)
        assert refusal.value.code == code
        assert await exchange.find_order(bad.category, bad.symbol, bad.order_link_id) is None


@pytest.mark.parametrize("category", list(Category))
async def test_a_second_order_of_the_same_id_is_a_duplicate(exchange: BybitExchange, category: Category) -> None:
    request = market_order(category)
    await exchange.place_order(request)
    with pytest.raises(DuplicateOrder):
        await exchange.place_order(request)
    fills = await exchange.executions(category, order_link_id=request.order_link_id)
    assert sum(fill.qty for fill in fills) == request.qty


async def test_a_wrong_secret_is_refused(paper: PaperExchange) -> None:
    exchange = BybitExchange("paper", paper.key, "wrong", paper.url)
    with pytest.raises(Refused) as refusal:
        await exchange.wallet()
    assert refusal.value.code == 10004
    await exchange.close()


async def test_a_gateway_closed_in_the_middle_of_what_it_does_ends(paper: PaperExchange) -> None:
    for milliseconds in range(0, 30, 2):
        exchange = BybitExchange("paper", paper.key, paper.secret, paper.url)
        await exchange.start()
        await asyncio.sleep(milliseconds / 1000)  # into the clock's first measurement, each time a little further
        async with asyncio.timeout(10):
            await exchange.close()


async def test_pages_of_executions_are_all_there(exchange: BybitExchange) -> None:
    since = (await exchange.market_clock()).now
    requests = [market_order(side=side, qty="0.001") for _ in range(60) for side in Side]
    for request in requests:
        await exchange.place_order(request)
    fills = await exchange.executions(LINEAR, symbol="BTCUSDT", since=since)
    assert [fill.order_link_id for fill in fills] == [request.order_link_id for request in requests]
    assert len({fill.exec_id for fill in fills}) == len(fills) >= 120
    old = await exchange.executions(LINEAR, symbol="BTCUSDT", since=since - timedelta(days=30))
    assert old[-len(fills) :] == fills, "five windows of seven days tell each fill once"


# faults


@pytest.mark.parametrize("fault", [{"kind": "answer_lost"}, {"kind": "http_5xx", "after": True}])
async def test_an_answer_lost_after_it_was_accepted_is_unknown_and_found(
    paper: PaperExchange, exchange: BybitExchange, fault: dict[str, Any]
) -> None:
    request = market_order()
    paper.add_fault(**fault, endpoint="order/create", match={"orderLinkId": request.order_link_id})
    with pytest.raises(OutcomeUnknown):
        await exchange.place_order(request)
    assert (await found(exchange, request)).status is ExchangeOrderStatus.FILLED
    with pytest.raises(DuplicateOrder):
        await exchange.place_order(request)


async def test_a_late_answer_is_unknown_and_found(paper: PaperExchange) -> None:
    async with gateway(paper, http_timeout_seconds=0.3) as exchange:
        request = market_order()
        paper.add_fault(kind="delay", delay_ms=800, endpoint="order/create", match={"symbol": "BTCUSDT"})
        with pytest.raises(OutcomeUnknown):
            await exchange.place_order(request)

        async def arrived() -> OrderReport | None:
            return await exchange.find_order(LINEAR, "BTCUSDT", request.order_link_id)

        await eventually(arrived, "the delayed order")
    paper.clear_faults()


async def test_an_exchange_that_is_down_is_retry_later_and_comes_back(
    paper_exchange: Callable[..., PaperExchange],
) -> None:
    paper = paper_exchange(*SYMBOLS)
    async with gateway(paper) as exchange:
        request = market_order()
        await exchange.place_order(request)
        paper.kill()
        with pytest.raises((RetryLater, OutcomeUnknown)):
            await exchange.wallet()
        with pytest.raises(RetryLater):
            await exchange.place_order(market_order())
        paper.start()
        assert (await found(exchange, request)).status is ExchangeOrderStatus.FILLED
        await exchange.place_order(market_order())


async def test_the_settings_name_the_exchange(paper: PaperExchange) -> None:
    with scratch_folder() as folder:
        settings = Settings(
            data_dir=folder,
            exchange=ExchangeSettings.model_validate(
                {
                    "api_key": paper.key,
                    "api_secret": paper.secret,
                    "paper": PaperSettings(port=paper.port, speed=1.0),
                }
            ),
        )
        exchange = exchange_of(settings)
        assert (await exchange.wallet()).total_equity > 0
        await exchange.close()
