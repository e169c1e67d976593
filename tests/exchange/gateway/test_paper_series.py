"""Series of a perpetual through the gateway: accounts long and short, funding, and what its ticker says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.market import Category
from exchange.bybit import BybitExchange
from exchange.protocol import Refused
from tests.exchange.gateway.paper_gateway import gateway
from tests.support.folders import scratch_folder
from tests.support.paper import PaperExchange, paper_exchange_process

START = datetime(2025, 1, 1, tzinfo=UTC)
EIGHT_HOURS = timedelta(hours=8)
_MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def synthetic() -> Iterator[PaperExchange]:
    with scratch_folder() as folder:
        (folder / "data").mkdir()
        server = paper_exchange_process(folder / "data", "--symbols", "BTCUSDT", "--speed", "step").start()
        yield server
        server.stop()


@pytest.fixture
async def market(synthetic: PaperExchange) -> AsyncIterator[BybitExchange]:
    async with gateway(synthetic) as made:
        yield made


async def test_shares_of_accounts_of_more_than_one_page(market: BybitExchange) -> None:
    begin = START - timedelta(days=6)
    told = await market.long_short_ratio("BTCUSDT", "15m", begin, START + timedelta(days=1))
    assert [one.at for one in told] == [begin + number * timedelta(minutes=15) for number in range(6 * 96 + 1)]
    assert all(0 < one.long_share < 1 and one.symbol == "BTCUSDT" for one in told)
    for timeframe, hours in (("1h", 1), ("4h", 4), ("1d", 24)):
        longer = await market.long_short_ratio("BTCUSDT", timeframe, begin, START)
        assert longer == [one for one in told if (one.at - begin) % timedelta(hours=hours) == timedelta(0)]


async def test_funding_of_more_than_one_page(market: BybitExchange) -> None:
    begin = START - 450 * EIGHT_HOURS
    told = await market.funding_rates("BTCUSDT", begin, START + timedelta(days=1))
    assert [one.at for one in told] == [begin + number * EIGHT_HOURS for number in range(451)]
    assert all(one.symbol == "BTCUSDT" and abs(one.rate) < 0.01 for one in told)
    assert len({one.rate for one in told}) > 1


@pytest.mark.parametrize("settlements", [199, 200, 201, 400])
async def test_a_page_that_ends_with_the_stretch_is_the_last(market: BybitExchange, settlements: int) -> None:
    begin = START - (settlements - 1) * EIGHT_HOURS
    told = await market.funding_rates("BTCUSDT", begin, START)
    assert (len(told), told[0].at, told[-1].at) == (settlements, begin, START)


async def test_both_ends_of_a_stretch_count_and_an_empty_one_has_nothing(market: BybitExchange) -> None:
    before = START - EIGHT_HOURS
    assert [one.at for one in await market.funding_rates("BTCUSDT", before, START)] == [before, START]
    assert await market.funding_rates("BTCUSDT", before + _MILLISECOND, START - _MILLISECOND) == []
    assert await market.funding_rates("BTCUSDT", START, before) == []
    assert await market.long_short_ratio("BTCUSDT", "4h", START, before) == []


async def test_what_a_series_does_not_have_is_refused(market: BybitExchange) -> None:
    with pytest.raises(Refused, match="timeframe: the long/short ratio comes in 15m, 1h, 4h, 1d, not 1w"):
        await market.long_short_ratio("BTCUSDT", "1w", START, START)
    with pytest.raises(Refused):
        await market.long_short_ratio("NOPEUSDT", "1h", START, START)
    with pytest.raises(Refused):
        await market.funding_rates("NOPEUSDT", START, START)


async def test_a_perpetuals_ticker_tells_its_funding_and_spot_has_none(market: BybitExchange) -> None:
    linear = await market.ticker(Category.LINEAR, "BTCUSDT")
    assert linear.funding_rate is not None
    assert linear.next_funding_at == START + EIGHT_HOURS
    spot = await market.ticker(Category.SPOT, "BTCUSDT")
    assert (spot.funding_rate, spot.next_funding_at) == (None, None)


async def test_a_perpetual_says_since_when_it_trades(market: BybitExchange) -> None:
    (linear,) = await market.instruments(Category.LINEAR, "BTCUSDT")
    (spot,) = await market.instruments(Category.SPOT, "BTCUSDT")
    assert linear.launched_at is not None
    assert linear.launched_at < START
    assert spot.launched_at is None
