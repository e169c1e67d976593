"""Panels of what is stored, NaN where nothing is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import CandleRow, LongShortRatioRow, OpenInterestRow, TakerVolume
from db.repositories.funding_rates import settled_reach, upsert_funding_rates
from db.repositories.long_short import upsert_long_short
from db.repositories.open_interest import upsert_open_interest
from db.repositories.panel_microstructure import LookedAt, with_microstructure
from db.repositories.panels import load_panel
from db.repositories.stamped import missing_stamps
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.strategies.contract import Needs, Panel
from exchange.protocol import FundingRate, LongShortRatio, OpenInterest
from tests.activities.held import add_candles

H1, H4 = Timeframe.H1, Timeframe.H4
AT = datetime(2025, 1, 8, tzinfo=UTC)
BARS = [AT + n * H4.duration for n in range(6)]
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
async def data(database: str) -> AsyncIterator[Database]:
    made = Database(database)
    yield made
    await made.close()


def shares(symbol: str, stamps: Sequence[datetime], *values: float) -> list[LongShortRatio]:
    return [LongShortRatio(symbol=symbol, at=at, long_share=each) for at, each in zip(stamps, values, strict=True)]


def settlements(symbol: str, told: dict[int, float]) -> list[FundingRate]:
    """By hours after ``AT``."""
    return [FundingRate(symbol=symbol, at=AT + timedelta(hours=hours), rate=rate) for hours, rate in told.items()]


async def looked_at(
    session: AsyncSession, needs: Needs, symbols: Sequence[str] = SYMBOLS, bars: int = len(BARS)
) -> Panel:
    """The perpetuals' panel with the microstructure of ``symbols`` on the last ``bars``."""
    panel = await load_panel(session, Category.LINEAR, H4, SYMBOLS, BARS[0], BARS[-1])
    return await with_microstructure(session, panel, Category.LINEAR, needs, LookedAt(symbols, bars))


async def test_candles_are_on_their_bars_and_nothing_is_where_there_is_none(data: Database) -> None:
    await add_candles(data, "ETHUSDT", H4, BARS[1], [1.0, 2.0])
    await add_candles(data, "ETHUSDT", H4, BARS[4], [3.0])
    await add_candles(data, "ETHUSDT", H4, BARS[0], [9.0] * 6, Category.LINEAR)
    async with data.session() as session:
        panel = await load_panel(session, Category.SPOT, H4, SYMBOLS, BARS[0], BARS[-1])
    nan = np.nan
    np.testing.assert_array_equal(panel.close, [[nan] * 6, [nan, 1, 2, nan, 3, nan]])
    assert (panel.symbols, panel.close_at(-1)) == (SYMBOLS, BARS[-1] + H4.duration)
    assert (panel.open_interest, panel.long_short_ratio, panel.funding_rate, panel.regime) == (None,) * 4


async def test_a_ratio_is_of_accounts_long_to_short_as_stamped_for_the_bars_open(data: Database) -> None:
    async with data.session() as session:
        await upsert_long_short(session, H4, shares("ETHUSDT", BARS[:3], 0.5, 0.75, 1.0))
        await upsert_long_short(session, H1, shares("ETHUSDT", BARS[3:4], 0.9))
        await upsert_long_short(session, H4, shares("ETHUSDT", [BARS[4] + timedelta(minutes=5)], 0.9))
    async with data.session() as session:
        panel = await looked_at(session, Needs(candles={}, long_short_ratio=True))
    nan = np.nan
    np.testing.assert_array_equal(panel.long_short_ratio, [[nan] * 6, [1.0, 3.0, nan, nan, nan, nan]])


async def test_a_stamp_told_again_replaces_its_value(data: Database) -> None:
    for share in (0.5, 0.5, 0.25):
        async with data.session() as session:
            await upsert_long_short(session, H4, shares("ETHUSDT", BARS[:1], share))
            await upsert_funding_rates(session, settlements("ETHUSDT", {0: share}))
    async with data.session() as session:
        panel = await looked_at(session, Needs(candles={}, long_short_ratio=True, funding_rate=True))
    assert panel.long_short_ratio is not None
    assert panel.funding_rate is not None
    assert (panel.long_short_ratio[1, 0], panel.funding_rate[1, 0]) == (pytest.approx(1 / 3), 0.25)


async def test_funding_is_what_was_settled_by_the_bars_close_and_unknown_when_that_is_long_ago(data: Database) -> None:
    async with data.session() as session:
        await upsert_funding_rates(session, settlements("BTCUSDT", {-8: 0.3, 0: 0.0001, 8: -0.0002}))
        await upsert_funding_rates(session, settlements("ETHUSDT", {0: 0.5, 4: 0.25, 8: 0.125}))
    async with data.session() as session:
        panel = await looked_at(session, Needs(candles={}, funding_rate=True))
    assert panel.funding_rate is not None
    closes = [panel.close_at(bar) - AT for bar in range(6)]
    assert closes == [timedelta(hours=hours) for hours in (4, 8, 12, 16, 20, 24)]
    nan = np.nan
    np.testing.assert_array_equal(panel.funding_rate[0], [0.0001, -0.0002, -0.0002, nan, nan, nan])
    np.testing.assert_array_equal(
        panel.funding_rate[1], [0.75, 0.375, nan, nan, nan, nan], "every four hours: one is missing"
    )


async def test_what_is_not_looked_at_is_not_known(data: Database) -> None:
    every = Needs(candles={}, taker_volume=True, open_interest=True, long_short_ratio=True, funding_rate=True)
    quarters = [
        TakerVolume(category="linear", symbol=each, open_time=at, bought=4, sold=5) for each in SYMBOLS for at in BARS
    ]
    for symbol in SYMBOLS:
        await add_candles(data, symbol, H4, BARS[0], [1.0] * len(BARS), Category.LINEAR)
        async with data.session() as session:
            await session.execute(update(CandleRow).values(volume=9.0))
            await upsert_long_short(session, H4, shares(symbol, BARS, *[0.5] * 6))
            await upsert_open_interest(session, H4, [OpenInterest(symbol=symbol, at=at, value=1.0) for at in BARS])
            await upsert_funding_rates(session, settlements(symbol, dict.fromkeys(range(-8, 32, 8), 0.1)))
    async with data.session() as session:
        session.add_all(quarters)
    async with data.session() as session:
        whole, part, none = [
            await looked_at(session, every, symbols, bars)
            for symbols, bars in ((SYMBOLS, 6), (["ETHUSDT"], 2), ([], 2))
        ]
    for name in ("taker_buy_share", "open_interest", "long_short_ratio", "funding_rate"):
        every_bar, few, nothing = (getattr(each, name) for each in (whole, part, none))
        assert np.isfinite(every_bar).all(), name
        np.testing.assert_array_equal(few[1, -2:], every_bar[1, -2:], name)
        assert np.isnan(few[0]).all(), name
        assert np.isnan(few[1, :-2]).all(), name
        assert np.isnan(nothing).all(), name


async def test_what_is_stamped_after_the_close_changes_nothing(data: Database) -> None:
    every = Needs(candles={}, taker_volume=True, open_interest=True, long_short_ratio=True, funding_rate=True)
    close = BARS[-1] + H4.duration

    async def store(opens: Sequence[datetime], settled: dict[int, float], value: float) -> None:
        """For each symbol candles of 4h, their taker volume and stamps at ``opens``, and settlements by hour."""
        for symbol in SYMBOLS:
            await add_candles(data, symbol, H4, opens[0], [value] * len(opens), Category.LINEAR)
            async with data.session() as session:
                await upsert_long_short(session, H4, shares(symbol, opens, *[value / 10] * len(opens)))
                interest = [OpenInterest(symbol=symbol, at=at, value=value) for at in opens]
                await upsert_open_interest(session, H4, interest)
                await upsert_funding_rates(session, settlements(symbol, settled))
                session.add_all(
                    TakerVolume(category="linear", symbol=symbol, open_time=at, bought=value / 8, sold=1 - value / 8)
                    for at in opens
                )

    await store(BARS, dict.fromkeys(range(-8, 25, 8), 0.1), 4.0)
    async with data.session() as session:
        then = await looked_at(session, every)
    later = [close + n * H4.duration for n in range(3)]
    await store(later, {25: 0.9, 28: 0.9, 32: 0.9}, 7.0)
    async with data.session() as session:  # off the grid too: a stamp of any minute after the close
        await upsert_long_short(session, H4, shares("BTCUSDT", [close + timedelta(minutes=1)], 0.7))
        await upsert_long_short(session, H1, shares("BTCUSDT", [close], 0.7))
    async with data.session() as session:
        now = await looked_at(session, every)
    for name in ("close", "volume", "taker_buy_share", "open_interest", "long_short_ratio", "funding_rate"):
        assert np.isfinite(getattr(then, name)).all(), name
        np.testing.assert_array_equal(getattr(now, name), getattr(then, name), name)


async def test_stamps_that_are_missing_are_named_by_series_interval_and_symbol(data: Database) -> None:
    async with data.session() as session:
        await upsert_long_short(session, H4, shares("ETHUSDT", BARS[1:4], 0.5, 0.5, 0.5))
        await upsert_long_short(session, H4, shares("BTCUSDT", BARS, *[0.5] * 6))
        stamps = [OpenInterest(symbol="BTCUSDT", at=BARS[0], value=1.0)]
        await upsert_open_interest(session, H4, stamps)

    async def missing(row: type[LongShortRatioRow] | type[OpenInterestRow], timeframe: Timeframe) -> dict:
        async with data.session() as session:
            return await missing_stamps(session, row, timeframe, SYMBOLS, BARS[0], BARS[-1])

    assert await missing(LongShortRatioRow, H4) == {"ETHUSDT": [BARS[0], BARS[4], BARS[5]]}
    assert await missing(OpenInterestRow, H4) == {"BTCUSDT": BARS[1:], "ETHUSDT": BARS}
    assert {symbol: len(found) for symbol, found in (await missing(LongShortRatioRow, H1)).items()} == {
        "BTCUSDT": 21,
        "ETHUSDT": 21,
    }


async def test_the_reach_of_settlements_is_told_within_a_stretch(data: Database) -> None:
    async with data.session() as session:
        await upsert_funding_rates(session, settlements("ETHUSDT", {0: 0.1, 8: 0.1, 16: 0.1, 24: 0.1}))
        reach = await settled_reach(session, SYMBOLS, AT, AT + timedelta(hours=23))
    assert reach == {"ETHUSDT": (AT + timedelta(hours=8), AT + timedelta(hours=16))}
