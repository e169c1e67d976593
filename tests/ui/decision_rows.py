"""Rows of scans, signals, strategies and snapshots, written as the system's own writers would leave them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from db.models import (
    BlockedSignal,
    MarketClockCursor,
    PortfolioHourlySnapshot,
    Scan,
    Signal,
    WatchlistScore,
)
from db.repositories.strategies import seed_strategies
from db.session import Database
from tests.api import rows
from tests.support.waiting import run

CLOSE = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
EPOCH = "test"


def seed(dsn: str) -> None:
    """Every strategy with its default configuration, as the trading worker stores them in paper mode."""

    async def write() -> None:
        database = Database(dsn, pool_size=1)
        try:
            async with database.session(actor="worker", reason="seeded") as session:
                await seed_strategies(session, "paper")
        finally:
            await database.close()

    run(write())


def market_clock(until: datetime = CLOSE) -> MarketClockCursor:
    return MarketClockCursor(
        epoch=EPOCH, began_at=until - timedelta(days=30), scanned_until=until, snapshot_until=until
    )


def scan(close_at: datetime = CLOSE, **changes: Any) -> Scan:
    """A finished scan of 40 symbols: 3 candidates, 1 accepted, 2 blocked."""
    fields: dict[str, Any] = {
        "epoch": EPOCH,
        "close_at": close_at,
        "timeframes": ["15m", "1h"],
        "state": "done",
        "decided_at": close_at + timedelta(seconds=2),
        "symbols": 40,
        "incomplete": 1,
        "candidates": 3,
        "accepted": 1,
        "blocked": 2,
        "exits": 0,
        "settings_version": 1,
        "finished_wall": datetime.now(close_at.tzinfo) + timedelta(seconds=0.4),
    }
    return Scan(**{**fields, **changes})


def signal(number: int, *, blocks: Iterable[tuple[str, str, str]] = (), **changes: Any) -> Signal:
    """A trend breakdown signal short on ETHUSDT; ``blocks`` are (gate, value, threshold) of the gates it fails."""
    failed = {gate: (value, threshold) for gate, value, threshold in blocks}
    passed = [each for each in ("trading_halted", "signal_stale", "cooldown_active") if each not in failed]
    verdicts = [{"gate": gate, "passed": True, "value": "", "threshold": "", "detail": ""} for gate in passed]
    verdicts += [
        {"gate": gate, "passed": False, "value": value, "threshold": threshold, "detail": f"{gate} says no"}
        for gate, (value, threshold) in failed.items()
    ]
    fields: dict[str, Any] = {
        "signal_id": rows.position_id(number),
        "epoch": EPOCH,
        "close_at": CLOSE,
        "strategy": "trend_breakdown",
        "category": "linear",
        "symbol": "ETHUSDT",
        "side": "short",
        "timeframe": "4h",
        "score": 83.125,
        "price": Decimal("2012.55"),
        "evidence": {"close": 2012.55, "adx": 31.234567, "donchian_low": 2020.0},
        "inputs": {"4h": {"first_open": "2026-01-01T00:00:00Z", "last_open": "2026-03-01T08:00:00Z", "bars": 220}},
        "verdicts": verdicts,
        "blocked_by": next(iter(failed), None),
        "config_version": 1,
        "settings_version": 1,
        "decided_at": CLOSE + timedelta(seconds=2),
    }
    return Signal(**{**fields, **changes})


def block(number: int, gate: str, value: str, threshold: str, place: int = 0) -> BlockedSignal:
    return BlockedSignal(
        signal_id=rows.position_id(number),
        stage="decision",
        place=place,
        gate=gate,
        value=value,
        threshold=threshold,
        detail=f"{gate} says no",
        at=CLOSE + timedelta(seconds=2),
    )


def score(symbol: str, points: float, strategy: str = "trend_breakdown", category: str = "linear") -> WatchlistScore:
    evidence = {"close": 1.2345678, "adx": 24.5}
    return WatchlistScore(
        strategy=strategy, category=category, symbol=symbol, score=points, evidence=evidence, close_at=CLOSE
    )


def snapshot(hour: datetime, equity: str = "100000", **changes: Any) -> PortfolioHourlySnapshot:
    zero = Decimal(0)
    fields: dict[str, Any] = {
        "epoch": EPOCH,
        "hour": hour,
        "day": (hour - timedelta(hours=1)).date(),
        "equity": Decimal(equity),
        "unified_balance": Decimal(equity),
        "funding_balance": Decimal(2500),
        "invested": zero,
        "unrealised_pnl": zero,
        "realised_pnl": zero,
        "fees": zero,
        "funding": zero,
        "transfers": zero,
        "bought": zero,
        "sold": zero,
        "net_pnl_daily": zero,
        "unexplained": zero,
        "open_positions": 0,
        "detail": {},
        "taken_at": hour,
    }
    return PortfolioHourlySnapshot(**{**fields, **changes})
