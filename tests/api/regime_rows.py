"""Rows of the regime for reading tests, and an end to the rebuild that no worker there carries out."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from db.models import BtcMarketState, BtcMarketStateHistory, MarketClockCursor
from domain.regime import Regime
from tests.api import rows
from tests.support.waiting import run
from workflows.regime import WORKFLOW_ID

EPOCH = "test"
NEWEST = rows.ENTERED
"""The newest 4h close: the market's time, too."""
STEP = timedelta(hours=4)

_TERMS = {
    "close_over_ema_200": {"value": 10.0, "term": 0.5, "weight": 25.0},
    "momentum_30d": {"value": -5.0, "term": -0.2, "weight": 20.0},
}


def regime(places_ago: int, state: Regime, effective: Regime | None, score: float) -> BtcMarketStateHistory:
    return BtcMarketStateHistory(
        epoch=EPOCH,
        valid_from=NEWEST - places_ago * STEP,
        state=state,
        effective=effective,
        confirmed=state == effective,
        streak=3 if state == effective else 1,
        pending=Regime.BULL if state is Regime.NEUTRAL else None,
        score=score,
        components={**_TERMS, "confirmation_4h": {"value": -1.25, "factor": 0.5}},
        inputs={"1d": {"bars": 1000}, "4h": {"bars": 250}},
        source="scan",
    )


def clock(at: datetime = NEWEST) -> MarketClockCursor:
    return MarketClockCursor(epoch=EPOCH, began_at=at, scanned_until=at, snapshot_until=at)


def store_regimes(dsn: str) -> None:
    """Neutral turning bullish: five closes, the newest of them now."""
    history = [
        regime(4, Regime.NEUTRAL, Regime.NEUTRAL, 0.0),
        regime(3, Regime.NEUTRAL, Regime.NEUTRAL, 30.0),
        regime(2, Regime.BULL, Regime.NEUTRAL, 33.0),
        regime(1, Regime.BULL, Regime.NEUTRAL, 34.0),
        regime(0, Regime.BULL, Regime.BULL, 4.25),
    ]
    rows.store(dsn, [clock(), *history])
    newest = history[-1]
    rows.store(
        dsn,
        [
            BtcMarketState(
                epoch=EPOCH,
                history_id=newest.id,
                valid_from=newest.valid_from,
                state=newest.state,
                effective=newest.effective,
                confirmed=newest.confirmed,
                score=newest.score,
            )
        ],
    )


def end_rebuild(temporal_address: str) -> None:
    """Its id is the system's own: a rebuild that another test started is in the way."""

    async def end() -> None:
        client = await Client.connect(temporal_address)
        with contextlib.suppress(RPCError):
            await client.get_workflow_handle(WORKFLOW_ID).terminate("the test is over")

    run(end())
