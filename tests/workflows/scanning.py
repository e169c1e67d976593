"""A system whose scans are watched: a strategy that does what a price says, on a market that goes in steps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from sqlalchemy import insert, select, update

from config.settings import Settings
from db.models import BlockedSignal, Position, Scan, Signal, StrategyConfiguration, SystemSetting
from db.repositories.regimes import SCAN, NewRegime
from db.session import Database
from domain.candle import Timeframe
from domain.exit_policy import ExitPolicy
from domain.market import Category, PositionSide
from domain.regime import Regime
from domain.strategies.contract import Evaluation, Needs, Panel, Strategy, StrategyParameters
from tests.support.paper import PaperExchange, paper_exchange_process
from tests.support.temporal import running_temporal
from tests.support.trading import Trading, settings_for
from tests.support.waiting import eventually


class LevelParameters(StrategyParameters):
    enter_over: float = 1e12
    leave_under: float = 0.0
    bars: int = 4
    broken: bool = False


class Level:
    """Wants in at every close over one price, and out at every close under another."""

    name: ClassVar[str] = "level"
    title: ClassVar[str] = "Level"
    category: ClassVar[Category] = Category.SPOT
    side: ClassVar[PositionSide] = PositionSide.LONG
    timeframe: ClassVar[Timeframe] = Timeframe.M15
    parameters: ClassVar[type[StrategyParameters]] = LevelParameters
    exit_policy: ClassVar[ExitPolicy] = ExitPolicy(stop_loss_pct=Decimal(20))
    regimes: ClassVar[frozenset[Regime]] = frozenset(Regime)

    def needs(self, parameters: StrategyParameters, timeframe: Timeframe) -> Needs:
        return Needs(candles={timeframe: cast(LevelParameters, parameters).bars})

    def evaluate(
        self, panels: Mapping[Timeframe, Panel], timeframe: Timeframe, parameters: StrategyParameters
    ) -> Evaluation:
        p, close = cast(LevelParameters, parameters), panels[timeframe].close
        if p.broken:
            raise ZeroDivisionError("a strategy with a mistake in it")
        return Evaluation(
            entry=close > p.enter_over,
            exit=close < p.leave_under,
            score=np.where(np.isfinite(close), 50.0, np.nan),
            evidence={"close": close},
        )


LEVEL: Mapping[str, Strategy] = {"level": Level()}


async def configure(database: Database, parameters: dict[str, Any], **changes: Any) -> None:
    """One strategy, all gates on, that may do as much as it likes unless ``changes`` say otherwise."""
    row = {
        "strategy": "level",
        "watchlist_gate": True,
        "buy_gate": True,
        "sell_gate": True,
        "category": "spot",
        "side": "long",
        "timeframe": "15m",
        "trade_usd": Decimal(1000),
        "max_positions": 5,
        "max_trades_per_day": 100,
        "cooldown_seconds": 0,
        "signal_ttl_seconds": 600,
        "exit_policy": Level.exit_policy.model_dump(mode="json"),
        "parameters": parameters,
        "regimes": list(Regime),
    }
    async with database.session(actor="test", reason="test") as session:
        await session.execute(insert(StrategyConfiguration).values(**{**row, **changes}))


async def reconfigure(database: Database, strategy: str = "level", **changes: Any) -> None:
    async with database.session(actor="test", reason="test") as session:
        row = update(StrategyConfiguration).where(StrategyConfiguration.strategy == strategy)
        await session.execute(row.values(**changes))


async def set_setting(database: Database, key: str, value: Any) -> None:
    async with database.session(actor="test", reason="test") as session:
        await session.execute(update(SystemSetting).where(SystemSetting.key == key).values(value=value))


def regime_row(valid_from: datetime, effective: Regime | None, state: Regime = Regime.NEUTRAL) -> NewRegime:
    """A regime from a 4h close on, as a scan would record it."""
    return NewRegime(
        valid_from=valid_from,
        state=effective or state,
        effective=effective,
        confirmed=effective is not None,
        streak=3,
        pending=None,
        score=0.0,
        components={},
        inputs={},
        source=SCAN,
    )


@dataclass
class Stepped:
    """A market in steps with its settings; workers come and go."""

    settings: Settings
    exchange: PaperExchange
    folder: Path

    async def advance(self, quarters: int) -> None:
        """Let the market go on with nobody looking."""
        for _ in range(quarters):
            await asyncio.to_thread(self.exchange.control, "POST", "clock/advance", json={})

    def now(self) -> datetime:
        return datetime.fromisoformat(self.exchange.clock()["now"])


@asynccontextmanager
async def stepped_market(dsn: str, folder: Path, *options: str) -> AsyncIterator[Stepped]:
    """Temporal and a paper exchange in steps (``--manual`` unless ``options`` say what market it is)."""
    data = folder / "exchange"
    data.mkdir()
    chosen = options or ("--manual", "--symbols", "BTCUSDT=60000", "ETHUSDT=3000")
    exchange = paper_exchange_process(data, "--speed", "step", *chosen)
    with running_temporal(folder) as temporal:
        exchange.start()
        try:
            yield Stepped(settings_for(dsn, temporal.address, exchange), exchange, folder)
        finally:
            exchange.stop()


async def scans(database: Database) -> Sequence[Scan]:
    """Every scan by its close."""
    async with database.session() as session:
        return (await session.scalars(select(Scan).order_by(Scan.close_at))).all()


async def signals(database: Database) -> Sequence[Signal]:
    async with database.session() as session:
        return (await session.scalars(select(Signal).order_by(Signal.close_at, Signal.symbol))).all()


async def blocks(database: Database) -> Sequence[BlockedSignal]:
    async with database.session() as session:
        return (await session.scalars(select(BlockedSignal).order_by(BlockedSignal.id))).all()


async def positions(database: Database) -> Sequence[Position]:
    async with database.session() as session:
        return (await session.scalars(select(Position).order_by(Position.created_wall))).all()


async def until_scanned(trading: Trading, count: int, timeout: float = 60) -> Sequence[Scan]:
    """Wait until so many closes are done."""

    async def scanned() -> Sequence[Scan]:
        done = [scan for scan in await scans(trading.database) if scan.state == "done"]
        return done if len(done) >= count else []

    return await eventually(scanned, f"{count} scans", timeout=timeout)


def assert_in_order(done: Sequence[Scan], step: Timeframe = Timeframe.M15) -> None:
    """One close after the other, none left out, none begun before the one before it was over."""
    closes = [scan.close_at for scan in done]
    assert closes == [closes[0] + n * step.duration for n in range(len(closes))]
    for before, after in itertools.pairwise(done):
        assert before.finished_wall is not None
        assert before.finished_wall <= after.started_wall
