"""ccxt and ccxt.pro, unmodified, on the public side of a paper exchange."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import ccxt
import pytest

from tests.exchange.clients.connecting import ccxt_exchange, ccxt_pro_exchange
from tests.support.paper import PaperExchange

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
HOUR = 3_600_000


@pytest.fixture(scope="module")
def client(public_exchange: PaperExchange) -> Any:
    made = ccxt_exchange(public_exchange.url)
    made.load_markets()
    return made


@pytest.fixture
async def pro(public_exchange: PaperExchange) -> AsyncIterator[Any]:
    made = ccxt_pro_exchange(public_exchange.url)
    yield made
    await made.close()


async def soon(waiting: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(waiting, 20)


def test_markets_are_spot_pairs_and_perpetuals_with_their_precisions(client: Any) -> None:
    assert set(client.markets) == {f"{base}/USDT{rest}" for base in ("BTC", "ETH", "SOL") for rest in ("", ":USDT")}
    spot, swap = client.market(SPOT), client.market(SWAP)
    assert (spot["type"], swap["type"], swap["linear"], swap["contractSize"]) == ("spot", "swap", True, 1)
    assert (spot["precision"]["price"], swap["precision"]["price"]) == (0.01, 0.1)
    assert (spot["precision"]["amount"], swap["precision"]["amount"]) == (1e-6, 1e-3)
    assert swap["limits"]["leverage"]["max"] == 100


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
def test_a_ticker_lies_in_its_day_and_its_book_around_it(client: Any, symbol: str) -> None:
    ticker = client.fetch_ticker(symbol)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert ticker["bid"] < ticker["ask"]
    assert ticker["baseVolume"] > 0
    book = client.fetch_order_book(symbol, limit=200)
    bids, asks = [row[0] for row in book["bids"]], [row[0] for row in book["asks"]]
    assert (len(bids), len(asks)) == (200, 200)
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert bids[0] < asks[0]


def test_tickers_of_a_category_come_together(client: Any) -> None:
    assert set(client.fetch_tickers(params={"category": "spot"})) == {"BTC/USDT", "ETH/USDT", "SOL/USDT"}
    assert len(client.fetch_tickers(params={"category": "linear"})) == 3


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
@pytest.mark.parametrize("timeframe", list(ccxt.bybit().timeframes))
def test_candles_of_every_length_follow_one_another(client: Any, symbol: str, timeframe: str) -> None:
    rows = client.fetch_ohlcv(symbol, timeframe, limit=20)
    assert len(rows) >= (14 if timeframe == "1M" else 19)
    for (at, opening, high, low, close, volume), (following, *_) in itertools.pairwise(rows):
        assert low <= min(opening, close) <= max(opening, close) <= high
        assert volume >= 0
        if timeframe != "1M":
            assert following - at == client.parse_timeframe(timeframe) * 1000


def test_candles_from_an_instant_are_the_first_from_there(client: Any) -> None:
    newest = client.fetch_ohlcv(SWAP, "1h", limit=48)
    since = newest[0][0]
    assert client.fetch_ohlcv(SWAP, "1h", since=since, limit=5) == newest[:5]


@pytest.mark.parametrize("read", ["fetch_mark_ohlcv", "fetch_index_ohlcv", "fetch_premium_index_ohlcv"])
def test_reference_prices_have_candles(client: Any, read: str) -> None:
    rows = getattr(client, read)(SWAP, "1h", limit=24)
    assert len(rows) in (23, 24)
    assert all(low <= min(opening, close) <= max(opening, close) <= high for _, opening, high, low, close, _ in rows)
    if read != "fetch_premium_index_ohlcv":
        by_params = client.fetch_ohlcv(SWAP, "1h", limit=24, params={"price": read.split("_")[1]})
        assert [row[:5] for row in by_params[:20]] == [row[:5] for row in rows[:20]]


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
def test_trades_are_told_in_order(client: Any, symbol: str) -> None:
    trades = client.fetch_trades(symbol, limit=50)
    assert len(trades) == 50
    assert [trade["timestamp"] for trade in trades] == sorted(trade["timestamp"] for trade in trades)
    assert {trade["side"] for trade in trades} <= {"buy", "sell"}


def test_the_servers_time_is_the_walls(client: Any) -> None:
    assert abs(client.fetch_time() - time.time() * 1000) < 5_000


def test_funding_has_a_rate_to_come_and_those_settled(client: Any) -> None:
    coming = client.fetch_funding_rate(SWAP)
    history = client.fetch_funding_rate_history(SWAP, limit=30)
    assert abs(coming["fundingRate"]) <= 0.005
    assert coming["fundingTimestamp"] == history[-1]["timestamp"] + 8 * HOUR
    stamps = [row["timestamp"] for row in history]
    assert stamps == list(range(stamps[0], stamps[0] + 30 * 8 * HOUR, 8 * HOUR))
    assert len(client.fetch_funding_rates()) == 3
    since = client.fetch_funding_rate_history(SWAP, since=stamps[3], limit=5)
    assert [row["timestamp"] for row in since] == stamps[4:9]  # ccxt asks for an end five intervals on: the newest five
    assert since[0] == history[4]


def test_open_interest_and_the_ratio_of_accounts_have_histories(client: Any) -> None:
    assert client.fetch_open_interest(SWAP)["openInterestAmount"] > 0
    for rows in (
        client.fetch_open_interest_history(SWAP, "1h", limit=24),
        client.fetch_long_short_ratio_history(SWAP, "1h", limit=24),
    ):
        stamps = [row["timestamp"] for row in rows]
        assert len(stamps) == 24
        assert {later - earlier for earlier, later in itertools.pairwise(stamps)} == {HOUR}
    assert all(row["longShortRatio"] > 0 for row in rows)


def test_leverage_tiers_are_told_for_one_and_all(client: Any) -> None:
    (tier,) = client.fetch_market_leverage_tiers(SWAP)
    assert (tier["maxLeverage"], tier["maintenanceMarginRate"]) == (100, 0.005)
    assert set(client.fetch_leverage_tiers()) >= {SWAP, "ETH/USDT:USDT", "SOL/USDT:USDT"}


def test_an_unknown_symbol_is_a_bad_request(client: Any) -> None:
    with pytest.raises(ccxt.BadRequest, match="symbol invalid"):
        client.publicGetV5MarketTickers({"category": "linear", "symbol": "FOOUSDT"})


@pytest.mark.slow
@pytest.mark.parametrize("symbol", [SPOT, SWAP])
async def test_sockets_tell_tickers_trades_books_and_candles(pro: Any, symbol: str) -> None:
    ticker = await soon(pro.watch_ticker(symbol))
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    trades = await soon(pro.watch_trades(symbol))
    assert trades[-1]["symbol"] == symbol
    candles = await soon(pro.watch_ohlcv(symbol, "1m"))
    assert len(candles[-1]) == 6
    for _ in range(5):
        book = await soon(pro.watch_order_book(symbol, 50))
        assert (len(book["bids"]), len(book["asks"])) == (50, 50)
        assert book["bids"][0][0] < book["asks"][0][0]


async def test_several_symbols_are_watched_and_left(pro: Any) -> None:
    both: list[Callable[[], Awaitable[Any]]] = [
        lambda: pro.watch_tickers([SWAP, "ETH/USDT:USDT"]),
        lambda: pro.watch_trades_for_symbols([SWAP, "ETH/USDT:USDT"]),
        lambda: pro.watch_bids_asks([SWAP, "ETH/USDT:USDT"]),
    ]
    for watch in both:
        assert await soon(watch())
    await soon(pro.un_watch_trades_for_symbols([SWAP, "ETH/USDT:USDT"]))
