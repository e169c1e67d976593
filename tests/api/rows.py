"""Rows for reading tests, written as the system's own writers would leave them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from api.keys import hash_key, key_id_of
from db.base import Base
from db.models import (
    ApiKey,
    BlockedSignal,
    ExecutionApplication,
    GuardLease,
    InstrumentRow,
    LivePrice,
    LotMatchRow,
    LotRow,
    Order,
    OrderExecution,
    Position,
    PositionEvaluation,
    PositionTarget,
    Scan,
    Signal,
    StrategyScan,
    UniverseMember,
    WalletAccount,
    WalletBalance,
    WatchlistScore,
)
from db.repositories.strategies import seed_strategies
from db.session import Database
from tests.support.waiting import run

ENTERED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY: dict[str, Any] = {
    "stop_loss_pct": "3",
    "take_profit_pct": "6",
    "trailing_activation_pct": "2",
    "trailing_distance_pct": "1",
}


def store(dsn: str, rows: Iterable[Base]) -> None:
    """Commit ``rows``, each after the ones before it (they may refer to each other)."""

    async def write() -> None:
        database = Database(dsn, pool_size=1)
        try:
            async with database.session() as session:
                for row in rows:
                    session.add(row)
                    await session.flush()
        finally:
            await database.close()

    run(write())


def position_id(number: int) -> str:
    """A well-formed id: twenty base32 characters."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:020d}")


def position(number: int, **changes: Any) -> Position:
    """An open BTCUSDT spot position of 0.5 entered at 60,000."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "position_id": position_id(number),
        "market_epoch": "test",
        "strategy": f"manual{number}",
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "long",
        "state": "open",
        "policy": POLICY,
        "disaster_buffer_pct": Decimal(1),
        "settings_version": 1,
        "planned_qty": Decimal("0.5"),
        "reference_price": Decimal(60000),
        "entry_qty": Decimal("0.5"),
        "entry_price": Decimal(60000),
        "qty": Decimal("0.5"),
        "guard_epoch": 1,
        "requested_by": "key:installation",
        "reason": "a test",
        "trace_id": "0" * 32,
        "reserved_at": ENTERED,
        "opened_at": ENTERED,
        "created_wall": now - timedelta(minutes=5) + timedelta(seconds=number),
        "opened_wall": now - timedelta(minutes=4),
    }
    return Position(**{**fields, **changes})


def target(number: int) -> PositionTarget:
    return PositionTarget(
        position_id=position_id(number), version=1, policy=POLICY, set_by="key:installation", reason="a test"
    )


def live_price(price: str, category: str = "spot", symbol: str = "BTCUSDT", age_seconds: float = 0) -> LivePrice:
    return LivePrice(
        category=category,
        symbol=symbol,
        price=Decimal(price),
        bid=None,
        ask=None,
        market_at=ENTERED,
        received_at=datetime.now(UTC) - timedelta(seconds=age_seconds),
    )


def lease(number: int, seen_seconds_ago: float, epoch: int = 1) -> GuardLease:
    now = datetime.now(UTC)
    return GuardLease(
        position_id=position_id(number),
        guard_epoch=epoch,
        worker="worker-1",
        watching_from=now - timedelta(minutes=4),
        last_seen_at=now - timedelta(seconds=seen_seconds_ago),
    )


def evaluation(number: int, best: str, stop: str, armed: bool) -> PositionEvaluation:
    state = {"best_price": best, "stop_price": stop, "trailing_armed": armed}
    return PositionEvaluation(
        position_id=position_id(number),
        guard_epoch=1,
        target_version=1,
        kind="ratchet",
        market_at=ENTERED,
        price=Decimal(best),
        stop_price=float(stop),
        state=state,
        reason=None,
    )


def order(number: int, role: str, **changes: Any) -> Order:
    fields: dict[str, Any] = {
        "order_link_id": f"{position_id(number)}-{role}1",
        "position_id": position_id(number),
        "role": role,
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy" if role == "E" else "Sell",
        "qty": Decimal("0.5"),
        "reduce_only": False,
        "state": "filled",
        "cum_exec_qty": Decimal("0.5"),
        "trace_id": "",
    }
    return Order(**{**fields, **changes})


def execution(number: int, role: str, price: str, at: datetime = ENTERED, **changes: Any) -> OrderExecution:
    fields: dict[str, Any] = {
        "exec_id": f"exec-{number}-{role}",
        "exchange_order_id": f"exchange-{number}-{role}",
        "order_link_id": f"{position_id(number)}-{role}1",
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy" if role == "E" else "Sell",
        "qty": Decimal("0.5"),
        "price": Decimal(price),
        "value": Decimal("0.5") * Decimal(price),
        "fee": Decimal(30),
        "fee_coin": "USDT",
        "exec_type": "Trade",
        "stop_order_type": "",
        "is_maker": False,
        "executed_at": at,
    }
    return OrderExecution(**{**fields, **changes})


def booked(number: int, role: str) -> ExecutionApplication:
    return ExecutionApplication(exec_id=f"exec-{number}-{role}", position_id=position_id(number))


def lot(number: int, left: str = "0.5") -> LotRow:
    return LotRow(
        exec_id=f"exec-{number}-E",
        position_id=position_id(number),
        category="spot",
        symbol="BTCUSDT",
        side="long",
        qty=Decimal("0.5"),
        qty_left=Decimal(left),
        price=Decimal(60000),
        fee=Decimal(30),
        fee_left=Decimal(30),
        opened_at=ENTERED,
    )


def match(number: int, gross: str, net: str) -> LotMatchRow:
    return LotMatchRow(
        open_exec_id=f"exec-{number}-E",
        close_exec_id=f"exec-{number}-X",
        position_id=position_id(number),
        qty=Decimal("0.5"),
        gross=Decimal(gross),
        open_fee=Decimal(30),
        close_fee=Decimal(31),
        net=Decimal(net),
        matched_at=ENTERED + timedelta(hours=1),
    )


def closed_position(number: int) -> list[Base]:
    """A position entered at 60,000 and left at 62,000, with its orders, fills, lot and match."""
    later = ENTERED + timedelta(hours=1)
    return [
        position(
            number,
            state="closed",
            qty=Decimal(0),
            realised_pnl=Decimal(939),
            exit_reason="take_profit",
            closed_at=later,
            closed_wall=datetime.now(UTC),
            unprotected_seconds=0.5,
            unwatched_seconds=0.0,
        ),
        target(number),
        order(number, "E"),
        order(number, "X", exit_reason="take_profit"),
        execution(number, "E", "60000"),
        execution(number, "X", "62000", later),
        booked(number, "E"),
        booked(number, "X"),
        lot(number, left="0"),
        match(number, gross="1000", net="939"),
    ]


def open_position(number: int, *, guard_seen: float = 0.2, price: str = "61500", **changes: Any) -> list[Base]:
    """An open position with a live guard, an armed trailing stop and a stop resting at the exchange."""
    return [
        position(number, **changes),
        target(number),
        order(number, "E"),
        order(
            number,
            "S",
            state="untriggered",
            cum_exec_qty=Decimal(0),
            trigger_price=Decimal("57600"),
            trigger_rises=False,
        ),
        execution(number, "E", "60000"),
        booked(number, "E"),
        lot(number),
        lease(number, guard_seen),
        evaluation(number, best="61800", stop="61182", armed=True),
        live_price(price),
    ]


def wallet(equity: str = "100750.5") -> list[Base]:
    now = datetime.now(UTC)
    zero = Decimal(0)
    fields: dict[str, Any] = {"account": "unified", "locked": zero, "unrealised_pnl": zero, "updated_at": now}
    return [
        WalletAccount(account="unified", total_equity=Decimal(equity), updated_at=now),
        WalletBalance(
            coin="USDT", wallet_balance=Decimal(70000), equity=Decimal(70000), usd_value=Decimal(70000), **fields
        ),
        WalletBalance(
            coin="BTC", wallet_balance=Decimal("0.5"), equity=Decimal("0.5"), usd_value=Decimal("30750.5"), **fields
        ),
        WalletBalance(coin="ETH", wallet_balance=zero, equity=zero, usd_value=zero, **fields),
    ]


def instrument(symbol: str = "BTCUSDT", category: str = "spot", **changes: Any) -> InstrumentRow:
    fields: dict[str, Any] = {
        "category": category,
        "symbol": symbol,
        "base_coin": symbol.removesuffix("USDT"),
        "quote_coin": "USDT",
        "tick_size": Decimal("0.1"),
        "qty_step": Decimal("0.0001"),
        "min_order_qty": Decimal("0.0001"),
        "min_order_amount": Decimal(5),
        "max_market_qty": Decimal(100),
        "tradable": True,
    }
    return InstrumentRow(**{**fields, **changes})


def key_row(key: str, role: str, **changes: Any) -> ApiKey:
    return ApiKey(key_id=key_id_of(key), hash=hash_key(key), role=role, name=role, **changes)


def signal(number: int, **changes: Any) -> Signal:
    """A momentum signal of a 4h close on BTCUSDT that every gate let pass; each number is one close later."""
    close = ENTERED + timedelta(hours=4 * number)
    fields: dict[str, Any] = {
        "signal_id": position_id(number),
        "epoch": "test",
        "close_at": close,
        "strategy": "momentum",
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "long",
        "timeframe": "4h",
        "score": 71.5,
        "price": Decimal(60000),
        "evidence": {"roc": 4.2},
        "inputs": {"4h": {"bars": 200}},
        "verdicts": [{"gate": "trading_halted", "passed": True, "value": "", "threshold": "", "detail": ""}],
        "blocked_by": None,
        "config_version": 1,
        "settings_version": 1,
        "decided_at": close + timedelta(seconds=2),
        "trace_id": "",
    }
    return Signal(**{**fields, **changes})


def block(number: int, gate: str, place: int = 0, stage: str = "decision") -> BlockedSignal:
    return BlockedSignal(
        signal_id=position_id(number),
        stage=stage,
        place=place,
        gate=gate,
        value="26",
        threshold="25",
        detail="a test",
        at=ENTERED + timedelta(hours=4 * number, seconds=2),
    )


def scan(number: int, **changes: Any) -> Scan:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "epoch": "test",
        "close_at": ENTERED + timedelta(hours=4 * number),
        "timeframes": ["4h"],
        "state": "done",
        "decided_at": ENTERED + timedelta(hours=4 * number, seconds=2),
        "symbols": 6,
        "settings_version": 1,
        "started_wall": now - timedelta(minutes=30) + timedelta(seconds=number),
        "finished_wall": now - timedelta(minutes=30) + timedelta(seconds=number + 1.5),
    }
    return Scan(**{**fields, **changes})


def score(strategy: str, symbol: str, value: float, **changes: Any) -> WatchlistScore:
    fields: dict[str, Any] = {"category": "spot", "evidence": {"roc": value}, "close_at": ENTERED}
    return WatchlistScore(strategy=strategy, symbol=symbol, score=value, **{**fields, **changes})


def strategy_scan(strategy: str, close_at: datetime = ENTERED, **changes: Any) -> StrategyScan:
    """That a strategy was asked at a close, under the first version of its configuration."""
    fields: dict[str, Any] = {
        "epoch": "test",
        "category": "spot",
        "timeframe": "4h",
        "config_version": 1,
        "settings_version": 1,
        "windows": {},
        "symbols": [],
        "observed": [],
        "digests": {},
        "missing": {},
        "candidates": 0,
    }
    return StrategyScan(strategy=strategy, close_at=close_at, **{**fields, **changes})


def standing(symbol: str, category: str = "spot", reason: str = "chosen", **changes: Any) -> UniverseMember:
    fields: dict[str, Any] = {
        "member": reason in ("chosen", "included"),
        "turnover_usd": Decimal("1234567.5"),
        "spread_bps": 1.25,
        "age_days": None,
        "rank": None,
        "chosen_at": ENTERED,
        "since": ENTERED,
    }
    return UniverseMember(category=category, symbol=symbol, reason=reason, **{**fields, **changes})


def seed(dsn: str) -> None:
    """The strategies' default configurations, as the worker's first start leaves them."""

    async def write() -> None:
        database = Database(dsn, pool_size=1)
        try:
            async with database.session() as session:
                await seed_strategies(session, "paper")
        finally:
            await database.close()

    run(write())
