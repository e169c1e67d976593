"""Trading over the API on a whole running system: opening, refusals, closing, new targets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest

from client import ApiProblem, AtsClient
from client.models import CloseRequest, ExitPolicy, TargetsRequest, TradeRequest
from tests.api.trading_system import TradingSystem, running_system
from tests.support.folders import scratch_folder
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POLICY = ExitPolicy(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(5))


@pytest.fixture(scope="module")
def system(postgres_server: PostgresServer) -> Iterator[TradingSystem]:
    dsn = postgres_server.new_database()
    with scratch_folder() as folder, running_system(folder, dsn) as running:
        yield running
    postgres_server.drop_database(dsn)


@pytest.fixture
def client(system: TradingSystem) -> Iterator[AtsClient]:
    """Leaves no position open behind a test: symbols are shared."""
    with system.api.client() as opened:
        yield opened
        for position in opened.positions(state="open").items:
            opened.close_position(position.id, CloseRequest(reason="the test is over"))
            system.until(opened, position.id, "closed")


def buy(symbol: str = "BTCUSDT", **changes: object) -> TradeRequest:
    fields = {"side": "buy", "symbol": symbol, "usd": "500", "exit_policy": POLICY, "reason": "a test"}
    return TradeRequest.model_validate({**fields, **changes})


def test_a_buy_opens_a_protected_long_and_a_close_settles_it(system: TradingSystem, client: AtsClient) -> None:
    accepted = client.trade(buy())
    position = system.until_protected(client, accepted.position_id)
    assert (position.side, position.category, position.requested_by) == ("long", "spot", "key:installation")
    assert position.entry_price is not None
    assert position.stop_price is not None
    assert position.stop_price < position.entry_price

    closing = client.close_position(position.id, CloseRequest(reason="enough seen"))
    assert closing.order_link_id == f"{position.id}-X1"
    closed = system.until(client, position.id, "closed")
    assert closed.exit_reason == "manual_close"
    assert [order.role for order in closed.orders if order.state == "filled"] == ["entry", "exit"]
    assert closed.realised_pnl == sum(match.net for match in closed.matches)
    events = client.events(subject=position.id).items
    assert any(event.detail.get("note") == "enough seen" for event in events)


def test_a_sell_opens_a_short_on_linear(system: TradingSystem, client: AtsClient) -> None:
    accepted = client.trade(buy("ETHUSDT", side="sell"))
    position = system.until_protected(client, accepted.position_id)
    assert (position.side, position.category) == ("short", "linear")
    assert position.stop_price is not None
    assert position.entry_price is not None
    assert position.stop_price > position.entry_price


def test_the_same_key_never_trades_twice(system: TradingSystem, client: AtsClient) -> None:
    key = uuid.uuid4().hex
    first, second = client.trade(buy(), key=key), client.trade(buy(), key=key)
    assert first == second
    with pytest.raises(ApiProblem) as refused:
        client.trade(buy(usd="600"), key=key)
    assert (refused.value.status, refused.value.code) == (422, "idempotency-key-reused")
    position = system.until_protected(client, first.position_id)
    assert len([order for order in position.orders if order.role == "entry"]) == 1


@pytest.mark.parametrize(
    ("request_", "status", "code", "field"),
    [
        (buy("NOSUCHUSDT"), 422, "unknown-symbol", "symbol"),
        (buy(usd="0.5"), 422, "below-minimum-order", "usd"),
        (buy(usd=None, qty="0.0000001"), 422, "below-minimum-order", "qty"),
    ],
    ids=["unknown symbol", "amount under the minimum", "quantity under the minimum"],
)
def test_a_denial_names_field_and_rule_and_leaves_an_audit_row_alone(
    client: AtsClient, request_: TradeRequest, status: int, code: str, field: str
) -> None:
    key = uuid.uuid4().hex
    before = {position.id for position in client.positions().items}
    with pytest.raises(ApiProblem) as refused:
        client.trade(request_, key=key)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert [fault.field for fault in refused.value.fields] == [field]
    assert {position.id for position in client.positions().items} == before
    denied = [event for event in client.events(kind="position_denied").items if event.detail["field"] == field]
    assert denied
    with pytest.raises(ApiProblem) as again:
        client.trade(request_, key=key)
    assert again.value.problem == refused.value.problem


def test_a_second_position_on_the_symbol_is_a_conflict(system: TradingSystem, client: AtsClient) -> None:
    first = client.trade(buy())
    with pytest.raises(ApiProblem) as refused:
        client.trade(buy())
    assert (refused.value.status, refused.value.code) == (409, "position-exists")
    system.until_protected(client, first.position_id)


def test_new_targets_are_versioned_and_acknowledged_by_the_guard(system: TradingSystem, client: AtsClient) -> None:
    opened = system.until_protected(client, client.trade(buy()).position_id)
    tighter = ExitPolicy(stop_loss_pct=Decimal(1), take_profit_pct=Decimal(8))
    request = TargetsRequest(policy=tighter, expected_version=opened.targets_version, reason="less risk")
    accepted = client.set_targets(opened.id, request)
    assert (accepted.version, accepted.acknowledged) == (opened.targets_version + 1, True)
    changed = client.position(opened.id)
    assert changed.targets[-1].policy == tighter
    assert (changed.targets[-1].reason, changed.targets[-1].set_by) == ("less risk", "key:installation")
    assert opened.entry_price is not None
    assert changed.take_profit_price == opened.entry_price * Decimal("1.08")
    with pytest.raises(ApiProblem) as moved:
        client.set_targets(opened.id, request)
    assert (moved.value.status, moved.value.code) == (409, "targets-moved")


def test_closing_what_is_not_open_is_a_conflict(system: TradingSystem, client: AtsClient) -> None:
    position_id = client.trade(buy()).position_id
    system.until_protected(client, position_id)
    with pytest.raises(ApiProblem) as changed:
        client.close_position(position_id, CloseRequest(reason="stale view", expected_qty=Decimal(7)))
    assert (changed.value.status, changed.value.code) == (409, "position-changed")
    client.close_position(position_id, CloseRequest(reason="done"))
    system.until(client, position_id, "closed")
    with pytest.raises(ApiProblem) as refused:
        client.close_position(position_id, CloseRequest(reason="again"))
    assert (refused.value.status, refused.value.code) == (409, "position-not-open")


def test_while_no_worker_runs_a_trade_is_accepted_and_opens_when_one_is_back(
    system: TradingSystem, client: AtsClient
) -> None:
    system.worker.kill()
    accepted = client.trade(buy("SOLUSDT"))
    assert accepted.state == "requested"
    system.worker.start()
    assert system.until_protected(client, accepted.position_id).symbol == "SOLUSDT"
