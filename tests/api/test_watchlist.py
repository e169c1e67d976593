"""What the API tells of the watchlist: the places of now, those a symbol had, and what the list was worth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from client import ApiProblem, AtsClient
from client.models import GateRequest, PositionSide
from db.models import CandleRow, MarketClockCursor, WatchlistEntry
from db.repositories.watchlist import store_places
from db.session import Database
from tests.api import rows
from tests.api.running import RunningApi
from tests.support.waiting import run

HOUR = timedelta(hours=1)
CLOSE = rows.scan(0).close_at
WEEK_AGO = CLOSE - timedelta(days=7)


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    rows.seed(database)
    with api.client() as opened:
        yield opened


@pytest.fixture
def watched(client: AtsClient, database: str) -> AtsClient:
    """The close was decided: two longs and a short have scores."""
    rows.store(
        database,
        [
            rows.scan(0),
            rows.score("momentum", "BTCUSDT", 40),
            rows.score("momentum", "ETHUSDT", 90),
            rows.score("trend_breakdown", "BTCUSDT", 60, category="linear"),
            rows.score("momentum", "OLDUSDT", 99, close_at=CLOSE - timedelta(hours=4)),
        ],
    )
    return client


def keep_places(dsn: str, close_at: datetime, size: int) -> None:
    """As the scan of that close keeps them."""

    async def write() -> None:
        database = Database(dsn, pool_size=1)
        try:
            async with database.session() as session:
                await store_places(session, "test", close_at, size)
        finally:
            await database.close()

    run(write())


def test_nothing_is_watched_before_a_close_was_decided(client: AtsClient, database: str) -> None:
    rows.store(database, [rows.score("momentum", "BTCUSDT", 40), rows.scan(1, decided_at=None, state="running")])
    assert client.watchlist() == []
    assert client.watchlist_history("BTCUSDT").items == []
    with pytest.raises(ApiProblem) as refused:
        client.watchlist_capture()
    assert (refused.value.status, refused.value.code) == (503, "nothing-watched")


def test_both_sides_are_told_by_place_with_the_scores_behind_them(watched: AtsClient) -> None:
    told = watched.watchlist()
    assert [(each.side, each.rank, each.symbol) for each in told] == [
        ("long", 1, "ETHUSDT"),
        ("long", 2, "BTCUSDT"),
        ("short", 1, "BTCUSDT"),
    ]
    (momentum,) = told[0].scores
    assert (momentum.strategy, momentum.category, momentum.score) == ("momentum", "spot", 90)
    assert (momentum.evidence, momentum.close_at) == ({"roc": 90}, CLOSE)
    assert 0.7 * 90 <= told[0].composite <= 90
    assert all(each.listed and each.close_at == CLOSE for each in told)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"side": PositionSide.SHORT}, [("short", "BTCUSDT")]),
        ({"symbol": "BTCUSDT"}, [("long", "BTCUSDT"), ("short", "BTCUSDT")]),
        ({"strategy": "momentum"}, [("long", "ETHUSDT"), ("long", "BTCUSDT")]),
        ({"limit": 1}, [("long", "ETHUSDT"), ("short", "BTCUSDT")]),
        ({"symbol": "OLDUSDT"}, []),
    ],
)
def test_places_are_filtered_and_keep_their_rank(watched: AtsClient, filters: dict[str, Any], expected: list) -> None:
    ranks = {("long", "ETHUSDT"): 1, ("long", "BTCUSDT"): 2, ("short", "BTCUSDT"): 1}
    told = watched.watchlist(**filters)
    assert [(each.side, each.symbol) for each in told] == expected
    assert [each.rank for each in told] == [ranks[each] for each in expected]


def test_a_strategy_whose_watchlist_gate_is_off_has_no_say(watched: AtsClient) -> None:
    watched.switch_gate("momentum", GateRequest(gate="watchlist", on=False, reason="a test"))
    assert [each.side for each in watched.watchlist()] == ["short"]


def test_the_kept_places_of_a_close_stay_what_they_were(watched: AtsClient, database: str) -> None:
    keep_places(database, CLOSE, 1)
    (kept,) = watched.watchlist_history("ETHUSDT").items
    assert (kept.close_at, kept.side, kept.rank, kept.scores) == (CLOSE, "long", 1, {"momentum": 90})
    assert kept.composite == watched.watchlist(symbol="ETHUSDT")[0].composite
    assert [each.side for each in watched.watchlist_history("BTCUSDT").items] == ["short"], (
        "the second long has no room"
    )
    watched.switch_gate("momentum", GateRequest(gate="watchlist", on=False, reason="a test"))
    keep_places(database, CLOSE, 20)
    assert watched.watchlist_history("ETHUSDT").items == [kept]
    assert len(watched.watchlist_history("BTCUSDT").items) == 1


def test_the_history_of_a_symbol_comes_in_pages_and_by_side(watched: AtsClient, database: str) -> None:
    rows.store(
        database, [entry("BTCUSDT", CLOSE - each * HOUR, side) for each in range(3) for side in ("long", "short")]
    )
    every = watched.watchlist_history("BTCUSDT").items
    assert [(each.close_at, each.side) for each in every] == [
        (CLOSE - each * HOUR, side) for each in range(3) for side in ("short", "long")
    ]
    first = watched.watchlist_history("BTCUSDT", limit=4)
    rest = watched.watchlist_history("BTCUSDT", limit=4, cursor=first.next_cursor)
    assert [*first.items, *rest.items] == every
    assert rest.next_cursor is None
    only = watched.watchlist_history("BTCUSDT", side=PositionSide.LONG, since=CLOSE - HOUR).items
    assert [(each.close_at, each.side) for each in only] == [(CLOSE, "long"), (CLOSE - HOUR, "long")]


def test_capture_holds_the_kept_lists_against_the_market_s_movers(watched: AtsClient, database: str) -> None:
    rows.store(
        database, [MarketClockCursor(epoch="test", began_at=WEEK_AGO, scanned_until=CLOSE, snapshot_until=CLOSE)]
    )
    rows.store(
        database,
        [
            rows.strategy_scan("momentum", WEEK_AGO),
            rows.strategy_scan("trend_breakdown", WEEK_AGO, category="linear"),
        ],
    )
    for category, symbol, end in (
        ("spot", "UPUSDT", 120.0),
        ("spot", "BESTUSDT", 150.0),
        ("spot", "DOWNUSDT", 80.0),
        ("linear", "FALLUSDT", 60.0),
    ):
        rows.store(database, market(category, symbol, end))
    rows.store(
        database,
        [
            entry("UPUSDT", WEEK_AGO + 24 * HOUR),
            entry("UPUSDT", WEEK_AGO + 25 * HOUR),
            entry("DOWNUSDT", WEEK_AGO + 2 * HOUR),
            entry("BESTUSDT", CLOSE),
            entry("FALLUSDT", WEEK_AGO, "short"),
        ],
    )
    told = watched.watchlist_capture(since=WEEK_AGO - timedelta(days=30), k=2)
    assert (told.since, told.until, told.k) == (WEEK_AGO - timedelta(days=30), CLOSE, 2)
    long, short = told.sides
    (window,) = long.windows
    assert (window.start, window.end) == (WEEK_AGO, CLOSE), "what was before the market began is not measured"
    assert [(each.symbol, each.listed_at) for each in window.movers] == [
        ("BESTUSDT", None),
        ("UPUSDT", WEEK_AGO + 24 * HOUR),
    ]
    assert window.movers[1].lead_hours == 60, "half of an even rise over seven days, listed after one"
    assert (long.figures.precision, long.figures.recall, long.figures.lead_hours) == (0.5, 0.5, 60)
    assert [each.symbol for each in short.windows[0].movers] == ["FALLUSDT"], "shorts trade linear"
    assert (short.figures.precision, short.figures.recall) == (1, 1)
    watched.switch_gate("momentum", GateRequest(gate="watchlist", on=False, reason="a test"))
    assert watched.watchlist_capture(since=told.since, k=2) == told, "the past is measured by what was watched then"


def test_capture_measures_a_side_on_what_its_strategies_watched_in_each_seven_days(
    watched: AtsClient, database: str
) -> None:
    began = WEEK_AGO - timedelta(days=7)
    rows.store(database, [MarketClockCursor(epoch="test", began_at=began, scanned_until=CLOSE, snapshot_until=CLOSE)])
    rows.store(database, [*market("spot", "UPUSDT", 120.0), *market("linear", "FARUSDT", 130.0)])
    watched.switch_gate("momentum", GateRequest(gate="watchlist", on=False, reason="a test"))
    asked = {"strategy": "momentum", "config_version": 1}

    def movers(*scans: Any) -> list[list[str]]:
        rows.store(database, scans)
        told = watched.watchlist_capture(since=began, k=5)
        return [[each.symbol for each in window.movers] for window in told.sides[0].windows]

    assert movers() == [[], []], "nobody was scanned"
    assert movers(rows.strategy_scan(**{**asked, "config_version": 2}, close_at=WEEK_AGO)) == [[], []], (
        "its gate is off"
    )
    assert movers(rows.strategy_scan(**asked, close_at=CLOSE)) == [[], []], "the window is over at its end"
    linear = {"close_at": CLOSE - 4 * HOUR, "category": "linear"}
    assert movers(rows.strategy_scan(**asked, **linear)) == [[], ["FARUSDT"]]
    assert movers(rows.strategy_scan(**asked, close_at=CLOSE - 8 * HOUR)) == [[], ["FARUSDT", "UPUSDT"]]


@pytest.mark.parametrize("days", [6, 400])
def test_a_span_that_can_t_be_measured_names_its_field(watched: AtsClient, days: int) -> None:
    with pytest.raises(ApiProblem) as refused:
        watched.watchlist_capture(since=CLOSE - timedelta(days=days))
    assert [each.field for each in refused.value.problem.fields] == ["from"]


def entry(symbol: str, close_at: datetime, side: str = "long") -> WatchlistEntry:
    return WatchlistEntry(
        epoch="test", close_at=close_at, side=side, symbol=symbol, rank=1, composite=50.0, scores={"momentum": 60.0}
    )


def market(category: str, symbol: str, end: float) -> list[Any]:
    """A symbol that goes evenly from 100 to ``end`` in the seven days before the close."""
    bars = int((CLOSE - WEEK_AGO) / HOUR)
    candles = [
        CandleRow(
            category=category,
            symbol=symbol,
            timeframe="1h",
            open_time=WEEK_AGO + (number - 1) * HOUR,
            **dict.fromkeys(("open", "high", "low", "close"), 100 + (end - 100) * number / bars),
            volume=1.0,
            turnover=1.0,
        )
        for number in range(bars + 1)
    ]
    return [rows.instrument(symbol, category), *candles]


def test_the_list_kept_at_the_newest_close_by_an_instant_is_told(watched: AtsClient, database: str) -> None:
    rows.store(database, [rows.scan(1, close_at=CLOSE - HOUR)])
    rows.store(database, [_entry("SOLUSDT", 2, CLOSE - HOUR), _entry("BTCUSDT", 1, CLOSE - HOUR)])
    keep_places(database, CLOSE, 1)
    newest = [("long", 1, "ETHUSDT"), ("short", 1, "BTCUSDT")]
    assert [(each.side, each.rank, each.symbol) for each in watched.watchlist_kept()] == newest
    assert watched.watchlist_kept(as_of=CLOSE + HOUR) == watched.watchlist_kept(as_of=CLOSE)
    then = watched.watchlist_kept(as_of=CLOSE - timedelta(seconds=1))
    assert [(each.rank, each.symbol, each.close_at) for each in then] == [
        (1, "BTCUSDT", CLOSE - HOUR),
        (2, "SOLUSDT", CLOSE - HOUR),
    ]
    assert [each.symbol for each in watched.watchlist_kept(symbol="BTCUSDT", side=PositionSide.SHORT)] == ["BTCUSDT"]
    assert watched.watchlist_kept(strategy="nobody") == []
    assert watched.watchlist_kept(as_of=CLOSE - timedelta(days=30)) == []


def _entry(symbol: str, rank: int, close_at: datetime) -> WatchlistEntry:
    scores = {"momentum": 50.0}
    return WatchlistEntry(
        epoch="test", close_at=close_at, side="long", symbol=symbol, rank=rank, composite=50.0, scores=scores
    )
