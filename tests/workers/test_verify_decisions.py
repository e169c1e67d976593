"""``verify`` asks decisions again: a changed input is one finding, another answer on the same inputs another."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from db.session import Database
from domain.digests import digest
from tests.api import rows
from tests.api.decided import CLOSES, H4, decision, sql, store_decision, store_decisions
from workers.verify.replays import ReplayJudge
from workers.verify.verdict import Figures, Finding, Kind


@pytest.fixture
def decided(database: str) -> str:
    rows.seed(database)
    store_decisions(database)
    return database


def judged(dsn: str, judge: ReplayJudge | None = None, epoch: str = "test") -> tuple[list[Finding], int]:
    """The findings, and how many decisions were asked again."""

    async def look() -> tuple[list[Finding], int]:
        database, figures = Database(dsn, pool_size=1), Figures()
        try:
            async with database.session() as session:
                return await (judge or ReplayJudge()).judge(session, epoch, figures), figures.decisions_replayed
        finally:
            await database.close()

    return asyncio.run(look())


def test_decisions_that_come_out_again_are_no_finding(decided: str) -> None:
    assert judged(decided) == ([], 2)
    assert judged(decided, epoch="another market") == ([], 0)


def test_a_changed_candle_is_a_finding_of_every_decision_that_saw_it(decided: str) -> None:
    statement = "UPDATE candles SET close = close * 1.001 WHERE symbol = 'ETHUSDT' AND open_time = :at"
    sql(decided, statement, at=CLOSES[0] - 2 * H4)
    found, _ = judged(decided)
    assert {(each.kind, each.subject) for each in found} == {
        (Kind.INPUTS_CHANGED, decision(close_at)) for close_at in CLOSES
    }
    assert all("candles of ETHUSDT (4h)" in each.sentence for each in found)


def test_a_candle_that_came_in_after_the_decision_is_no_finding_and_one_that_went_is(decided: str) -> None:
    store_decision(decided, CLOSES[1] + H4)
    columns = "category, symbol, timeframe, open, high, low, close, volume, turnover"
    sql(
        decided,
        f"INSERT INTO candles ({columns}, open_time) SELECT {columns}, :late FROM candles WHERE open_time = :at",
        late=CLOSES[1],
        at=CLOSES[1] - H4,
    )
    assert judged(decided) == ([], 3)
    sql(decided, "DELETE FROM candles WHERE symbol = 'BTCUSDT' AND open_time = :at", at=CLOSES[1] - H4)
    assert {(each.kind, each.subject) for each in judged(decided)[0]} == {
        (Kind.INPUTS_CHANGED, decision(close_at)) for close_at in (CLOSES[1], CLOSES[1] + H4)
    }


def test_a_signal_that_does_not_come_out_again_is_a_finding_and_nothing_was_changed(decided: str) -> None:
    judge = ReplayJudge()
    assert judged(decided, judge) == ([], 2)
    rows.store(decided, [rows.signal(1, close_at=CLOSES[1], facts={})])
    assert judged(decided, judge) == ([], 2), "what was found the same is not asked again"
    [differs] = judged(decided)[0]
    assert (differs.kind, differs.subject) == (Kind.DECISIONS_DIFFER, decision(CLOSES[1]))
    assert "entry of BTCUSDT was True and is False" in differs.sentence


def test_a_taker_share_that_was_summed_further_is_no_finding(decided: str) -> None:
    statement = """
        UPDATE strategy_scans
        SET digests = jsonb_set(digests, '{4h,BTCUSDT,taker_buy_share}', to_jsonb(CAST(:other AS text)))
        WHERE close_at = :at
    """
    sql(decided, "ALTER TABLE strategy_scans DISABLE TRIGGER append_only")
    sql(decided, statement, other=digest(np.ones(1)), at=CLOSES[1])
    assert judged(decided) == ([], 2)


def test_a_version_that_the_history_lost_can_t_be_asked_again(decided: str) -> None:
    sql(decided, "ALTER TABLE strategy_scans DISABLE TRIGGER append_only")
    sql(decided, "UPDATE strategy_scans SET config_version = 9 WHERE close_at = :at", at=CLOSES[0])
    [gone] = judged(decided)[0]
    assert (gone.kind, gone.subject) == (Kind.DECISIONS_DIFFER, decision(CLOSES[0]))
    assert "no version 9 of momentum" in gone.sentence
