"""Who is to leave at a close: by the strategy's own signal, or because the market left its regimes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

from activities.due_strategies import ScanRequest
from activities.scan_exits import Exits, ScanExitActivities
from db.models import StrategyScan, SystemEvent
from db.repositories.regimes import append_regimes
from db.session import Database
from domain.candle import Timeframe
from domain.exit_policy import ExitReason
from domain.market import Category
from domain.position import PositionState
from domain.regime import FALLING, RISING, Regime
from domain.strategies.contract import Strategy
from tests.activities.held import add_candles, hold, list_symbols
from tests.workflows.scanning import LEVEL, configure, regime_row, set_setting

H1 = Timeframe.H1
CLOSE = datetime(2025, 1, 8, 14, tzinfo=UTC)
BEFORE = CLOSE - H1.duration
STAYS, LEAVES = {"leave_under": 0.0}, {"leave_under": 1000.0}


@dataclass
class ExitDesk:
    """A database with a strategy on 1h candles, and the activity that looks for exits."""

    database: Database

    async def exits(
        self, *timeframes: Timeframe, strategies: Mapping[str, Strategy] = LEVEL, at: datetime = CLOSE
    ) -> Exits:
        request = ScanRequest(epoch="here", close_at=at, timeframes=list(timeframes or (H1,)))
        return await ActivityEnvironment().run(ScanExitActivities(self.database, strategies).find_exits, request)

    async def regime(self, effective: Regime | None, epoch: str = "here", at: datetime = CLOSE) -> None:
        """The regime from the last 4h close before ``at`` on."""
        row = regime_row(Timeframe.H4.floor(at), effective, Regime.BEAR)
        async with self.database.session() as session:
            await append_regimes(session, epoch, [row])

    async def events(self, kind: str) -> Sequence[SystemEvent]:
        async with self.database.session() as session:
            return (await session.scalars(select(SystemEvent).where(SystemEvent.kind == kind))).all()


@pytest.fixture
async def desk(database: str) -> AsyncIterator[ExitDesk]:
    made = Database(database)
    await list_symbols(made, "BTCUSDT", "ETHUSDT")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        await add_candles(made, symbol, H1, CLOSE - 4 * H1.duration, [100.0] * 4)
    yield ExitDesk(made)
    await made.close()


async def _configure(desk: ExitDesk, parameters: dict[str, Any], **changes: Any) -> None:
    asked = {"timeframe": "1h", "regimes": sorted(RISING), "regime_exit": "close"}
    await configure(desk.database, parameters, **{**asked, **changes})


async def test_a_strategys_exit_lets_positions_go_that_were_held_long_enough(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES, regime_exit="hold")
    gone = await hold(desk.database, "BTCUSDT", BEFORE)
    await hold(desk.database, "ETHUSDT", BEFORE, min_hold_seconds=3601)
    await hold(desk.database, "BTCUSDT", BEFORE, state=PositionState.CLOSED)
    await hold(desk.database, "BTCUSDT", BEFORE, strategy="other")
    exits = await desk.exits()
    assert (exits.position_ids, exits.reason(gone)) == ([gone], ExitReason.STRATEGY_EXIT)
    assert await desk.exits() == exits
    assert [event.subject for event in await desk.events("strategy_exit_signal")] == [gone], "told once"


async def test_an_exit_is_the_one_that_was_decided_with_the_entries_and_names_it(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES, regime_exit="hold")
    gone = await hold(desk.database, "BTCUSDT", BEFORE)
    kept = await hold(desk.database, "ETHUSDT", BEFORE)
    decided = {"BTCUSDT": {"exit": True, "evidence": {"close": 5.0}}, "ETHUSDT": {"exit": False, "evidence": {}}}
    async with desk.database.session() as session:
        session.add(
            StrategyScan(
                epoch="here",
                close_at=CLOSE,
                strategy="level",
                category="spot",
                timeframe="1h",
                config_version=1,
                settings_version=7,
                windows={},
                symbols=sorted(decided),
                observed=[],
                digests={},
                missing={},
                held=decided,
                candidates=0,
            )
        )
    exits = await desk.exits()
    assert exits.position_ids == [gone], f"the panel of now would let {kept} go too"
    (told,) = await desk.events("strategy_exit_signal")
    assert told.detail["decision"] == f"level@{CLOSE:%Y-%m-%dT%H:%M:%SZ}"
    assert (told.detail["config_version"], told.detail["settings_version"]) == (1, 7)
    assert told.detail["evidence"] == {"close": 5.0}


async def test_a_market_out_of_a_strategys_regimes_lets_all_its_positions_go_at_once(desk: ExitDesk) -> None:
    await _configure(desk, STAYS)
    await desk.regime(Regime.BEAR)
    held = {
        await hold(desk.database, "BTCUSDT", BEFORE),
        await hold(desk.database, "ETHUSDT", BEFORE, min_hold_seconds=86_400),
    }
    await hold(desk.database, "BTCUSDT", BEFORE, strategy="other")
    exits = await desk.exits()
    assert set(exits.position_ids) == held
    assert exits.reasons == dict.fromkeys(held, ExitReason.REGIME_EXIT)
    assert await desk.exits() == exits
    told = await desk.events("regime_exit_signal")
    assert {event.subject for event in told} == held
    assert len(told) == 2
    assert {(event.severity, event.detail["regime"]) for event in told} == {("info", "bear")}
    assert await desk.events("strategy_exit_signal") == []


async def test_a_position_leaves_once_where_regime_and_strategy_agree(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES)
    await desk.regime(Regime.STRONG_BEAR)
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    exits = await desk.exits()
    assert (exits.position_ids, exits.reason(position)) == ([position], ExitReason.REGIME_EXIT)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"regime_exit": "hold"}, id="it says hold"),
        pytest.param({"regimes": sorted(FALLING)}, id="the regime is one of its own"),
    ],
)
async def test_a_regime_lets_nobody_go_where(desk: ExitDesk, changes: dict[str, Any]) -> None:
    await _configure(desk, STAYS, **changes)
    await desk.regime(Regime.BEAR)
    await hold(desk.database, "BTCUSDT", BEFORE)
    assert await desk.exits() == Exits(position_ids=[])


async def test_a_regime_that_is_not_known_lets_nobody_go(desk: ExitDesk) -> None:
    await _configure(desk, STAYS)
    await desk.regime(None)
    await desk.regime(Regime.BEAR, epoch="another market")
    await desk.regime(Regime.BEAR, at=CLOSE - Timeframe.H4.duration)
    await hold(desk.database, "BTCUSDT", BEFORE)
    assert (await desk.exits()).position_ids == []


async def test_only_strategies_whose_timeframe_closes_are_asked(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES, regime_exit="hold")
    await desk.regime(Regime.BEAR)
    await hold(desk.database, "BTCUSDT", BEFORE)
    assert (await desk.exits(Timeframe.M15)).position_ids == []


async def test_a_position_of_this_very_close_stays(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES)
    await desk.regime(Regime.BEAR)
    await hold(desk.database, "BTCUSDT", CLOSE)
    assert (await desk.exits()).position_ids == []


@pytest.mark.parametrize(("parameters", "regime_exit"), [(LEAVES, "hold"), (STAYS, "close")])
async def test_with_the_sell_gate_off_positions_stay_and_a_warning_says_so(
    desk: ExitDesk, parameters: dict[str, Any], regime_exit: str
) -> None:
    await _configure(desk, parameters, regime_exit=regime_exit, sell_gate=False)
    await desk.regime(Regime.BEAR)
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    assert (await desk.exits()).position_ids == []
    kind = "regime_exit_ignored" if regime_exit == "close" else "strategy_exit_ignored"
    (warning,) = await desk.events(kind)
    assert (warning.subject, warning.severity) == (position, "warning")


async def test_a_regime_does_not_wait_for_the_strategys_own_candle(desk: ExitDesk) -> None:
    await _configure(desk, STAYS, timeframe="1d")
    await desk.regime(Regime.BEAR)
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    exits = await desk.exits()
    assert (exits.position_ids, exits.reason(position)) == ([position], ExitReason.REGIME_EXIT)


async def test_a_strategy_that_raises_is_paged_once_and_keeps_its_positions(desk: ExitDesk) -> None:
    await _configure(desk, {"broken": True})
    await configure(desk.database, LEAVES, strategy="other", timeframe="1h")
    await hold(desk.database, "BTCUSDT", BEFORE)
    sound = await hold(desk.database, "BTCUSDT", BEFORE - timedelta(hours=1), strategy="other")
    both = {**LEVEL, "other": LEVEL["level"]}
    for _ in range(2):
        assert (await desk.exits(strategies=both)).position_ids == [sound]
    (page,) = await desk.events("strategy_failed")
    assert (page.subject, page.severity) == (f"level v1 {CLOSE:%Y-%m-%d}", "page")


async def test_a_position_whose_symbol_left_the_universe_still_leaves_by_its_strategy(desk: ExitDesk) -> None:
    await _configure(desk, LEAVES)
    await set_setting(desk.database, "universe", ["ETHUSDT"])
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    assert (await desk.exits()).position_ids == [position]


async def test_a_regime_lets_go_also_what_a_strategy_holds_that_cannot_be_asked(desk: ExitDesk) -> None:
    await _configure(desk, {"leave_under": "by hand"})
    await desk.regime(Regime.BEAR)
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    exits = await desk.exits()
    assert (exits.position_ids, exits.reason(position)) == ([position], ExitReason.REGIME_EXIT)


async def test_positions_of_a_strategy_that_is_off_stay_and_a_warning_says_so(desk: ExitDesk) -> None:
    await _configure(desk, STAYS, watchlist_gate=False, buy_gate=False, sell_gate=False)
    await desk.regime(Regime.BEAR)
    position = await hold(desk.database, "BTCUSDT", BEFORE)
    assert (await desk.exits()).position_ids == []
    (warning,) = await desk.events("regime_exit_ignored")
    assert (warning.subject, warning.severity) == (position, "warning")


async def test_at_one_close_a_regime_closes_what_one_strategy_holds_of_a_symbol_and_leaves_the_others(
    desk: ExitDesk,
) -> None:
    short = {"category": "linear", "side": "short", "regimes": sorted(FALLING)}
    await _configure(desk, STAYS, strategy="leaving")
    await _configure(desk, STAYS, strategy="staying", regime_exit="hold")
    await _configure(desk, STAYS, strategy="short", **short)
    held = {name: await hold(desk.database, "BTCUSDT", BEFORE, strategy=name) for name in ("leaving", "staying")}
    held["short"] = await hold(desk.database, "BTCUSDT", BEFORE, strategy="short", category=Category.LINEAR)
    strategies = dict.fromkeys(held, LEVEL["level"])
    await desk.regime(Regime.BEAR)
    exits = await desk.exits(strategies=strategies)
    assert exits == Exits(position_ids=[held["leaving"]], reasons={held["leaving"]: ExitReason.REGIME_EXIT})
    later = CLOSE + Timeframe.H4.duration
    await desk.regime(Regime.BULL, at=later)
    exits = await desk.exits(strategies=strategies, at=later)
    assert exits.reasons == {held["short"]: ExitReason.REGIME_EXIT}, "the way back is the other market's"
