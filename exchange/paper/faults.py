"""The faults in force: asked by everything that answers or tells whether one hits it now."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, TypeVar

from starlette.types import Scope

from exchange.paper.connections import Address, Connections
from exchange.paper.fault_rules import EVENT_KINDS, REQUEST_KINDS, Fault, FaultSpec

Answer = TypeVar("Answer")
Fields = Sequence[dict[str, str]]

# what is left of the book to the request in hand: a fault of one request must not thin it for the others
BOOK_LEFT: ContextVar[float] = ContextVar("book_left", default=1.0)


class Faults:
    """The faults asked for, in order; of those that match a request or a message the first hits."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._faults: list[Fault] = []
        self._made = 0

    def add(self, spec: FaultSpec) -> Fault:
        """Put a rule in force; what happens at once (sockets cut or silenced) has happened when this returns."""
        self._made += 1
        fault = Fault.of(self._made, spec)
        if spec.kind == "socket_cut":
            fault.hits = self._connections.cut_sockets(spec.sockets, spec.endpoint)
            fault.done = True
        elif spec.kind == "socket_silent":
            fault.hits = self._connections.silence(spec.sockets, spec.endpoint, lambda: fault.active)
        elif spec.kind == "maintenance" and not spec.endpoint:
            self._connections.cut_sockets("all")
        self._faults.append(fault)
        return fault

    def clear(self, number: int | None = None) -> int:
        """End all faults, or the one of that number; how many there were."""
        ended = [fault for fault in self._faults if number in (None, fault.id)]
        for fault in ended:
            fault.done = True
        self._faults = [fault for fault in self._faults if fault not in ended]
        return len(ended)

    def rows(self) -> list[dict[str, Any]]:
        return [fault.row() for fault in self._faults]

    def _active(self, *kinds: str) -> list[Fault]:
        return [fault for fault in self._faults if fault.spec.kind in kinds and fault.active]

    @property
    def any_of_requests(self) -> bool:
        return bool(self._faults) and bool(self._active(*REQUEST_KINDS, "missing_candles"))

    @property
    def any_of_events(self) -> bool:
        return bool(self._faults) and bool(self._active(*EVENT_KINDS))

    def take_request(self, path: str, candidates: Fields, via: Literal["rest", "socket"]) -> Fault | None:
        """The fault that hits a request. A thin book is none: it is set for the request, which another may hit too."""
        found: Fault | None = None
        for fault in self._active(*REQUEST_KINDS):
            spec = fault.spec
            thins = spec.kind == "thin_book"
            if (found and not thins) or not path.endswith(spec.endpoint) or spec.via not in ("any", via):
                continue
            if (spec.kind == "http_5xx" and via == "socket") or not fault.takes(candidates):
                continue
            if thins:
                BOOK_LEFT.set(BOOK_LEFT.get() * spec.factor)
            else:
                found = fault
        return found

    def take_event(self, kind: str, topic: str, rows: Fields) -> Fault | None:
        """The fault of a kind that hits a message of a private topic."""
        if not self._faults:
            return None
        hit = (f for f in self._active(kind) if f.spec.topic in ("", topic) and f.takes(rows))
        return next(hit, None)

    def maintenance(self, path: str) -> Fault | None:
        """The maintenance under way for a path; counts who met it."""
        for fault in self._active("maintenance") if self._faults else ():
            if path.endswith(fault.spec.endpoint):
                fault.hits += 1
                return fault
        return None

    def clock_offset_ms(self) -> int:
        return sum(fault.spec.offset_ms for fault in self._active("clock_offset")) if self._faults else 0

    def hides_candles(self, via: Literal["rest", "socket"]) -> bool:
        return bool(self._faults) and any(f.spec.via in ("any", via) for f in self._active("missing_candles"))

    def leaves_out(self, bar: dict[str, str], opened: Sequence[datetime], via: Literal["rest", "socket"]) -> set[int]:
        """Which candles, by position in ``opened``, are missing from one answer or message."""
        missing: set[int] = set()
        for fault in self._active("missing_candles"):
            if fault.spec.via in ("any", via):
                out = {number for number, at in enumerate(opened) if fault.leaves_out(bar, at)}
                fault.hits += bool(out)
                missing |= out
        return missing

    def is_silent(self, address: Address) -> bool:
        return self._connections.is_silent(address)

    def cut(self, scope: Scope) -> None:
        """Break the connection of a request or socket."""
        self._connections.drop(scope)


async def suffer(
    fault: Fault,
    effect: Callable[[], Awaitable[Answer]],
    refusal: Callable[[FaultSpec], Answer],
) -> Answer | None:
    """What a request that ``fault`` hits is answered; None: nothing, its connection must break.

    ``effect`` does the request and makes its answer, ``refusal`` is the answer of a fault that has one.
    """
    spec = fault.spec
    if spec.kind == "restart":
        if spec.after:
            await effect()
        os.kill(os.getpid(), signal.SIGKILL)
    pause = spec.delay_ms / 1000
    if spec.kind == "delay" and not spec.after:
        await asyncio.sleep(pause)
        return await effect()
    answer = await effect() if spec.after or spec.kind == "answer_lost" else None
    await asyncio.sleep(pause)
    if spec.kind in ("http_5xx", "ret_code"):
        return refusal(spec)
    return answer if spec.kind == "delay" else None
