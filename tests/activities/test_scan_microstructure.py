"""What a scan fetches of a perpetual's microstructure, from a synthetic market that goes in steps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import delete, func, select
from temporalio.testing import ActivityEnvironment

from activities.deciding import DecisionActivities
from activities.due_strategies import DueStrategy, ScanRequest, due_strategies, microstructure_of
from activities.scan_candles import ScanCandleActivities
from activities.scan_microstructure import complete_microstructure
from activities.strategy_panels import load_panels
from db.models import FundingRateRow, InstrumentRow, LongShortRatioRow, OpenInterestRow, StrategyScan
from db.replaying import load_scan
from db.repositories.panel_microstructure import LookedAt, with_microstructure
from db.repositories.regimes import append_regimes
from db.session import Database
from domain.candle import Timeframe
from domain.regime import NO_REGIME, Regime
from domain.strategies.contract import Needs, Panel, Strategy, StrategyParameters
from exchange.bybit import BybitExchange
from tests.exchange.gateway.paper_gateway import gateway
from tests.support.paper import PaperExchange
from tests.workflows.scanning import Level, configure, reconfigure, regime_row, set_setting

H4, D1 = Timeframe.H4, Timeframe.D1


class _Curious(Level):
    """``level`` that asks for everything that is known of two perpetuals, one of them only to compare with."""

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        return Needs(
            candles={H4: 12, D1: 5},
            open_interest=True,
            long_short_ratio=True,
            funding_rate=True,
            regime=True,
            only=frozenset({"ETHUSDT"}),
            benchmark="BTCUSDT",
            microstructure_bars=12,
        )


CURIOUS: Mapping[str, Strategy] = {"level": _Curious()}
SEEN = ("BTCUSDT", "ETHUSDT")


@dataclass
class CuriousDesk:
    database: Database
    gateway: BybitExchange
    request: ScanRequest

    async def complete(self) -> None:
        """Candles, and the microstructure of everything the strategy sees, as if it wanted to enter."""
        activities = ScanCandleActivities(self.database, self.gateway, CURIOUS)
        completed = await ActivityEnvironment().run(activities.complete_candles, self.request)
        assert (completed.symbols, completed.gaps) == (2, [])
        wanted = microstructure_of(await self.due(), SEEN, self.request.close_at)
        await complete_microstructure(self.database, self.gateway, [wanted], self.request.close_at)

    async def due(self) -> DueStrategy:
        async with self.database.session() as session:
            (due,) = await due_strategies(session, CURIOUS, self.request.timeframes)
        assert due.eligible == {"ETHUSDT"}
        return due

    async def panels(self) -> Mapping[Timeframe, Panel]:
        due = await self.due()
        async with self.database.session() as session:
            (panels,) = await load_panels(session, [due], self.request.close_at, self.request.epoch)
            looked_at = LookedAt(SEEN, due.needs.microstructure_bars)
            own = await with_microstructure(session, panels[H4], due.config.category, due.needs, looked_at)
        return {**panels, H4: own}

    async def decide(self) -> StrategyScan:
        """The candles alone are complete before; what the strategy decided, as it is stored."""
        activities = ScanCandleActivities(self.database, self.gateway, CURIOUS)
        await activities.open_scan(self.request)
        await ActivityEnvironment().run(activities.complete_candles, self.request)
        assert await self.count(OpenInterestRow) == 0
        decisions = DecisionActivities(self.database, self.gateway, CURIOUS)
        await ActivityEnvironment().run(decisions.decide, self.request)
        async with self.database.session() as session:
            return (await session.scalars(select(StrategyScan))).one()

    async def count(self, row: type) -> int:
        async with self.database.session() as session:
            return await session.scalar(select(func.count()).select_from(row)) or 0


@pytest.fixture
async def desk(database: str, paper_exchange: Callable[..., PaperExchange]) -> AsyncIterator[CuriousDesk]:
    paper = paper_exchange("--symbols", "BTCUSDT", "ETHUSDT", "SOLUSDT", "--speed", "step")
    data = Database(database)
    await configure(data, {}, timeframe="4h", category="linear")
    await set_setting(data, "universe_min_turnover_usd", "1000000000000000")  # nobody is chosen
    async with gateway(paper, http_timeout_seconds=20.0) as exchange:
        clock = await exchange.market_clock()
        yield CuriousDesk(data, exchange, ScanRequest(epoch=clock.epoch, close_at=clock.now, timeframes=[H4]))
    await data.close()


async def test_everything_a_strategy_asks_for_is_known_after_one_scan(desk: CuriousDesk) -> None:
    await desk.complete()
    panels = await desk.panels()
    own, daily = panels[H4], panels[D1]
    assert own.symbols == daily.symbols == ("BTCUSDT", "ETHUSDT")
    assert (len(own.open_time), len(daily.open_time)) == (12, 5)
    for known in (own.close, daily.close, own.open_interest, own.long_short_ratio, own.funding_rate):
        assert known is not None
        assert np.isfinite(known).all()
    assert (daily.open_interest, daily.long_short_ratio, daily.funding_rate, daily.regime) == (None,) * 4
    (settled,) = await desk.gateway.funding_rates("ETHUSDT", desk.request.close_at, desk.request.close_at)
    assert own.funding_rate is not None
    assert own.funding_rate[1, -1] == settled.rate, "the settlement of this very close"
    (stamp,) = await desk.gateway.long_short_ratio("ETHUSDT", "4h", own_open := own.close_at(-2), own_open)
    assert own.long_short_ratio is not None
    assert own.long_short_ratio[1, -1] == pytest.approx(stamp.long_share / (1 - stamp.long_share))


async def test_a_scan_again_asks_for_nothing_it_has_and_for_what_is_gone(desk: CuriousDesk) -> None:
    await desk.complete()
    kept = {row: await desk.count(row) for row in (OpenInterestRow, LongShortRatioRow, FundingRateRow)}
    assert kept == {OpenInterestRow: 24, LongShortRatioRow: 24, FundingRateRow: 2 * 7}
    before = await desk.panels()
    async with desk.database.session() as session:
        newest = desk.request.close_at - timedelta(hours=9)
        await session.execute(delete(FundingRateRow).where(FundingRateRow.at > newest))
        await session.execute(delete(LongShortRatioRow).where(LongShortRatioRow.symbol == "ETHUSDT"))
    await desk.complete()
    assert {row: await desk.count(row) for row in kept} == kept
    after = await desk.panels()
    np.testing.assert_array_equal(after[H4].funding_rate, before[H4].funding_rate)
    np.testing.assert_array_equal(after[H4].long_short_ratio, before[H4].long_short_ratio)


async def test_a_longer_window_has_the_funding_of_its_beginning_fetched_too(desk: CuriousDesk) -> None:
    await desk.complete()
    async with desk.database.session() as session:
        await session.execute(delete(FundingRateRow).where(FundingRateRow.at < desk.request.close_at))
    await desk.complete()
    own = (await desk.panels())[H4]
    assert own.funding_rate is not None
    assert np.isfinite(own.funding_rate).all()


async def test_a_scan_asks_for_the_microstructure_of_candidates_and_decides_on_it_again_the_same(
    desk: CuriousDesk,
) -> None:
    await reconfigure(desk.database, parameters={"enter_over": 1.0})
    decided = await desk.decide()
    assert decided.candidates == 1
    assert decided.windows["4h"]["microstructure"] == {"symbols": ["ETHUSDT"], "bars": 12}
    assert "microstructure" not in decided.windows["1d"]
    async with desk.database.session() as session:
        for row in (OpenInterestRow, LongShortRatioRow, FundingRateRow):
            assert set(await session.scalars(select(row.symbol))) == {"ETHUSDT"}, row
        asked = await load_scan(session, decided, CURIOUS)
    own = asked.panels[H4]
    for known in (own.open_interest, own.long_short_ratio, own.funding_rate):
        assert known is not None
        assert np.isfinite(known[1]).all()
        assert np.isnan(known[0]).all()
    assert asked.again().same


async def test_a_scan_that_wants_nobody_asks_for_no_microstructure(desk: CuriousDesk) -> None:
    decided = await desk.decide()
    assert decided.candidates == 0
    assert decided.windows["4h"]["microstructure"] == {"symbols": [], "bars": 12}
    assert [await desk.count(row) for row in (OpenInterestRow, LongShortRatioRow, FundingRateRow)] == [0, 0, 0]
    async with desk.database.session() as session:
        asked = await load_scan(session, decided, CURIOUS)
    assert asked.again().same


async def test_markets_a_strategy_needs_are_stored_though_they_are_not_of_the_universe(desk: CuriousDesk) -> None:
    await set_setting(desk.database, "universe", ["ETHUSDT", "SOLUSDT"])
    await desk.complete()
    async with desk.database.session() as session:
        rows = (
            await session.scalars(select(InstrumentRow).order_by(InstrumentRow.category, InstrumentRow.symbol))
        ).all()
    assert [(row.category, row.symbol) for row in rows] == [
        ("linear", "BTCUSDT"),
        ("linear", "ETHUSDT"),
        ("linear", "SOLUSDT"),
        ("spot", "ETHUSDT"),
        ("spot", "SOLUSDT"),
    ]
    assert [row.launched_at is not None for row in rows] == [True, True, True, False, False]


async def test_a_panel_has_the_regime_of_every_bars_close(desk: CuriousDesk) -> None:
    await desk.complete()
    closes = [desk.request.close_at - n * H4.duration for n in range(3)]
    told = [(closes[0], Regime.BULL), (closes[1], None), (closes[2], Regime.STRONG_BEAR)]
    rows = [regime_row(at, effective) for at, effective in told]
    async with desk.database.session() as session:
        await append_regimes(session, desk.request.epoch, rows)
    own = (await desk.panels())[H4]
    assert own.regime is not None
    assert own.regime.tolist() == [NO_REGIME] * 9 + [-2, NO_REGIME, 1]
