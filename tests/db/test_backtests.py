"""Whether a configuration version was backtested, as the gates ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from db.models import BacktestRun
from db.repositories.backtests import backtest_facts, completed_backtest
from db.session import Database
from domain.gate_facts import Backtested
from domain.strategies import STRATEGIES
from domain.strategy_config import default_config

DONE = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "momentum"


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


def run(name: str, *, strategy: str = NAME, version: int = 1, state: str = "completed", hours: int = 0) -> BacktestRun:
    completed = DONE + timedelta(hours=hours) if state == "completed" else None
    return BacktestRun(run_id=name, strategy=strategy, config_version=version, state=state, completed_wall=completed)


async def test_only_a_completed_run_of_the_very_version_counts_and_the_newest_is_named(db: Database) -> None:
    async with db.session() as session:
        session.add_all(
            [
                run("running", state="running"),
                run("failed", state="failed"),
                run("other-version", version=2),
                run("other-strategy", strategy="btc_trend"),
            ]
        )
        await session.flush()
        assert await completed_backtest(session, NAME, 1) is None
        session.add_all([run("older", hours=1), run("newer", hours=2)])
        await session.flush()
        assert await completed_backtest(session, NAME, 1) == "newer"
        assert await completed_backtest(session, NAME, 2) == "other-version"


@pytest.mark.parametrize(
    ("required", "mode", "needed"),
    [("always", "paper", True), ("live", "paper", False), ("live", "live", True), ("never", "live", False)],
)
async def test_the_setting_and_the_mode_say_whether_one_is_needed(
    db: Database, required: str, mode: str, needed: bool
) -> None:
    config = default_config(STRATEGIES[NAME], active=True)
    async with db.session() as session:
        told = await backtest_facts(session, {"require_backtest": required}, mode, config)
        assert told == Backtested(needed=needed, run_id=None)
        session.add(run("a-run"))
        await session.flush()
        told = await backtest_facts(session, {"require_backtest": required}, mode, config)
        assert told == Backtested(needed=needed, run_id="a-run")
