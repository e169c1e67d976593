"""What the API tells of decisions: signals and what became of them, blocks, scans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client import ApiProblem, AtsClient
from client.models import SignalView
from tests.api import rows
from tests.api.running import RunningApi

# 1 blocked by the scan, 2 accepted without a row yet, 3 became a position, 4 denied in the reservation
STORED = [
    rows.signal(1, blocked_by="cooldown_active", symbol="ETHUSDT"),
    rows.block(1, "cooldown_active"),
    rows.block(1, "trade_rate_limit", place=1),
    rows.signal(2),
    rows.signal(3, strategy="trend_breakdown"),
    rows.position(3),
    rows.signal(4),
    rows.block(4, "portfolio_position_cap", stage="reservation"),
]


@pytest.fixture
def client(api: RunningApi, database: str) -> Iterator[AtsClient]:
    rows.store(database, [type(row)(**_values(row)) for row in STORED])
    with api.client() as opened:
        yield opened


def _values(row: object) -> dict[str, object]:
    return {name: value for name, value in vars(row).items() if not name.startswith("_")}


def numbers(signal_ids: list[str]) -> list[int]:
    known = {rows.position_id(number): number for number in range(10)}
    return [known[signal_id] for signal_id in signal_ids]


def test_each_signal_is_told_with_what_became_of_it(client: AtsClient) -> None:
    told = client.signals().items
    assert numbers([each.signal_id for each in told]) == [4, 3, 2, 1]
    assert [(each.outcome, each.blocked_by) for each in told] == [
        ("blocked", "portfolio_position_cap"),
        ("open", None),
        ("accepted", None),
        ("blocked", "cooldown_active"),
    ]
    assert [each.position_id is not None for each in told] == [False, True, False, False]
    one = client.signal(rows.position_id(3))
    assert SignalView.model_validate(one.model_dump()) == told[1]
    assert (one.verdicts[0].gate, one.verdicts[0].passed, one.evidence) == ("trading_halted", True, {"roc": 4.2})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"outcome": "blocked"}, [4, 1]),
        ({"outcome": "accepted"}, [2]),
        ({"outcome": "open"}, [3]),
        ({"outcome": "closed"}, []),
        ({"symbol": "ETHUSDT"}, [1]),
        ({"strategy": "trend_breakdown"}, [3]),
        ({"since": rows.signal(3).close_at}, [4, 3]),
    ],
)
def test_signals_are_filtered(client: AtsClient, filters: dict, expected: list[int]) -> None:
    assert numbers([each.signal_id for each in client.signals(**filters).items]) == expected


def test_signals_come_in_pages(client: AtsClient) -> None:
    first = client.signals(limit=3)
    rest = client.signals(limit=3, cursor=first.next_cursor)
    assert numbers([each.signal_id for each in (*first.items, *rest.items)]) == [4, 3, 2, 1]
    assert rest.next_cursor is None


def test_the_reasons_are_told_and_every_gate_that_blocked_on_request(client: AtsClient) -> None:
    told = client.blocked_signals().items
    assert [(each.gate, each.stage) for each in told] == [
        ("portfolio_position_cap", "reservation"),
        ("cooldown_active", "decision"),
    ]
    assert (told[1].symbol, told[1].value, told[1].threshold) == ("ETHUSDT", "26", "25")
    assert len(client.blocked_signals(every=True).items) == 3
    assert [each.place for each in client.blocked_signals(gate="trade_rate_limit", every=True).items] == [1]
    assert client.blocked_signals(gate="stale_price").items == []
    assert numbers([each.signal_id for each in client.blocked_signals(symbol="ETHUSDT").items]) == [1]
    first = client.blocked_signals(limit=1)
    assert client.blocked_signals(limit=1, cursor=first.next_cursor).items == told[1:]


def test_scans_are_told_with_how_long_they_took(client: AtsClient, database: str) -> None:
    rows.store(database, [rows.scan(1), rows.scan(2), rows.scan(3, state="running", finished_wall=None)])
    told = client.scans().items
    assert [(each.state, each.seconds) for each in told] == [("running", None), ("done", 1.5), ("done", 1.5)]
    first = client.scans(limit=2)
    assert client.scans(limit=2, cursor=first.next_cursor).items == told[2:]


def test_a_signal_nobody_made_is_not_found(client: AtsClient) -> None:
    with pytest.raises(ApiProblem) as refused:
        client.signal(rows.position_id(9))
    assert (refused.value.status, refused.value.code) == (404, "unknown-signal")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("outcome=perhaps", "outcome"),
        ("since=2026-03-01T00:00:00", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
    ],
)
def test_a_bad_filter_names_its_field(api: RunningApi, query: str, field: str) -> None:
    with api.http() as http:
        answer = http.get(f"/v1/signals?{query}")
    assert answer.status_code == 422
    assert field in answer.json()["fields"][0]["field"]
