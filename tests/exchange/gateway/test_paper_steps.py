"""The gateway on a market that moves in steps, and open interest through it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from exchange.bybit import BybitExchange
from exchange.protocol import Refused, RetryLater
from tests.exchange.gateway.paper_gateway import gateway
from tests.support.paper import PaperExchange

START = datetime(2025, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


async def test_an_advance_is_seen_at_once_by_every_gateway(paper_exchange: Callable[..., PaperExchange]) -> None:
    paper = paper_exchange("--symbols", "BTCUSDT", "--speed", "step")
    async with gateway(paper) as one, gateway(paper) as other:
        clock = await one.market_clock()
        assert (clock.now, clock.speed, clock.step) == (START, 0.0, True)
        for number in range(1, 4):
            assert (await one.advance_clock()).now == START + number * QUARTER
            assert (await other.market_clock()).now == START + number * QUARTER
        target = START + 4 * QUARTER - timedelta(minutes=1)
        for _ in range(2):
            assert (await other.advance_clock(target)).now == target, "given an instant, it may be repeated"
        with pytest.raises(Refused, match="next quarter hour"):
            await one.advance_clock(START + 5 * QUARTER)
        with pytest.raises(Refused, match="has passed"):
            await one.advance_clock(START)
        paper.kill()
        with pytest.raises(RetryLater):
            await one.advance_clock()


async def test_only_a_market_in_steps_can_be_advanced(exchange: BybitExchange) -> None:
    with pytest.raises(Refused, match="not in step mode"):
        await exchange.advance_clock()
    real = BybitExchange("testnet", "key", "secret")
    with pytest.raises(Refused, match="only a paper exchange"):
        await real.advance_clock()
    await real.close()


async def test_open_interest_of_more_than_one_page(
    exchange: BybitExchange, paper_exchange: Callable[..., PaperExchange]
) -> None:
    async with gateway(paper_exchange("--symbols", "BTCUSDT", "--speed", "step")) as synthetic:
        begin = START - timedelta(days=6)
        told = await synthetic.open_interest("BTCUSDT", "15m", begin, START + timedelta(days=1))
        assert [one.at for one in told] == [begin + number * QUARTER for number in range(6 * 96 + 1)]
        assert all(one.value > 0 and one.symbol == "BTCUSDT" for one in told)
        for timeframe, hours in (("1h", 1), ("4h", 4), ("1d", 24)):
            longer = await synthetic.open_interest("BTCUSDT", timeframe, begin, START)
            assert longer == [one for one in told if (one.at - begin) % timedelta(hours=hours) == timedelta(0)]
        with pytest.raises(Refused, match="timeframe"):
            await synthetic.open_interest("BTCUSDT", "1w", begin, START)
        with pytest.raises(Refused):
            await synthetic.open_interest("NOPEUSDT", "1h", begin, START)
    assert await exchange.open_interest("BTCUSDT", "1h", START - timedelta(days=1), START) == []
