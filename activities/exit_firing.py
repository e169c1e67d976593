"""Firing an exit under its fence: the one transaction that lets it out, and the order itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from activities.order_placing import SIGN_WITHIN, PlacedOrder
from db.repositories.orders import fire_exit
from db.session import Database
from domain.exits import ExitReason
from exchange.protocol import Exchange, OrderRequest
from observability.logs import bind, get_logger

log = get_logger(__name__)

_RETRY_SECONDS = 0.5


class Firing(StrEnum):
    """``fired``: the order is out (its workflow sees it through). ``fenced``: somebody else has the position."""

    FIRED = "fired"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What crossed: the exit order written ahead, and the right under which it may go out.

    ``target_version`` is the newest the guard knows: an exit that happened while it was away, under older targets, is
    real, but with still newer ones in force it must look again.
    """

    position_id: str
    request: OrderRequest
    guard_epoch: int
    target_version: int
    reason: ExitReason


class ExitFiring:
    def __init__(self, database: Database, exchange: Exchange) -> None:
        self._database = database
        self._placed = PlacedOrder(database, exchange)

    async def fire(self, trigger: Trigger) -> Firing:
        """Let the exit out if the fence allows it.

        While the database can't be reached nothing is fired: without the fence a second guard could fire too, and the
        stop resting at the exchange protects meanwhile. Tries again until the database answers.
        """
        with bind(position_id=trigger.position_id, order_link_id=trigger.request.order_link_id):
            while True:
                # counted from before the fence: a process frozen in between must not send what was given up since
                not_after = datetime.now(UTC) + SIGN_WITHIN
                try:
                    if not await self._pass_fence(trigger):
                        log.warning("exit fenced off", guard_epoch=trigger.guard_epoch, reason=trigger.reason)
                        return Firing.FENCED
                    break
                except Exception as error:
                    log.error("exit waits for the database", error=str(error), reason=trigger.reason)
                    await asyncio.sleep(_RETRY_SECONDS)
            try:
                view = await self._placed.place(trigger.request.model_copy(update={"not_after": not_after}))
                log.info("exit fired", reason=trigger.reason, state=view.state)
            except Exception as error:
                # the row says SENT: the order's workflow finds out what became of it
                log.error("exit sent, its answer not recorded", error=str(error))
            return Firing.FIRED

    async def _pass_fence(self, trigger: Trigger) -> bool:
        async with self._database.session() as session:
            return await fire_exit(
                session,
                trigger.request.order_link_id,
                guard_epoch=trigger.guard_epoch,
                target_version=trigger.target_version,
                exit_reason=trigger.reason,
            )
