"""The Regime & watchlist page over a real API: now, as of an instant, and while there is little to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db.models import CandleRow, WatchlistEntry
from tests.api import rows
from tests.api.regime_rows import NEWEST, STEP, store_regimes
from tests.api.running import RunningApi
from tests.ui.showing import figures, page, texts

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UP, DOWN = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"


def _candle(places_ago: int, timeframe: str = "4h") -> CandleRow:
    at = NEWEST - places_ago * STEP
    prices = {"open": 60_000.0, "high": 61_000.0, "low": 59_500.0, "close": 60_500.0}
    return CandleRow(
        category="linear", symbol="BTCUSDT", timeframe=timeframe, open_time=at, **prices, volume=1.0, turnover=60_000.0
    )


def _entry(symbol: str, rank: int, ago: timedelta) -> WatchlistEntry:
    points = 90.0 - rank
    return WatchlistEntry(
        epoch="test",
        close_at=NEWEST - ago,
        side="long",
        symbol=symbol,
        rank=rank,
        composite=points,
        scores={"momentum": points, "growth_potential": points - 20},
    )


def _store(database: str) -> None:
    """A market turned bullish; ETHUSDT passed BTCUSDT within a day and SOLUSDT left the list."""
    store_regimes(database)
    rows.seed(database)
    rows.store(database, [_candle(number) for number in range(1, 6)])
    began = datetime.now(UTC)
    closes = (NEWEST, NEWEST - DAY)
    rows.store(database, [rows.scan(0, close_at=close_at, started_wall=began) for close_at in closes])
    rows.store(
        database,
        [
            *(_entry(symbol, rank, DAY) for rank, symbol in enumerate(("BTCUSDT", "SOLUSDT", "ETHUSDT"), start=1)),
            *(_entry(symbol, rank, 0 * DAY) for rank, symbol in enumerate(("ETHUSDT", "BTCUSDT"), start=1)),
            rows.score("momentum", "ETHUSDT", 89, close_at=NEWEST),
            rows.score("momentum", "BTCUSDT", 70, close_at=NEWEST),
            rows.standing("BTCUSDT", rank=1),
            rows.standing("TINYUSDT", reason="turnover", member=False),
        ],
    )


def test_an_empty_system_says_what_comes_next(api: RunningApi, database: str) -> None:
    told = texts(page("regime"))
    assert "No regime was known yet" in told
    assert "250 daily candles" in told
    assert "No BTCUSDT candle of this length" in told
    assert "switch on a strategy's watchlist gate" in told
    assert "No candle close was decided yet" in told
    assert "No universe was chosen yet" in told


def test_the_regime_is_told_with_its_terms_and_changes(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("regime")
    told = figures(shown)
    assert (told["In force"], told["Score (-100 to 100)"], told["Closes in that state"]) == ("bull", "+4.2", "3")
    assert "confirmed" in texts(shown)
    assert "at least" not in texts(shown), "the stretch before it was read"
    terms, changes = (table.value for table in shown.dataframe[:2])
    assert terms[["Term", "Weight", "Points"]].values.tolist() == [
        ["close over ema 200", 25.0, 12.5],
        ["momentum 30d", 20.0, -4.0],
    ]
    assert list(changes["In force"]) == ["bull", "neutral"]
    assert list(changes["For"]) == ["4 h 0 min", "16 h 0 min"]


def test_places_tell_how_they_moved_since_a_day_before(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("regime")
    watched = shown.dataframe[2].value
    moved = watched[["Symbol", "Place", "Since a day before", "Best strategy"]].values.tolist()
    assert moved == [["ETHUSDT", 1, f"{UP} 2", "momentum"], ["BTCUSDT", 2, f"{DOWN} 1", "momentum"]]
    assert "Left the list: SOLUSDT (long)." in texts(shown)


def test_as_of_an_instant_the_page_tells_what_was_known_then(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("regime")
    then = NEWEST - HOUR
    shown.text_input(key="regime-as-of").set_value(then.strftime("%Y-%m-%d %H:%M")).run()
    assert not shown.exception
    assert figures(shown)["In force"] == "neutral"
    assert "UTC at least" in texts(shown), "what is older was not read"
    watched = shown.dataframe[2].value
    assert list(watched["Symbol"]) == ["BTCUSDT", "SOLUSDT", "ETHUSDT"]
    shown.text_input(key="regime-as-of").set_value("yesterday").run()
    assert "is no date or instant" in shown.error[0].value


def test_the_universe_tells_who_is_traded_and_why_others_are_not(api: RunningApi, database: str) -> None:
    _store(database)
    members, others = (table.value for table in page("regime").dataframe[-2:])
    assert list(members["Symbol"]) == ["BTCUSDT"]
    assert others[["Symbol", "Why"]].values.tolist() == [["TINYUSDT", "turnover too small or unknown"]]


def test_daily_candles_can_be_looked_at_too(api: RunningApi, database: str) -> None:
    _store(database)
    shown = page("regime")
    shown.segmented_control(key="regime-candles").set_value("1d").run()
    assert not shown.exception
    assert "No BTCUSDT candle of this length" in texts(shown), "only 4h candles are stored"
