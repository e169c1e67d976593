"""What the API tells of the market's regime, and asking for a past that nobody computed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from client import ApiProblem, AtsClient
from client.models import Regime, RegimeNowView, RegimeRebuildRequest
from db.models import LivePrice
from tests.api import rows
from tests.api.regime_rows import EPOCH, NEWEST, STEP, clock, end_rebuild, store_regimes
from tests.api.running import RunningApi
from workers.stack.temporal import EmbeddedTemporal


@pytest.fixture
def client(api: RunningApi) -> Iterator[AtsClient]:
    with api.client() as opened:
        yield opened


@pytest.fixture
def known(client: AtsClient, database: str) -> AtsClient:
    store_regimes(database)
    return client


def test_the_regime_in_force_is_told_with_what_it_is_made_of(known: AtsClient) -> None:
    now = known.regime()
    assert (now.in_force, now.as_of) == (Regime.BULL, NEWEST)
    newest = now.newest
    assert newest is not None
    assert (newest.valid_from, newest.state, newest.effective, newest.confirmed) == (NEWEST, "bull", "bull", True)
    assert (newest.score, newest.factor, newest.confirmation_pct) == (4.25, 0.5, -1.25)
    assert {each.name: each.term * each.weight for each in newest.terms} == {
        "close_over_ema_200": 12.5,
        "momentum_30d": -4.0,
    }
    assert newest.inputs["1d"]["bars"] == 1000


def test_nothing_is_in_force_while_the_last_close_has_no_regime(known: AtsClient, database: str) -> None:
    rows.store(database, [_later()])
    now = known.regime()
    assert now.in_force is None
    assert now.newest is not None
    assert now.newest.valid_from == NEWEST


def _later() -> LivePrice:
    return LivePrice(
        category="linear",
        symbol="BTCUSDT",
        price=60_000,
        market_at=NEWEST + STEP + timedelta(minutes=1),
        received_at=NEWEST + STEP,
    )


def test_before_anything_was_computed_nothing_is_known(client: AtsClient, database: str) -> None:
    assert client.regime() == RegimeNowView(as_of=None, in_force=None, newest=None)
    assert client.regime_history().items == []
    rows.store(database, [clock()])
    assert client.regime() == RegimeNowView(as_of=NEWEST, in_force=None, newest=None)


def test_the_history_is_paged_newest_first(known: AtsClient) -> None:
    first = known.regime_history(limit=2)
    assert [(each.valid_from, each.effective) for each in first.items] == [
        (NEWEST, "bull"),
        (NEWEST - STEP, "neutral"),
    ]
    rest = known.regime_history(limit=10, cursor=first.next_cursor, since=NEWEST - 3 * STEP)
    assert [each.valid_from for each in rest.items] == [NEWEST - 2 * STEP, NEWEST - 3 * STEP]
    assert rest.items[-1].pending == "bull"
    assert rest.next_cursor is None
    with pytest.raises(ApiProblem, match="cursor"):
        known.regime_history(cursor="nonsense")


def test_one_rebuild_is_under_way_at_a_time(client: AtsClient, temporal_server: EmbeddedTemporal) -> None:
    end_rebuild(temporal_server.address)
    wanted = RegimeRebuildRequest(since=NEWEST - timedelta(days=90), until=NEWEST, reason="a backtest")
    try:
        assert client.rebuild_regime(wanted).workflow_id == "regime/rebuild"
        with pytest.raises(ApiProblem) as refused:
            client.rebuild_regime(wanted)
        assert (refused.value.status, refused.value.code) == (409, "rebuild-running")
    finally:
        end_rebuild(temporal_server.address)


def test_a_rebuild_that_makes_no_sense_names_the_field(api: RunningApi, database: str) -> None:
    rows.store(database, [_later()])
    start, reason = "2026-03-01T00:00:00Z", "a test"
    faulty = {
        "reason": {"from": start},
        "from": {"from": "2026-03-01T00:00:00", "reason": reason},
        "to": {"from": start, "to": "soon", "reason": reason},
        "(body)": {"from": start, "to": "2026-02-01T00:00:00Z", "reason": reason},
        "replace": {"from": start, "reason": reason, "replace": True},
    }
    with api.http() as http:
        for field, body in faulty.items():
            answer = http.post("/v1/regime/rebuild", json=body)
            assert (answer.status_code, [each["field"] for each in answer.json()["fields"]]) == (422, [field])
        for instant, rule in (("2001-03-01T00:00:00Z", "older"), ("2027-03-01T00:00:00Z", "future")):
            answer = http.post("/v1/regime/rebuild", json={"from": instant, "reason": reason})
            assert answer.status_code == 422
            assert [rule in each["rule"] for each in answer.json()["fields"] if each["field"] == "from"] == [True]


def test_as_of_an_instant_only_what_was_known_then_is_told(known: AtsClient, database: str) -> None:
    then = known.regime(as_of=NEWEST - timedelta(hours=1))
    assert (then.in_force, then.as_of) == (Regime.NEUTRAL, NEWEST - timedelta(hours=1))
    assert then.newest is not None
    assert then.newest.valid_from == NEWEST - STEP
    history = known.regime_history(as_of=NEWEST - STEP).items
    assert [each.valid_from for each in history] == [NEWEST - places * STEP for places in (1, 2, 3, 4)]
    before = known.regime(as_of=NEWEST - timedelta(days=30))
    assert (before.in_force, before.newest) == (None, None)


def test_what_was_recorded_after_the_instant_was_not_known_at_it(known: AtsClient, database: str) -> None:
    """The scan of the next close began before these rows were recorded: they are a rebuild's."""
    began = datetime.now(UTC) - timedelta(hours=1)
    rows.store(database, [rows.scan(0, epoch=EPOCH, close_at=NEWEST, started_wall=began)])
    instant = NEWEST - timedelta(minutes=1)
    assert known.regime(as_of=instant) == RegimeNowView(as_of=instant, in_force=None, newest=None)
    assert known.regime_history(as_of=instant).items == []
    assert known.regime(as_of=NEWEST).in_force == Regime.BULL, "no later scan began: it is known"
