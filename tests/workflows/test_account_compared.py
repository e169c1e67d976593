"""The account held against our books: what others do is adopted and left alone, what they take from us is settled, and
what nothing explains halts entries, once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, text

from activities.reconciling import Reconciled
from db.models import ForeignOrder, ForeignPosition, Position, Reconciliation
from db.repositories.evidence import doubts, evidence_of
from db.repositories.settings import current_settings, set_halted
from domain.exits import ExitPolicy, ExitReason
from domain.ids import OrderRole, order_link_id
from domain.market import Category, PositionSide, Side
from domain.order import OrderState
from domain.position import PositionState
from exchange.protocol import Exchange, OrderRequest
from tests.support.trading import Trading, settings_for
from tests.support.waiting import eventually
from workers.connections import exchange_of
from workflows.position import CloseRequest, PositionWorkflow
from workflows.reconciliation import ReconciliationWorkflow

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LOOSE = ExitPolicy(stop_loss_pct=Decimal(10))


class Stranger:
    """Somebody else who trades on the same account."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def trade(self, category: Category, symbol: str, side: Side, qty: Decimal, **more: Any) -> str:
        link_id = f"stranger-{uuid.uuid4().hex[:12]}"
        await self.exchange.place_order(
            OrderRequest(category=category, symbol=symbol, side=side, qty=qty, order_link_id=link_id, **more)
        )
        return link_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stranger(trading: Trading) -> AsyncIterator[Stranger]:
    gateway = exchange_of(settings_for(trading.database.dsn, "unused:1", trading.exchange))
    await gateway.start()
    yield Stranger(gateway)
    await gateway.close()


async def compare(trading: Trading) -> Reconciliation:
    """One comparison, begun after this was called."""
    handle = trading.client.get_workflow_handle_for(ReconciliationWorkflow.run, "reconcile/account")
    done: Reconciled = await handle.execute_update(ReconciliationWorkflow.run_now)
    async with trading.database.session() as session:
        row = await session.get(Reconciliation, done.reconciliation_id)
    assert row is not None
    return row


async def held(trading: Trading, category: Category, symbol: str, **fields: Any) -> tuple[Any, Position]:
    handle = await trading.open(category, symbol, **{"policy": LOOSE, **fields})
    return handle, await trading.until_watched(handle)


async def close(handle: Any) -> Any:
    await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="over", requested_by="test"))
    return await handle.result()


async def size_at_exchange(trading: Trading, symbol: str) -> Decimal:
    rows = [row for row in (await trading.books())["positions"] if row["symbol"] == symbol]
    return sum((Decimal(row["size"]) * (1 if row["side"] == "Buy" else -1) for row in rows), Decimal(0))


async def foreign_position(trading: Trading, symbol: str) -> ForeignPosition | None:
    async with trading.database.session() as session:
        return await session.get(ForeignPosition, ("linear", symbol))


async def told(trading: Trading, kind: str, subject: str) -> list[Any]:
    return [event for event in await trading.events(kind) if event.subject == subject]


async def until_qty(trading: Trading, handle: Any, qty: Decimal) -> None:
    async def so() -> bool:
        now = await trading.position(handle)
        return now is not None and now.qty == qty

    await eventually(so, f"{handle.id} to hold {qty}")


async def test_a_linear_position_of_somebody_else_is_adopted_shown_and_left_alone(
    trading: Trading, stranger: Stranger
) -> None:
    await stranger.trade(Category.LINEAR, "XRPUSDT", Side.BUY, Decimal(100))
    row = await compare(trading)
    assert (row.foreign_positions, row.drift) == (1, [])
    found = await foreign_position(trading, "XRPUSDT")
    assert found is not None
    assert (found.side, found.size, found.gone_at) == ("long", Decimal(100), None)
    again = await compare(trading)
    assert again.foreign_positions == 1
    assert len(await told(trading, "foreign_position_seen", "XRPUSDT")) == 1, "once"
    assert await size_at_exchange(trading, "XRPUSDT") == 100
    ours = await trading.open(Category.LINEAR, "XRPUSDT", PositionSide.SHORT)
    refused = await ours.execute_update(PositionWorkflow.reserved)
    assert (refused.accepted, refused.code, refused.field) == (False, "position_exists", "symbol")
    assert refused.rule == "others hold the symbol on the account"

    await stranger.trade(Category.LINEAR, "XRPUSDT", Side.SELL, Decimal(100))
    row = await compare(trading)
    assert (row.foreign_positions, row.drift) == (0, [])
    gone = await foreign_position(trading, "XRPUSDT")
    assert gone is not None
    assert gone.gone_at is not None
    assert len(await told(trading, "foreign_position_gone", "XRPUSDT")) == 1


async def test_resting_orders_of_somebody_else_are_adopted_until_they_are_gone(
    trading: Trading, stranger: Stranger
) -> None:
    placed = {
        Category.SPOT: await stranger.trade(
            Category.SPOT, "LINKUSDT", Side.BUY, Decimal(10), trigger_price=Decimal(100), trigger_rises=True
        ),
        Category.LINEAR: await stranger.trade(
            Category.LINEAR, "LINKUSDT", Side.BUY, Decimal(10), trigger_price=Decimal(100), trigger_rises=True
        ),
    }
    row = await compare(trading)
    assert row.foreign_orders == 2
    async with trading.database.session() as session:
        rows = (await session.scalars(select(ForeignOrder))).all()
    assert {(each.category, each.order_link_id) for each in rows} == {(c.value, o) for c, o in placed.items()}
    assert all(each.trigger_price == 100 and each.gone_at is None for each in rows)
    for category, link_id in placed.items():
        await stranger.exchange.cancel_order(category, "LINKUSDT", link_id)
    assert (await compare(trading)).foreign_orders == 0
    for each in rows:
        assert len(await told(trading, "foreign_order_seen", each.order_id)) == 1
        assert len(await told(trading, "foreign_order_gone", each.order_id)) == 1


async def test_a_position_that_somebody_closes_by_hand_is_settled_by_what_was_executed(
    trading: Trading, stranger: Stranger
) -> None:
    handle, opened = await held(trading, Category.LINEAR, "ETHUSDT")
    await stranger.trade(Category.LINEAR, "ETHUSDT", Side.SELL, opened.qty)
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.FOREIGN_CLOSE
    assert len(await told(trading, "foreign_close", opened.position_id)) >= 1
    row = await compare(trading)
    assert (row.drift, row.foreign_positions) == ([], 0)


async def test_a_position_that_somebody_closes_in_part_goes_on_with_what_is_left(
    trading: Trading, stranger: Stranger
) -> None:
    handle, opened = await held(trading, Category.LINEAR, "ETHUSDT")
    part = Decimal("0.1")
    await stranger.trade(Category.LINEAR, "ETHUSDT", Side.SELL, part, reduce_only=True)
    await until_qty(trading, handle, opened.qty - part)
    row = await compare(trading)
    assert (row.drift, row.foreign_positions) == ([], 0)
    settled = await close(handle)
    assert settled.exit_reason is ExitReason.MANUAL_CLOSE
    assert await size_at_exchange(trading, "ETHUSDT") == 0


async def test_what_somebody_holds_beside_us_is_closed_before_ours_is_touched(
    trading: Trading, stranger: Stranger
) -> None:
    handle, opened = await held(trading, Category.LINEAR, "SOLUSDT")
    await stranger.trade(Category.LINEAR, "SOLUSDT", Side.BUY, Decimal(2))
    row = await compare(trading)
    assert (row.drift, row.foreign_positions) == ([], 1)
    beside = await foreign_position(trading, "SOLUSDT")
    assert beside is not None
    assert beside.size == 2

    await stranger.trade(Category.LINEAR, "SOLUSDT", Side.SELL, Decimal(2))
    assert (await compare(trading)).drift == []
    assert (await trading.position(handle)).qty == opened.qty  # type: ignore[union-attr]
    await stranger.trade(Category.LINEAR, "SOLUSDT", Side.SELL, Decimal(1))
    await until_qty(trading, handle, opened.qty - 1)
    await close(handle)
    assert (await compare(trading)).drift == []
    assert await size_at_exchange(trading, "SOLUSDT") == 0


async def test_an_order_of_somebody_else_that_turns_our_position_leaves_them_what_is_beyond_it(
    trading: Trading, stranger: Stranger
) -> None:
    handle, opened = await held(trading, Category.LINEAR, "ETHUSDT", side=PositionSide.SHORT)
    await stranger.trade(Category.LINEAR, "ETHUSDT", Side.BUY, opened.qty + Decimal("0.5"))
    settled = await handle.result()
    assert settled.exit_reason is ExitReason.FOREIGN_CLOSE
    row = await compare(trading)
    assert row.drift == []
    left = await foreign_position(trading, "ETHUSDT")
    assert left is not None
    assert (left.side, left.size) == ("long", Decimal("0.5"))
    assert await trading.events("oversold") == []
    await stranger.trade(Category.LINEAR, "ETHUSDT", Side.SELL, Decimal("0.5"))
    assert (await compare(trading)).foreign_positions == 0


@pytest.mark.parametrize("share", [Decimal(1), Decimal("0.5")], ids=["all of it", "half of it"])
async def test_a_spot_position_that_somebody_sells_is_settled_from_the_sale(
    trading: Trading, stranger: Stranger, share: Decimal
) -> None:
    handle, opened = await held(trading, Category.SPOT, "DOGEUSDT")
    stop = (await trading.orders(opened.position_id))[-1]
    sold = (stop.qty * share).quantize(Decimal("0.1"))
    await stranger.trade(Category.SPOT, "DOGEUSDT", Side.SELL, sold)

    async def noticed() -> bool:
        await compare(trading)
        return bool(await told(trading, "foreign_close", opened.position_id))

    await eventually(noticed, "the sale to be booked", timeout=40)
    if share == 1:
        settled = await handle.result()
    else:
        await until_qty(trading, handle, opened.qty - sold)
        settled = await close(handle)
    assert settled.exit_reason is (ExitReason.FOREIGN_CLOSE if share == 1 else ExitReason.MANUAL_CLOSE)
    row = await compare(trading)
    assert row.drift == []
    assert not await halted(trading)


async def halted(trading: Trading) -> bool:
    async with trading.database.session() as session:
        return bool((await current_settings(session))["trading_halted"])


async def resume(trading: Trading) -> None:
    async with trading.database.session(actor="test", reason="over") as session:
        await set_halted(session, False, who="test", reason="over")


async def test_a_sale_that_two_positions_could_have_lost_halts_and_is_not_guessed(
    trading: Trading, stranger: Stranger
) -> None:
    handles = [await held(trading, Category.SPOT, "LINKUSDT", strategy=name) for name in ("first", "second")]
    await stranger.trade(Category.SPOT, "LINKUSDT", Side.SELL, Decimal(10))

    async def found() -> bool:
        return any(each["kind"] == "coin_short" for each in (await compare(trading)).drift)

    await eventually(found, "the coins to be missed", timeout=40)
    assert await halted(trading)
    assert [event.severity for event in await told(trading, "drift", "LINK")] == ["page"]
    for handle, opened in handles:
        assert (await trading.position(handle)).qty == opened.qty  # type: ignore[union-attr]
    await stranger.trade(Category.SPOT, "LINKUSDT", Side.BUY, Decimal(11))

    async def explained() -> bool:
        return (await compare(trading)).drift == []

    await eventually(explained, "the coins to be there again", timeout=40)
    assert await halted(trading), "a person resumes"
    assert len(await told(trading, "drift_explained", "LINK")) == 1
    await resume(trading)
    for handle, _ in handles:
        await close(handle)


async def test_drift_halts_and_pages_once_and_is_said_when_it_is_explained(trading: Trading) -> None:
    handle, opened = await held(trading, Category.LINEAR, "BTCUSDT")

    async def write_qty(qty: Decimal) -> None:
        async with trading.database.session() as session:
            await session.execute(text("SET LOCAL session_replication_role = replica"))
            where = {"qty": qty, "id": opened.position_id}
            await session.execute(text("UPDATE positions SET qty = :qty WHERE position_id = :id"), where)
            await session.execute(text("UPDATE lots SET qty_left = :qty WHERE position_id = :id"), where)

    await write_qty(opened.qty + Decimal("0.5"))
    row = await compare(trading)
    assert [(each["kind"], each["subject"], each["amount"]) for each in row.drift] == [("size", "BTCUSDT", "-0.500")]
    assert row.halted
    assert await halted(trading)
    again = await compare(trading)
    assert (len(again.drift), again.halted) == (1, False)
    assert [event.severity for event in await told(trading, "drift", "BTCUSDT")] == ["page"], "once"

    await resume(trading)
    assert len((await compare(trading)).drift) == 1
    assert not await halted(trading), "known: the operator let entries go on all the same"
    await write_qty(opened.qty)
    assert (await compare(trading)).drift == []
    assert len(await told(trading, "drift_explained", "BTCUSDT")) == 1
    await close(handle)


async def test_a_balance_that_the_log_does_not_explain_is_drift_until_it_does(trading: Trading) -> None:
    assert (await compare(trading)).drift == []

    async def shift(amount: str) -> None:
        async with trading.database.session() as session:
            await session.execute(
                text("UPDATE balance_checks SET balance = balance + :amount WHERE coin = 'USDT'"),
                {"amount": Decimal(amount)},
            )

    await shift("-7")
    row = await compare(trading)
    assert [(each["kind"], each["subject"], Decimal(each["amount"])) for each in row.drift] == [("balance", "USDT", 7)]
    assert await halted(trading)
    assert len(await told(trading, "drift", "USDT")) == 1
    await shift("7")
    assert (await compare(trading)).drift == []
    await resume(trading)


async def test_after_a_broken_account_stream_the_whole_account_is_compared(
    trading: Trading, stranger: Stranger
) -> None:
    handle = trading.client.get_workflow_handle("reconcile/account")

    async def signals() -> int:
        history = await handle.fetch_history()
        return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)

    before = await signals()
    await trading.fault(kind="socket_cut", sockets="private")
    await stranger.trade(Category.LINEAR, "LINKUSDT", Side.BUY, Decimal(3))

    async def adopted() -> bool:
        found = await foreign_position(trading, "LINKUSDT")
        return found is not None and found.gone_at is None

    await eventually(adopted, "what happened meanwhile to be adopted without being asked for", timeout=40)
    assert await signals() > before
    await stranger.trade(Category.LINEAR, "LINKUSDT", Side.SELL, Decimal(3))
    assert (await compare(trading)).foreign_positions == 0


async def test_an_order_in_doubt_leaves_evidence_and_is_in_the_queue_until_it_is_resolved(trading: Trading) -> None:
    await trading.fault(
        kind="http_5xx", endpoint="order/create", count=2, after=False, match={"orderLinkId_suffix": "-E1"}
    )
    trading_began = datetime.now(UTC) - timedelta(hours=1)
    handle = await trading.open(Category.LINEAR, "XRPUSDT", policy=LOOSE)
    entry_id = order_link_id(handle.id.removeprefix("position/"), OrderRole.ENTRY)

    async def queued() -> bool:
        async with trading.database.session() as session:
            now = await doubts(session, trading_began, 50)
        return any(each.order.order_link_id == entry_id and each.resolved is None for each in now)

    await eventually(queued, "the entry in the queue")
    await trading.until_watched(handle)
    async with trading.database.session() as session:
        (doubt,) = [each for each in await doubts(session, trading_began, 50) if each.order.order_link_id == entry_id]
        looks = await evidence_of(session, entry_id, 50)
    assert doubt.resolved is not None
    assert doubt.resolved.to_state in (OrderState.NEW, OrderState.FILLED)
    assert doubt.attempts >= 2
    assert doubt.look_count == len(looks)
    assert {each.source for each in looks} >= {"query", "executions", "resend"}
    assert not looks[0].found
    assert any(each.found for each in looks)
    await close(handle)


async def test_a_linear_stop_that_somebody_took_away_is_told_to_its_position(
    trading: Trading, stranger: Stranger
) -> None:
    handle, opened = await held(trading, Category.LINEAR, "DOGEUSDT")
    (report,) = await stranger.exchange.positions(Category.LINEAR, "DOGEUSDT")
    assert report.stop_loss is not None
    await stranger.exchange.set_stop_loss("DOGEUSDT", report.stop_loss * Decimal("0.9"))

    async def seen() -> bool:
        await compare(trading)
        return bool(await told(trading, "stop_fault", opened.position_id))

    await eventually(seen, "the stop to be missed", timeout=60)

    async def mended() -> bool:
        (now,) = await stranger.exchange.positions(Category.LINEAR, "DOGEUSDT")
        return now.stop_loss == report.stop_loss

    await eventually(mended, "the stop to rest where it did", timeout=30)
    assert (await trading.position(handle)).state == PositionState.OPEN  # type: ignore[union-attr]
    await close(handle)


async def test_at_the_end_the_books_are_explained(trading: Trading) -> None:
    row = await compare(trading)
    assert row.drift == []
    assert row.balances_compared > 0
    assert (await trading.books())["check"]["ok"]
