"""Tickers: their day adds up to the candles, however seldom they are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.candle import Timeframe
from domain.market import Category
from exchange.paper.feeds.manual import ManualFeed, PushedTrade
from exchange.paper.quotes import QuoteBoard
from exchange.paper.wire import number
from tests.support.folders import scratch_folder

START = datetime(2025, 1, 1, tzinfo=UTC)
NAME = Category.LINEAR, "BTCUSDT"
STEPS = st.lists(
    st.tuples(st.timedeltas(timedelta(seconds=1), timedelta(hours=7)), st.integers(-500, 500), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_the_day_of_a_ticker_is_the_sum_of_its_candles(steps: list[tuple[timedelta, int, bool]]) -> None:
    with scratch_folder() as folder:
        feed = ManualFeed(folder / "manual.db", {"BTCUSDT": Decimal(60_000)}, START)
        board, now = QuoteBoard(feed), START
        for pause, move, asked in steps:
            now += pause
            price = feed.last_price(*NAME, now) + move
            feed.push([PushedTrade(*NAME, price, Decimal("0.5"))], now)
            if asked:
                board.ticker(*NAME, now)
        ticker = board.ticker(*NAME, now)
        forming = Timeframe.M15.floor(now)
        bars = feed.bars(*NAME, Timeframe.M15, forming - timedelta(hours=23, minutes=45), forming, now)
        feed.close()
    assert ticker["volume24h"] == number(sum((bar.volume for bar in bars), Decimal(0)))
    assert ticker["turnover24h"] == number(sum((bar.turnover for bar in bars), Decimal(0)))
    assert ticker["highPrice24h"] == number(max(bar.high for bar in bars))
    assert ticker["lowPrice24h"] == number(min(bar.low for bar in bars))
    assert (ticker["prevPrice24h"], ticker["lastPrice"]) == (number(bars[0].open), number(bars[-1].close))
    assert Decimal(ticker["bid1Price"]) < bars[-1].close < Decimal(ticker["ask1Price"])
