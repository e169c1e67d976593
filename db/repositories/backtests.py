"""Backtests as the gates ask for them: whether one of a configuration version is there, and whether it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import BacktestRun
from domain.gate_facts import Backtested, backtest_needed
from domain.strategy_config import StrategyConfig

COMPLETED: Final = "completed"


async def completed_backtest(session: AsyncSession, strategy: str, config_version: int) -> str | None:
    """The id of the newest completed run of exactly this version of a strategy's configuration."""
    return await session.scalar(
        select(BacktestRun.run_id)
        .where(
            BacktestRun.strategy == strategy,
            BacktestRun.config_version == config_version,
            BacktestRun.state == COMPLETED,
        )
        .order_by(BacktestRun.completed_wall.desc().nulls_last(), BacktestRun.run_id)
        .limit(1)
    )


async def backtest_facts(
    session: AsyncSession, settings: Mapping[str, Any], mode: str, config: StrategyConfig
) -> Backtested:
    """What ``GateFacts.backtested`` is for ``config``.

    ``settings`` are the current system settings, ``mode`` the exchange's (``config.settings``): paper, demo, testnet or
    live.
    """
    return Backtested(
        needed=backtest_needed(settings["require_backtest"], mode),
        run_id=await completed_backtest(session, config.strategy, config.version),
    )
