"""What the API tells of stored candles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from client import ApiProblem, AtsClient
from client.models import Timeframe
from db.models import CandleRow
from tests.api import rows
from tests.api.running import RunningApi

FIRST = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
STEP = timedelta(hours=4)


def candle(number: int, category: str = "spot", symbol: str = "BTCUSDT", timeframe: str = "4h") -> CandleRow:
    prices = {"open": 100.0 + number, "high": 103.0 + number, "low": 99.0 + number, "close": 102.5 + number}
    at = FIRST + number * STEP
    return CandleRow(
        category=category, symbol=symbol, timeframe=timeframe, open_time=at, **prices, volume=3.5, turnover=350.0
    )


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    others = [candle(9, category="linear"), candle(9, symbol="ETHUSDT"), candle(9, timeframe="1h")]
    rows.store(database, [*map(candle, range(5)), *others])
    with api.client() as opened:
        yield opened


def numbers(client: AtsClient, since: datetime | None = None, until: datetime | None = None) -> list[int]:
    found = client.candles("BTCUSDT", Timeframe.H4, since=since, until=until).items
    return [(each.open_time - FIRST) // STEP for each in found]


def test_candles_of_one_series_are_told_newest_first(client: AtsClient) -> None:
    newest = client.candles("BTCUSDT", Timeframe.H4).items[0]
    assert (newest.open, newest.high, newest.low, newest.close, newest.volume) == (104, 107, 103, 106.5, 3.5)
    assert numbers(client) == [4, 3, 2, 1, 0]
    assert client.candles("NOSUCHUSDT", Timeframe.H4).items == []


def test_a_range_is_by_open_time_from_and_by_close_to(client: AtsClient) -> None:
    assert numbers(client, since=FIRST + STEP) == [4, 3, 2, 1]
    assert numbers(client, until=FIRST + 3 * STEP) == [2, 1, 0], "the fourth is not closed then"
    assert numbers(client, until=FIRST + 3 * STEP - timedelta(seconds=1)) == [1, 0]


def test_pages_follow_each_other_without_gap_or_repeat(client: AtsClient) -> None:
    first = client.candles("BTCUSDT", Timeframe.H4, limit=3)
    rest = client.candles("BTCUSDT", Timeframe.H4, limit=3, cursor=first.next_cursor)
    opens = [each.open_time for each in [*first.items, *rest.items]]
    assert opens == [FIRST + number * STEP for number in (4, 3, 2, 1, 0)]
    assert rest.next_cursor is None
    with pytest.raises(ApiProblem, match="cursor"):
        client.candles("BTCUSDT", Timeframe.H4, cursor="nonsense")


@pytest.mark.parametrize(
    ("field", "query"),
    [
        ("symbol", {"timeframe": "4h"}),
        ("symbol", {"timeframe": "4h", "symbol": "btc usdt"}),
        ("timeframe", {"symbol": "BTCUSDT", "timeframe": "3h"}),
        ("category", {"symbol": "BTCUSDT", "timeframe": "4h", "category": "inverse"}),
        ("limit", {"symbol": "BTCUSDT", "timeframe": "4h", "limit": "1001"}),
        ("from", {"symbol": "BTCUSDT", "timeframe": "4h", "from": "2026-03-01T00:00:00"}),
        (
            "from",
            {"symbol": "BTCUSDT", "timeframe": "4h", "from": "2026-03-02T00:00Z", "to": "2026-03-01T00:00Z"},
        ),
        ("to", {"symbol": "BTCUSDT", "timeframe": "4h", "to": "0001-01-01T00:00:00Z"}),
    ],
)
def test_a_question_that_makes_no_sense_names_the_field(
    api: RunningApi, database: str, field: str, query: dict[str, str]
) -> None:
    with api.http() as http:
        answer = http.get("/v1/market/candles", params=query)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert [each["field"] for each in answer.json()["fields"]] == [field]
