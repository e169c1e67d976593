"""What guards leave behind in the database, off the path of a tick: evaluations, and word of changed targets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from db.repositories.guards import record_evaluation
from db.repositories.positions import TARGETS_CHANNEL
from db.session import Database
from domain.exits import ExitReason, GuardState
from observability.logs import get_logger

log = get_logger(__name__)

_FLUSH_SECONDS = 0.5
_RELISTEN_SECONDS = 1.0


class Noted(Protocol):
    """What is noted of a guard."""

    position_id: str
    guard_epoch: int
    target_version: int


@dataclass(frozen=True, slots=True)
class _Note:
    position_id: str
    guard_epoch: int
    target_version: int
    kind: str
    state: GuardState
    price: Decimal
    reason: ExitReason | None = None


class GuardNotes:
    """Writes evaluations a few times a second: of a guard's ratchets in that time the last one, the rest in full."""

    def __init__(self, database: Database, on_target_moved: Callable[[str], None]) -> None:
        self._database = database
        self._on_target_moved = on_target_moved
        self._ratchets: dict[str, _Note] = {}
        self._steps: list[_Note] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._flush_forever()), asyncio.create_task(self._listen_forever())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._flush_or_log()

    def joined(self, watch: Noted, state: GuardState, price: Decimal) -> None:
        self._step(watch, "watching", state, price)

    def retargeted(self, watch: Noted, state: GuardState, price: Decimal) -> None:
        self._step(watch, "targets", state, price)

    def triggered(self, watch: Noted, state: GuardState, price: Decimal, reason: ExitReason | None) -> None:
        self._step(watch, "fired" if reason else "fenced", state, price, reason)

    def ratcheted(self, watch: Noted, state: GuardState, price: Decimal) -> None:
        self._ratchets[watch.position_id] = _Note(
            watch.position_id, watch.guard_epoch, watch.target_version, "ratchet", state, price
        )

    def _step(
        self, watch: Noted, kind: str, state: GuardState, price: Decimal, reason: ExitReason | None = None
    ) -> None:
        earlier = self._ratchets.pop(watch.position_id, None)
        if earlier is not None:
            self._steps.append(earlier)
        self._steps.append(
            _Note(watch.position_id, watch.guard_epoch, watch.target_version, kind, state, price, reason)
        )

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush_or_log()

    async def _flush_or_log(self) -> None:
        notes = [*self._steps, *self._ratchets.values()]
        if not notes:
            return
        self._steps, self._ratchets = [], {}
        try:
            async with self._database.session() as session:
                for note in notes:
                    record_evaluation(session, **_columns(note))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            # the heartbeat carries the same state; a newer ratchet must not be overwritten by this older one
            self._steps = [note for note in notes if note.kind != "ratchet"] + self._steps
            for note in notes:
                if note.kind == "ratchet":
                    self._ratchets.setdefault(note.position_id, note)
            log.error("evaluations not written yet", error=str(error), waiting=len(notes))

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("not listening for targets; the poll goes on", error=str(error))
            await asyncio.sleep(_RELISTEN_SECONDS)

    async def _listen(self) -> None:
        """Hear of changed targets until the connection is lost."""
        connection = await asyncpg.connect(self._database.dsn, timeout=3)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_: lost.set())
            await connection.add_listener(TARGETS_CHANNEL, lambda *args: self._on_target_moved(str(args[3])))
            await lost.wait()
        finally:
            if not connection.is_closed():
                connection.terminate()


def _columns(note: _Note) -> dict[str, Any]:
    return {
        "position_id": note.position_id,
        "guard_epoch": note.guard_epoch,
        "target_version": note.target_version,
        "kind": note.kind,
        "market_at": note.state.as_of,
        "price": note.price,
        "stop_price": float(note.state.stop_price),
        "state": note.state.model_dump(mode="json"),
        "reason": note.reason,
    }
