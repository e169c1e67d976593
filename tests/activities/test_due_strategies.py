"""Which symbols a strategy sees and which of them it may enter, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from activities.due_strategies import DueStrategy, Window, due_strategies, together, windows_of
from activities.strategies_in_use import needed_markets
from db.models import SystemEvent
from db.session import Database
from domain.candle import Timeframe
from domain.market import Category
from domain.position import PositionState
from domain.strategies.contract import Needs, Strategy, StrategyParameters
from tests.activities.held import hold, list_symbols
from tests.workflows.scanning import LEVEL, Level, LevelParameters, configure, set_setting

H4, D1, W1 = Timeframe.H4, Timeframe.D1, Timeframe.W1
CLOSE = datetime(2025, 1, 8, 4, tzinfo=UTC)  # a Wednesday


class _ChoosyParameters(LevelParameters):
    only: frozenset[str] | None = None
    benchmark: str | None = None


class _Choosy(Level):
    """``level`` that says whom it may trade, what it compares with, and that looks at three timeframes."""

    parameters: ClassVar[type[StrategyParameters]] = _ChoosyParameters

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        p = cast(_ChoosyParameters, parameters)
        if p.bars < 1:
            raise ValueError("bars: must be at least 1")
        return Needs(candles={timeframe: p.bars, D1: 3, W1: 2}, only=p.only, benchmark=p.benchmark)


CHOOSY: Mapping[str, Strategy] = {"level": _Choosy()}


@pytest.fixture
async def data(database: str) -> AsyncIterator[Database]:
    made = Database(database)
    await list_symbols(made, "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    yield made
    await made.close()


async def _due(data: Database, strategies: Mapping[str, Strategy] = CHOOSY) -> DueStrategy:
    async with data.session() as session:
        (due,) = await due_strategies(session, strategies, [H4])
    return due


async def test_a_strategy_without_wishes_sees_and_may_enter_the_universe_of_its_market(data: Database) -> None:
    await configure(data, {}, timeframe="4h", category="linear")
    await set_setting(data, "universe", ["ETHUSDT", "SOLUSDT", "NOPEUSDT"])
    due = await _due(data, LEVEL)
    assert due.symbols == ("ETHUSDT", "SOLUSDT")
    assert due.eligible == {"ETHUSDT", "SOLUSDT"}
    assert {each.category for each in due.instruments.values()} == {Category.LINEAR}
    async with data.session() as session:
        assert await due_strategies(session, LEVEL, [Timeframe.M15, D1]) == [], "its timeframe doesn't close"


async def test_its_own_symbols_count_and_not_what_was_chosen_as_far_as_they_are_listed(data: Database) -> None:
    await configure(data, {"only": ["BTCUSDT", "NOPEUSDT"]}, timeframe="4h")
    due = await _due(data)
    assert due.symbols == ("BTCUSDT",)
    assert due.eligible == {"BTCUSDT"}


@pytest.mark.parametrize(("key", "symbols"), [("universe", ["ETHUSDT"]), ("universe_exclude", ["BTCUSDT"])])
async def test_what_the_lists_forbid_no_strategy_of_its_own_symbols_may_enter(
    data: Database, key: str, symbols: list[str]
) -> None:
    await configure(data, {"only": ["BTCUSDT", "SOLUSDT"]}, timeframe="4h")
    await set_setting(data, key, symbols)
    assert "BTCUSDT" not in (await _due(data)).eligible


@pytest.mark.parametrize(("universe", "may_enter"), [(["ETHUSDT"], False), (["ETHUSDT", "BTCUSDT"], True)])
async def test_a_benchmark_is_seen_and_entered_only_if_it_is_of_the_universe(
    data: Database, universe: list[str], may_enter: bool
) -> None:
    await configure(data, {"benchmark": "BTCUSDT"}, timeframe="4h")
    await set_setting(data, "universe", universe)
    due = await _due(data)
    assert due.symbols == ("BTCUSDT", "ETHUSDT")
    assert ("BTCUSDT" in due.eligible) is may_enter
    assert all(window.symbols == due.symbols for window in windows_of(due, CLOSE))


async def test_what_a_strategy_holds_stays_in_sight_when_the_universe_narrows_but_is_not_entered(
    data: Database,
) -> None:
    await configure(data, {}, timeframe="4h")
    await set_setting(data, "universe", ["ETHUSDT"])
    await hold(data, "SOLUSDT", CLOSE)
    await hold(data, "XRPUSDT", CLOSE, state=PositionState.CLOSED)
    await hold(data, "BTCUSDT", CLOSE, strategy="manual")
    await hold(data, "BTCUSDT", CLOSE, category=Category.LINEAR)
    due = await _due(data)
    assert due.symbols == ("ETHUSDT", "SOLUSDT")
    assert due.eligible == {"ETHUSDT"}


async def test_markets_that_strategies_need_beside_the_universe_are_named(data: Database) -> None:
    await configure(data, {"only": ["BTCUSDT"], "benchmark": "ETHUSDT"}, timeframe="4h")
    await hold(data, "XRPUSDT", CLOSE)
    async with data.session() as session:
        needed = await needed_markets(session, CHOOSY)
        assert {symbol for _, symbol in needed} == {"BTCUSDT", "ETHUSDT", "XRPUSDT"}
        assert {category for category, _ in needed} == {Category.SPOT}
        assert await needed_markets(session, {}) == frozenset()


async def test_a_strategy_that_can_not_say_what_it_needs_is_paged_once_and_left_out(data: Database) -> None:
    await configure(data, {"bars": 0}, timeframe="4h")
    for _ in range(2):
        async with data.session() as session:
            assert await due_strategies(session, CHOOSY, [H4]) == []
    async with data.session() as session:
        (page,) = await session.scalars(select(SystemEvent).where(SystemEvent.severity == "page"))
    assert (page.kind, page.subject) == ("strategy_unreadable", "level v1")


async def test_of_longer_timeframes_the_candles_that_have_closed_are_looked_at(data: Database) -> None:
    await configure(data, {"bars": 6}, timeframe="4h")
    windows = {each.timeframe: each for each in windows_of(await _due(data), CLOSE)}
    assert windows[H4].last == CLOSE - H4.duration
    assert (windows[D1].first, windows[D1].last) == (datetime(2025, 1, 5, tzinfo=UTC), datetime(2025, 1, 7, tzinfo=UTC))
    monday = datetime(2024, 12, 30, tzinfo=UTC)
    assert (windows[W1].first, windows[W1].last) == (monday - W1.duration, monday)
    assert windows[W1].newest == Window(Category.SPOT, W1, windows[W1].symbols, monday, monday, 1)


_symbols = st.frozensets(st.sampled_from("ABCDE"), min_size=1)


@given(st.lists(st.tuples(st.sampled_from(list(Category)), st.sampled_from([H4, D1]), _symbols, st.integers(1, 5))))
def test_windows_put_together_hold_every_symbol_once_in_its_longest_window(
    asked: list[tuple[Category, Timeframe, frozenset[str], int]],
) -> None:
    windows = [_window(*each) for each in asked]
    merged = together(windows)
    longest: dict[tuple[Category, Timeframe, str], Window] = {}
    for window in merged:
        assert window.bars == (window.last - window.first) // window.timeframe.duration + 1
        for symbol in window.symbols:
            assert longest.setdefault((window.category, window.timeframe, symbol), window) is window
    wanted: dict[tuple[Category, Timeframe, str], int] = {}
    for category, timeframe, symbols, bars in asked:
        for symbol in symbols:
            wanted[category, timeframe, symbol] = max(bars, wanted.get((category, timeframe, symbol), 0))
    assert {key: window.bars for key, window in longest.items()} == wanted


def _window(category: Category, timeframe: Timeframe, symbols: frozenset[str], bars: int) -> Window:
    end = timeframe.floor(CLOSE)
    first = end - timedelta(seconds=bars * timeframe.duration.total_seconds())
    return Window(category, timeframe, tuple(sorted(symbols)), first, end - timeframe.duration, bars)
