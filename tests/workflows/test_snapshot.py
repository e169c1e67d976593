"""Snapshots of a short market: hour by hour, on time and late, held against the exchange and against hand-made SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, text
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError

from activities.snapshots import SnapshotActivities
from db.models import MarketClockCursor, PortfolioHourlySnapshot
from domain.market import Category, PositionSide
from tests.support.waiting import eventually
from tests.workflows.hourly import HOUR, START, WIDE, Books, close, running_books
from workflows.options import TRADING_QUEUE
from workflows.snapshot import SnapshotInput, SnapshotWorkflow, snapshot_id

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FIGURES = [
    column.key
    for column in PortfolioHourlySnapshot.__table__.columns
    if column.key not in ("taken_at", "taken_wall", "trace_id", "detail")
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def books(module_database: str) -> AsyncIterator[Books]:
    async with running_books(module_database) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(books: Books) -> Books:
    """Trades through four hours over a midnight, the last snapshot three hours after its hour."""
    trading = books.trading
    first = START.replace(hour=22, minute=0)
    hours = [first + HOUR * n for n in range(4)]
    spot = await trading.open(usd="5000", policy=WIDE)
    short = await trading.open(Category.LINEAR, "ETHUSDT", PositionSide.SHORT, usd="3000", policy=WIDE)
    opened = [await trading.until_watched(handle) for handle in (spot, short)]
    up, down = (position.entry_price for position in opened)
    assert up is not None
    assert down is not None

    async def quote(percent: int) -> None:
        await trading.push(Category.SPOT, "BTCUSDT", str((up * (100 + percent) / 100).quantize(Decimal("0.1"))))
        await trading.push(Category.LINEAR, "ETHUSDT", str((down * (100 - percent) / 100).quantize(Decimal("0.01"))))

    await quote(1)
    await books.take(hours[0])
    await quote(2)
    await close(spot)
    await books.take(hours[1])
    again = await trading.open(usd="2000", policy=WIDE)
    await trading.until_watched(again)
    await quote(3)
    await books.take(hours[2])
    await close(short)
    await quote(5)
    await books.until(hours[3])
    await quote(-4)
    await close(again)
    await books.until(hours[3] + 3 * HOUR)
    await books.take(hours[3])
    for hour in hours:
        books.rows[hour] = await books.row(hour)
    return books


async def test_every_change_of_equity_is_explained_to_the_last_digit(played: Books) -> None:
    rows = list(played.rows.values())
    assert [row.unexplained for row in rows] == [0, 0, 0, 0]
    assert await played.trading.events("snapshot_unexplained") == []
    assert [row.detail["notes"] for row in rows] == [[], [], [], []]
    deposit = Decimal(100_000)
    checked = await played.sql(
        """
        SELECT equity - :deposit - unrealised_pnl - (SELECT sum(net_pnl_daily) FROM portfolio_daily)
        FROM portfolio_hourly_snapshots ORDER BY hour DESC LIMIT 1
        """,
        deposit=deposit,
    )
    assert checked == [(0,)], "what was paid in, the days' profit and what is open make the equity"


async def test_a_late_snapshot_says_what_one_on_time_said(played: Books) -> None:
    activities = SnapshotActivities(played.trading.database, played.gateway)
    for hour, row in played.rows.items():
        late = await activities.measure(played.epoch, hour)
        assert {name: late[name] for name in FIGURES} == {name: getattr(row, name) for name in FIGURES}
        assert late["taken_at"] > row.taken_at


async def test_the_figures_are_those_of_the_ledger_by_hand(played: Books) -> None:
    for hour, row in played.rows.items():
        [(bought, sold, fees)] = await played.sql(
            """
            SELECT coalesce(sum(value) FILTER (WHERE side = 'Buy'), 0),
                   coalesce(sum(value) FILTER (WHERE side = 'Sell'), 0),
                   coalesce(sum(CASE WHEN fee_coin = 'USDT' THEN fee ELSE fee * price END), 0)
            FROM order_executions WHERE executed_at > :before AND executed_at <= :hour
            """,
            before=hour - HOUR,
            hour=hour,
        )
        [(gross,)] = await played.sql(
            """
            SELECT coalesce(sum(gross), 0) FROM lot_matches
            WHERE matched_at > :before AND matched_at <= :hour
            """,
            before=hour - HOUR,
            hour=hour,
        )
        assert (row.bought, row.sold, row.fees, row.realised_pnl) == (bought, sold, fees, gross)
        [(held,)] = await played.sql(
            """
            SELECT count(*) FROM positions
            WHERE opened_at <= :hour AND (closed_at IS NULL OR closed_at > :hour)
            """,
            hour=hour,
        )
        assert row.open_positions == held
        assert (row.invested > 0) == (held > 0)
        assert row.transfers == 0, "what the account began with is no transfer"
    assert any(row.open_positions for row in played.rows.values())
    assert any(row.realised_pnl for row in played.rows.values())


async def test_a_day_is_its_last_snapshot_and_the_next_begins_at_nothing(played: Books) -> None:
    days = await played.sql("SELECT day::text, hour, net_pnl_daily FROM portfolio_daily ORDER BY day")
    first, second, midnight, last = played.rows.values()
    assert [(day, hour) for day, hour, _ in days] == [("2026-03-01", midnight.hour), ("2026-03-02", last.hour)]
    assert midnight.hour.hour == 0
    ran = [row.realised_pnl - row.fees + row.funding for row in (first, second, midnight, last)]
    assert midnight.funding != 0, "a perpetual is held at midnight"
    assert [row.net_pnl_daily for row in (first, second, midnight)] == [sum(ran[:n]) for n in (1, 2, 3)]
    assert last.net_pnl_daily == ran[3]


async def test_the_last_snapshot_and_what_came_after_it_make_the_exchanges_wallet(played: Books) -> None:
    """Nothing is open any more but dust: the dollars of the wallet and what the dust cost."""
    wallet = await played.gateway.wallet()
    last = list(played.rows.values())[-1]
    [(since,)] = await played.sql(
        """
        SELECT coalesce((SELECT sum(gross) FROM lot_matches WHERE matched_at > :hour), 0)
             - coalesce((SELECT sum(CASE WHEN fee_coin = 'USDT' THEN fee ELSE fee * price END)
                         FROM order_executions WHERE executed_at > :hour), 0)
        """,
        hour=last.hour,
    )
    coins = {coin.coin: coin for coin in wallet.coins}
    dust = await played.sql("SELECT coalesce(sum(qty), 0) FROM dust WHERE coin = 'BTC'")
    assert [(coins["BTC"].wallet_balance,)] == dust
    [(cost,)] = await played.sql(
        """
        SELECT coalesce(sum((lots.qty - coalesce(closed.qty, 0)) * lots.price), 0) FROM lots
        LEFT JOIN (SELECT open_exec_id, sum(qty) AS qty FROM lot_matches GROUP BY 1) closed
        ON closed.open_exec_id = lots.exec_id
        """
    )
    assert coins["USDT"].wallet_balance + cost == last.equity - last.unrealised_pnl + since


async def test_asking_again_changes_nothing_and_the_cursor_only_goes_forward(played: Books) -> None:
    hour, row = next(iter(played.rows.items()))
    again = await played.take(hour)
    assert again.equity == row.equity
    async with played.trading.database.session() as session:
        found = (await session.scalars(select(PortfolioHourlySnapshot))).all()
        cursor = await session.get(MarketClockCursor, played.epoch)
    assert len(found) == len(played.rows)
    assert cursor is not None
    assert cursor.snapshot_until == max(played.rows)


async def refused(take: Callable[[], Awaitable[Any]]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await take()
    cause = caught.value.cause
    if isinstance(cause, ActivityError):
        cause = cause.cause
    assert isinstance(cause, ApplicationError)
    return cause


async def test_no_full_hour_and_no_such_market_are_refused(played: Books) -> None:
    async def run(given: dict[str, str]) -> Any:
        workflow_id = f"snapshot/{given['hour']}"
        return await played.trading.client.execute_workflow(
            "SnapshotWorkflow", given, id=workflow_id, task_queue=TRADING_QUEUE
        )

    odd = await refused(lambda: run({"epoch": played.epoch, "hour": "2026-03-01T22:00:01Z"}))
    assert odd.type == "bad_input"
    assert "full hour" in str(odd)
    elsewhere = await refused(lambda: run({"epoch": "another market", "hour": "2026-03-01T22:00:00Z"}))
    assert elsewhere.type == "other_market"


async def test_a_snapshot_waits_for_its_hour_and_for_executions_that_are_not_recorded(played: Books) -> None:
    """A fill that the database doesn't know holds the snapshot up until it does."""
    hour = (await played.market()).replace(minute=0, second=0, microsecond=0) + HOUR
    async with played.trading.database.session() as session:
        await session.execute(text("ALTER TABLE order_executions RENAME TO order_executions_away"))
        await session.execute(text("CREATE VIEW order_executions AS SELECT * FROM order_executions_away WHERE false"))
    handle = await played.trading.client.start_workflow(
        SnapshotWorkflow.run,
        SnapshotInput(epoch=played.epoch, hour=hour),
        id=snapshot_id(hour),
        task_queue=TRADING_QUEUE,
    )

    async def held_up() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any("not recorded yet" in activity.last_failure.message for activity in pending)

    try:
        await eventually(held_up, "the snapshot to miss executions", timeout=40)
        assert await played.market() >= hour
    finally:
        async with played.trading.database.session() as session:
            await session.execute(text("DROP VIEW order_executions"))
            await session.execute(text("ALTER TABLE order_executions_away RENAME TO order_executions"))
    taken = await asyncio.wait_for(handle.result(), 40)
    assert taken.unexplained == 0
