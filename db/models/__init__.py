"""Every table, by the part of the system that writes it."""

from db.models.config import SystemSetting, SystemSettingHistory
from db.models.market import CandleRow, InstrumentRow, LivePrice
from db.models.operations import ApiKey, IdempotencyKey, StreamCursor, StreamStatus, SystemEvent
from db.models.trading import (
    Dust,
    ExecutionApplication,
    GuardLease,
    LotMatchRow,
    LotRow,
    Order,
    OrderExecution,
    OrderTransition,
    Position,
    PositionEvaluation,
    PositionTarget,
    WalletAccount,
    WalletBalance,
)

__all__ = [
    "ApiKey",
    "CandleRow",
    "Dust",
    "ExecutionApplication",
    "GuardLease",
    "IdempotencyKey",
    "InstrumentRow",
    "LivePrice",
    "LotMatchRow",
    "LotRow",
    "Order",
    "OrderExecution",
    "OrderTransition",
    "Position",
    "PositionEvaluation",
    "PositionTarget",
    "StreamCursor",
    "StreamStatus",
    "SystemEvent",
    "SystemSetting",
    "SystemSettingHistory",
    "WalletAccount",
    "WalletBalance",
]
