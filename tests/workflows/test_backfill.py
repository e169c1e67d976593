"""Backfills as workflows: started in every way, interrupted, asked how far they are, refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from activities.backfill_range import BackfillRange
from db.models import Backfill, CandleRow
from domain.candle import Timeframe
from tests.support.trading import Trading
from workflows.backfill import BackfillInput, BackfillProgress, BackfillResult, BackfillWorkflow, workflow_id_of
from workflows.options import MARKET_QUEUE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def start(trading: Trading, symbol: str, timeframe: str = "1h", **changes: Any) -> WorkflowHandle[Any, Any]:
    now = datetime.fromisoformat((await trading.http.get("/paper/clock")).json()["now"])
    wanted = {"symbol": symbol, "timeframe": timeframe, "start": now - timedelta(days=20), **changes}
    return await trading.client.start_workflow(
        BackfillWorkflow.run,
        BackfillInput.model_validate(wanted),
        id=workflow_id_of(symbol, Timeframe(timeframe)),
        task_queue=MARKET_QUEUE,
    )


async def row_of(trading: Trading, symbol: str, timeframe: str = "1h") -> Backfill | None:
    async with trading.database.session() as session:
        return await session.get(Backfill, (symbol, timeframe))


async def test_a_backfill_runs_to_its_end_and_says_how_far_it_is(trading: Trading) -> None:
    handle = await start(trading, "BTCUSDT")
    opened: BackfillProgress = await handle.execute_update(BackfillWorkflow.opened)
    result: BackfillResult = await handle.result()
    assert (result.start, result.end) == (opened.start, opened.end)
    assert (result.candles, result.bars_missing) == (2 * ((opened.end - opened.start) // timedelta(hours=1)), 0)
    told = await handle.query(BackfillWorkflow.progress)
    assert told is not None
    assert (told.share, told.cursor) == (1.0, opened.end)
    row = await row_of(trading, "BTCUSDT")
    assert row is not None
    assert (row.state, row.requested_by) == ("done", "temporal")


async def test_a_backfill_started_by_name_with_plain_json_is_the_same(trading: Trading) -> None:
    given = {"symbol": "ETHUSDT", "timeframe": "4h", "categories": ["spot"], "start": "2024-01-01T00:00:00Z"}
    given["end"] = "2024-02-01T00:00:00Z"
    handle = await trading.client.start_workflow(
        "BackfillWorkflow", given, id="backfill/ETHUSDT/4h", task_queue=MARKET_QUEUE, result_type=BackfillResult
    )
    result: BackfillResult = await handle.result()
    assert result.candles + result.bars_missing == 31 * 6


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timeframe": "1m"}, "timeframe"),
        ({"start": "2024-01-01T00:00:00"}, "start"),
        ({"start": "0001-01-01T00:00:00Z"}, "start"),
        ({"end": "2023-01-01T00:00:00Z"}, "start"),
        ({"categories": []}, "categories"),
        ({"untill": "2024-02-01T00:00:00Z"}, "untill"),
        ({"symbol": "btc/usdt"}, "symbol"),
    ],
)
async def test_input_that_makes_no_sense_is_refused_naming_the_field(
    trading: Trading, changes: dict[str, Any], field: str
) -> None:
    given = {"symbol": "XRPUSDT", "timeframe": "1h", "start": "2024-01-01T00:00:00Z", **changes}
    workflow_id = "backfill/XRPUSDT/1h"
    handle = await trading.client.start_workflow("BackfillWorkflow", given, id=workflow_id, task_queue=MARKET_QUEUE)
    failure = await failure_of(handle)
    assert failure.type == "bad_input"
    assert field in str(failure)
    assert await row_of(trading, "XRPUSDT") is None


async def test_a_symbol_nobody_lists_fails_with_a_row_and_an_event(trading: Trading) -> None:
    handle = await start(trading, "NOSUCHUSDT")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(BackfillWorkflow.opened)
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.details[0]["field"] == "symbol"
    assert "not listed" in str(await failure_of(handle))
    row = await row_of(trading, "NOSUCHUSDT")
    assert row is not None
    assert (row.state, "not listed" in (row.error or "")) == ("failed", True)
    (event,) = [each for each in await trading.events("backfill_failed") if each.subject == handle.id]
    assert event.trace_id != ""


async def test_another_workflow_id_than_the_row_s_is_refused(trading: Trading) -> None:
    given = BackfillInput(symbol="BTCUSDT", timeframe=Timeframe.D1, start=datetime(2024, 1, 1, tzinfo=UTC))
    handle = await trading.client.start_workflow(
        BackfillWorkflow.run, given, id="backfill/somewhere", task_queue=MARKET_QUEUE
    )
    assert "start it as backfill/BTCUSDT/1d" in str(await failure_of(handle))


async def test_a_cancelled_backfill_is_not_open_any_more(trading: Trading) -> None:
    await trading.fault(kind="http_5xx", endpoint="market/kline", count=None, match={"symbol": "SOLUSDT"})
    handle = await start(trading, "SOLUSDT")
    await handle.execute_update(BackfillWorkflow.opened)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    row = await row_of(trading, "SOLUSDT")
    assert row is not None
    assert (row.state, row.error) == ("failed", "cancelled")
    await trading.http.delete("/paper/faults")


async def test_a_planned_range_is_an_input_of_the_workflow_as_it_is(trading: Trading) -> None:
    """The plan's ranges are inputs of the workflow as they are."""
    wanted = BackfillRange(symbol="LINKUSDT", timeframe=Timeframe.W1, start=datetime(2023, 1, 2, tzinfo=UTC))
    handle = await trading.client.start_workflow(
        "BackfillWorkflow", wanted, id="backfill/LINKUSDT/1w", task_queue=MARKET_QUEUE, result_type=BackfillResult
    )
    result: BackfillResult = await handle.result()
    async with trading.database.session() as session:
        mine = (CandleRow.symbol == "LINKUSDT") & (CandleRow.timeframe == "1w")
        stored = await session.scalar(select(func.count()).select_from(CandleRow).where(mine))
    assert stored is not None
    assert stored >= result.candles > 0


async def failure_of(handle: WorkflowHandle[Any, Any]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause
