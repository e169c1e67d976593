"""What the API tells of the universe: who is in it, and which rule leaves the others out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from client import AtsClient
from client.models import Category
from tests.api import rows
from tests.api.running import RunningApi


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    with api.client() as opened:
        yield opened


def test_members_come_first_by_place_and_the_others_with_what_keeps_them_out(client: AtsClient, database: str) -> None:
    assert client.universe() == []
    rows.store(
        database,
        [
            rows.standing("SOLUSDT", rank=2),
            rows.standing("ETHUSDT", rank=1),
            rows.standing("BTCUSDT", reason="included"),
            rows.standing("BTCUSDT", "linear", rank=1),
            rows.standing("OLDUSDT", reason="turnover"),
            rows.standing("NEWUSDT", "linear", reason="age", turnover_usd=None, spread_bps=None, age_days=3.5),
        ],
    )
    told = client.universe()
    assert [(each.category, each.symbol, each.member) for each in told] == [
        ("linear", "BTCUSDT", True),
        ("spot", "BTCUSDT", True),
        ("spot", "ETHUSDT", True),
        ("spot", "SOLUSDT", True),
        ("linear", "NEWUSDT", False),
        ("spot", "OLDUSDT", False),
    ]
    assert (told[0].turnover_usd, told[0].spread_bps, told[0].since) == (Decimal("1234567.5"), 1.25, rows.ENTERED)
    assert (told[4].reason, told[4].turnover_usd, told[4].age_days) == ("age", None, 3.5)
    assert [each.symbol for each in client.universe(member=False)] == ["NEWUSDT", "OLDUSDT"]
    assert [each.category for each in client.universe(symbol="BTCUSDT", member=True)] == ["linear", "spot"]
    assert [each.symbol for each in client.universe(category=Category.LINEAR)] == ["BTCUSDT", "NEWUSDT"]


@pytest.mark.parametrize("query", ["category=inverse", "symbol=btc", "member=perhaps"])
def test_a_bad_filter_names_its_field(api: RunningApi, query: str) -> None:
    with api.http() as http:
        answer = http.get(f"/v1/universe?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.json()["fields"][0]["field"]
