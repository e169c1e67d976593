"""What a position's workflow takes and answers."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field, model_validator

from domain.exits import ExitPolicy, ExitReason
from domain.market import Category, PositionSide
from domain.position import PositionState
from workflows.inputs import WorkflowInput


class PositionInput(WorkflowInput):
    """What to open. ``usd`` (quote coin) or ``qty`` (base coin); ``policy`` None takes the system setting's."""

    position_id: str = Field(pattern=r"^[a-z2-7]{20}$", description="20 lower-case base32 characters")
    strategy: str = Field(default="manual", min_length=1, max_length=60)
    category: Category
    symbol: str = Field(pattern=r"^[A-Z0-9]{2,30}$")
    side: PositionSide = PositionSide.LONG
    usd: Decimal | None = Field(default=None, gt=0)
    qty: Decimal | None = Field(default=None, gt=0)
    policy: ExitPolicy | None = None
    requested_by: str = Field(default="temporal", min_length=1, max_length=200)
    reason: str = Field(default="", max_length=2000)
    signal_id: str | None = Field(default=None, description="the stored signal this position answers")
    config_version: int | None = Field(
        default=None, description="version of the strategy's configuration it was decided by"
    )

    @model_validator(mode="after")
    def _one_size(self) -> PositionInput:
        if (self.usd is None) == (self.qty is None):
            raise ValueError("give either usd or qty")
        return self


class CloseRequest(BaseModel):
    """Leave at market. ``exit_reason`` is what the position's row will say."""

    reason: str = Field(min_length=1, max_length=2000)
    requested_by: str = Field(min_length=1, max_length=200)
    exit_reason: ExitReason = ExitReason.MANUAL_CLOSE


class CloseResult(BaseModel):
    """``order_link_id`` of the exit order that is on its way (None: nothing was left to sell)."""

    order_link_id: str | None
    state: PositionState


class SetTargets(BaseModel):
    policy: ExitPolicy
    expected_version: int = Field(ge=1)
    reason: str = Field(min_length=1, max_length=2000)
    requested_by: str = Field(min_length=1, max_length=200)


class PositionSnapshot(BaseModel):
    """Where the process stands, for looking; the figures of the position are in the database."""

    position_id: str
    state: PositionState | None
    qty: Decimal
    entry_price: Decimal | None
    guard: str
    exit_order: str | None
    exit_reason: ExitReason | None
    denied: str | None
