"""The answer of order/create is lost after the order was accepted, time and again at entry and at exit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from domain.exits import ExitPolicy
from domain.market import Category
from domain.position import PositionState
from tests.support.paper import PaperExchange
from tests.support.scale import at_scale
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, running_trading, settings_for
from workers.verify import verify
from workflows.position import CloseRequest, PositionWorkflow

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

POSITIONS = at_scale(10, 50)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "LINKUSDT")
POLICY = ExitPolicy(stop_loss_pct=Decimal(5))


@pytest.mark.parametrize("suffix", ["-E1", "-X1"])
async def test_lost_answers_leave_as_many_orders(
    database: str, scratch: Path, paper_exchange: Callable[..., PaperExchange], suffix: str
) -> None:
    exchange = paper_exchange("--manual")
    with running_temporal(scratch) as temporal:
        settings = settings_for(database, temporal.address, exchange)
        async with running_trading(settings, exchange) as trading:
            await trading.fault(
                kind="answer_lost",
                endpoint="order/create",
                count=POSITIONS,
                match={"orderLinkId_suffix": suffix},
            )
            together = asyncio.Semaphore(10)
            settled = await asyncio.gather(*(_one_position(trading, number, together) for number in range(POSITIONS)))
            books = await trading.books()
            verdict = await verify(settings)
            (fault,) = [f for f in trading.exchange.control("GET", "faults")["faults"] if f["kind"] == "answer_lost"]

    assert fault["hits"] == POSITIONS, "every one of the answers was lost"
    assert settled == [PositionState.CLOSED] * POSITIONS
    placed = Counter(order["orderLinkId"][-3:] for order in books["orders"])
    assert placed["-E1"] == placed["-X1"] == POSITIONS
    once = Counter(order["orderLinkId"] for order in books["orders"])
    assert max(once.values()) == 1
    assert all(order["orderStatus"] == "Filled" for order in books["orders"] if order["orderLinkId"][-2] in "EX")
    assert books["check"]["ok"], books["check"]["problems"]
    lost = (verdict.orders_lost, verdict.orders_doubled, verdict.orders_orphaned, verdict.ledger_drift)
    assert lost == (0, 0, 0, "0"), verdict.findings


async def _one_position(trading: Trading, number: int, together: asyncio.Semaphore) -> PositionState:
    async with together:
        handle = await trading.open(
            Category.SPOT, SYMBOLS[number % len(SYMBOLS)], policy=POLICY, strategy=f"strategy_{number}"
        )
        await trading.until_watched(handle)
        await handle.execute_update(PositionWorkflow.close, CloseRequest(reason="test", requested_by="test"))
        return (await handle.result()).state
