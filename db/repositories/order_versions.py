"""Which version of the configuration, and which of the settings, an order was decided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Order, Position, PositionTarget, SystemEvent
from db.repositories.settings import settings_version
from domain.exit_policy import ExitReason
from domain.ids import OrderRole

EXIT_SIGNAL: Final = "strategy_exit_signal"
REGIME_LEFT: Final = "regime_exit_signal"

_SIGNALS: Final[Mapping[ExitReason, str]] = {
    ExitReason.STRATEGY_EXIT: EXIT_SIGNAL,
    ExitReason.REGIME_EXIT: REGIME_LEFT,
}
"""The audit event that tells a position to leave at a candle's close."""
_BY_HAND: Final = frozenset({ExitReason.MANUAL_CLOSE, ExitReason.FLATTEN})


@dataclass(frozen=True, slots=True)
class OrderVersions:
    """``config_version`` None: no configuration decided it, somebody's hand did. ``settings_version`` as
    ``db.repositories.settings`` counts it."""

    config_version: int | None
    settings_version: int | None

    def columns(self) -> dict[str, int | None]:
        return {"config_version": self.config_version, "settings_version": self.settings_version}

    def write(self, order: Order) -> None:
        order.config_version, order.settings_version = self.config_version, self.settings_version


async def versions_of_intent(session: AsyncSession, position: Position, role: OrderRole) -> OrderVersions:
    """Of an order about to be written: the entry's are the position's, any other follows the targets in force."""
    target_version = 1 if role is OrderRole.ENTRY else position.target_version
    return await versions_of_targets(session, position, target_version)


async def versions_of_targets(session: AsyncSession, position: Position, target_version: int) -> OrderVersions:
    """Of what a guard or a resting stop does: whose exit policy made the targets.

    The first targets are the position's own; later ones were set by hand, under the settings of their time.
    """
    if target_version == 1:
        return OrderVersions(position.config_version, position.settings_version)
    set_at = await session.scalar(
        select(PositionTarget.at).where(
            PositionTarget.position_id == position.position_id, PositionTarget.version == target_version
        )
    )
    return OrderVersions(None, await settings_version(session, set_at))


async def versions_of_exit(session: AsyncSession, position: Position, reason: ExitReason | None) -> OrderVersions:
    """Of an exit that the position itself makes: by the signal that it follows, by hand, or by its targets."""
    if reason in _BY_HAND:
        return OrderVersions(None, await settings_version(session))
    kind = None if reason is None else _SIGNALS.get(reason)
    if kind is None:
        return await versions_of_targets(session, position, position.target_version)
    signal = await session.scalar(
        select(SystemEvent.detail)
        .where(SystemEvent.subject == position.position_id, SystemEvent.kind == kind)
        .order_by(SystemEvent.id.desc())
        .limit(1)
    )
    told = signal or {}
    return OrderVersions(told.get("config_version"), told.get("settings_version"))


def versions_of(order: Order) -> OrderVersions:
    """As its row says."""
    return OrderVersions(order.config_version, order.settings_version)
