"""Backfills over the API on a whole running system: started, shown, refused, and carried through a worker's death."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client import ApiProblem, AtsClient
from domain.candle import Timeframe
from domain.decision_views import BackfillRequest, BackfillView
from tests.api.trading_system import TradingSystem, running_system
from tests.support.folders import scratch_folder
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FUTURE = datetime.now(UTC) + timedelta(days=3650)


@pytest.fixture(scope="module")
def system(postgres_server: PostgresServer) -> Iterator[TradingSystem]:
    dsn = postgres_server.new_database()
    with scratch_folder() as folder, running_system(folder, dsn) as running:
        with running.api.client() as asking:
            wait_until(lambda: _warmed_up(asking), "the history that decisions need", timeout=90, every=0.2)
        yield running
    postgres_server.drop_database(dsn)


@pytest.fixture
def client(system: TradingSystem) -> Iterator[AtsClient]:
    with system.api.client() as opened:
        system.push("spot", "BTCUSDT", "60000")  # nobody trades here by himself, and an old price is no price
        wait_until(lambda: _market_is_known(opened), "a price from the exchange", timeout=60)
        yield opened


def _warmed_up(client: AtsClient) -> bool:
    """Whether the market clock's own backfills are over: their workflow ids are those of the tests."""
    symbols = {each.symbol for each in client.instruments()}
    rows = client.backfills()
    return bool(symbols) and len(rows) >= len(symbols) * 5 and all(row.state == "done" for row in rows)


def _market_is_known(client: AtsClient) -> bool:
    return any(part.name == "prices" and part.ok for part in client.ready().components)


def market_now(system: TradingSystem) -> datetime:
    return datetime.fromisoformat(system.exchange.clock()["now"])


def shown(client: AtsClient, symbol: str, timeframe: str) -> BackfillView | None:
    found = [row for row in client.backfills() if (row.symbol, row.timeframe) == (symbol, timeframe)]
    return found[0] if found else None


def until_done(client: AtsClient, symbol: str, timeframe: str) -> BackfillView:
    """The row of a request of ours that is done; the clock's own before it was done long ago."""
    found: list[BackfillView] = []

    def done() -> bool:
        row = shown(client, symbol, timeframe)
        if row is not None and row.state == "done" and row.requested_by == "key:installation":
            found.append(row)
        return bool(found)

    wait_until(done, f"the backfill of {symbol} {timeframe}", timeout=90, every=0.2)
    return found[0]


def test_a_backfill_is_started_and_shown_with_its_progress(system: TradingSystem, client: AtsClient) -> None:
    since = market_now(system) - timedelta(days=10)
    accepted = client.backfill(BackfillRequest(symbol="BTCUSDT", timeframe=Timeframe.H1, since=since))
    assert accepted.workflow_ids == ["backfill/BTCUSDT/1h"]
    row = until_done(client, "BTCUSDT", "1h")
    assert (row.progress, row.requested_by, row.error) == (1.0, "key:installation", None)
    assert row.start_at >= since
    assert row.cursor == row.end_at


def test_without_a_time_all_five_timeframes_get_what_decisions_need(client: AtsClient) -> None:
    accepted = client.backfill(BackfillRequest(symbol="ETHUSDT"))
    assert accepted.workflow_ids == [f"backfill/ETHUSDT/{each}" for each in ("15m", "1h", "4h", "1d", "1w")]
    row = until_done(client, "ETHUSDT", "1d")
    assert row.progress == 1.0
    assert row.end_at - row.start_at >= 400 * Timeframe.D1.duration


def test_without_a_symbol_the_whole_universe_is_asked_for(client: AtsClient) -> None:
    accepted = client.backfill(BackfillRequest(timeframe=Timeframe.W1))
    symbols = {instrument.symbol for instrument in client.instruments()}
    assert set(accepted.workflow_ids) == {f"backfill/{symbol}/1w" for symbol in symbols}
    for symbol in symbols:
        until_done(client, symbol, "1w")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"symbol": "NOSUCHUSDT", "timeframe": "4h"}, "symbol"),
        ({"symbol": "BTCUSDT", "timeframe": "4h", "since": FUTURE}, "since"),
        ({"symbol": "BTCUSDT", "timeframe": "4h", "until": FUTURE}, "until"),
        ({"symbol": "BTCUSDT", "since": "2024-02-01T00:00Z", "until": "2024-01-01T00:00Z"}, "since"),
        ({"since": "1999-01-01T00:00Z"}, "since"),
        ({"timeframe": "1m"}, "timeframe"),
    ],
)
def test_a_request_nobody_can_fulfil_names_the_field(client: AtsClient, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(ApiProblem) as refused:
        client.backfill(BackfillRequest.model_validate(asked))
    assert refused.value.status == 422
    assert [fault.field for fault in refused.value.fields] == [field]


def test_a_second_request_joins_the_running_backfill_which_outlives_its_worker(
    system: TradingSystem, client: AtsClient
) -> None:
    system.exchange.add_fault(kind="delay", endpoint="market/kline", count=None, delay_ms=400)
    since = market_now(system) - timedelta(days=100)
    request = BackfillRequest(symbol="SOLUSDT", timeframe=Timeframe.M15, since=since)
    client.backfill(request)

    def under_way() -> bool:
        row = shown(client, "SOLUSDT", "15m")
        return row is not None and 4 <= row.pages < 18

    wait_until(under_way, "some pages of many", every=0.005)
    system.worker.kill()
    interrupted = shown(client, "SOLUSDT", "15m")
    assert interrupted is not None
    assert interrupted.state == "running"
    client.backfill(request.model_copy(update={"since": since + timedelta(days=50)}))
    system.worker.start()
    row = until_done(client, "SOLUSDT", "15m")
    pages = 2 * -(-100 * 96 // 1000)
    asked = [fault["hits"] for fault in system.exchange.control("GET", "faults")["faults"] if fault["kind"] == "delay"]
    assert row.start_at == interrupted.start_at, "the second request began another one"
    assert row.pages <= pages
    assert row.candles >= 2 * 100 * 96 - 2
    assert asked[0] >= pages - 1
    system.exchange.clear_faults()
