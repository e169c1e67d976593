"""What guards leave behind in the database, off the path of a tick: evaluations, and word of changed targets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
from pydantic import TypeAdapter

from activities.guard_watch import Seen, Watch
from db.repositories.guards import record_evaluation
from db.repositories.positions import TARGETS_CHANNEL
from db.session import Database
from domain.exits import ExitReason, GuardState
from observability.logs import get_logger

log = get_logger(__name__)

_FLUSH_SECONDS = 0.5
_RELISTEN_SECONDS = 1.0

_SEEN: TypeAdapter[Seen | None] = TypeAdapter(Seen | None)


@dataclass(frozen=True, slots=True)
class _Note:
    position_id: str
    guard_epoch: int
    target_version: int
    kind: str
    state: GuardState
    seen: Seen | None
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

    def joined(self, watch: Watch, price: Decimal) -> None:
        self._step(watch, "watching", price)

    def retargeted(self, watch: Watch, price: Decimal) -> None:
        self._step(watch, "targets", price)

    def triggered(self, watch: Watch, price: Decimal, reason: ExitReason | None) -> None:
        self._step(watch, "fired" if reason else "fenced", price, reason)

    def ratcheted(self, watch: Watch, state: GuardState, seen: Seen | None, price: Decimal) -> None:
        version = watch.targets.version
        note = _Note(watch.position_id, watch.guard_epoch, version, "ratchet", state, seen, price)
        self._ratchets[watch.position_id] = note

    def _step(self, watch: Watch, kind: str, price: Decimal, reason: ExitReason | None = None) -> None:
        earlier = self._ratchets.pop(watch.position_id, None)
        if earlier is not None:
            self._steps.append(earlier)
        version, state, seen = watch.targets.version, watch.state, watch.seen
        self._steps.append(_Note(watch.position_id, watch.guard_epoch, version, kind, state, seen, price, reason))

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
        except Exception as error:
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


def state_json(state: GuardState, seen: Seen | None) -> dict[str, Any]:
    """What an evaluation keeps of a guard: all the next one needs to go on from."""
    return {**state.model_dump(mode="json"), "seen": _SEEN.dump_python(seen, mode="json")}


def state_from_json(kept: dict[str, Any]) -> tuple[GuardState, Seen | None]:
    """The inverse of ``state_json``."""
    bare = {name: value for name, value in kept.items() if name != "seen"}
    return GuardState.model_validate(bare), _SEEN.validate_python(kept.get("seen"))


def _columns(note: _Note) -> dict[str, Any]:
    return {
        "position_id": note.position_id,
        "guard_epoch": note.guard_epoch,
        "target_version": note.target_version,
        "kind": note.kind,
        "market_at": note.state.as_of,
        "price": note.price,
        "stop_price": float(note.state.stop_price),
        "state": state_json(note.state, note.seen),
        "reason": note.reason,
    }
