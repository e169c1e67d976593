"""One fault as one rule: what kind, where, how often, for how long.

A rule waits for what it matches and wears out after ``count`` hits or ``seconds`` of wall time, whichever comes first.
Chance is drawn from the rule's own ``seed``, once for everything that matches: the same requests in the same order are
hit again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "answer_lost",
    "request_lost",
    "delay",
    "http_5xx",
    "ret_code",
    "restart",
    "thin_book",
    "duplicated_events",
    "reordered_events",
    "delayed_events",
    "lost_events",
    "maintenance",
    "clock_offset",
    "missing_candles",
    "socket_silent",
    "socket_cut",
]
Sockets = Literal["public", "private", "trade", "all"]
Channel = Literal["any", "rest", "socket"]

# what hits one request, one message of a private topic, and what holds for a while
REQUEST_KINDS = ("answer_lost", "request_lost", "delay", "http_5xx", "ret_code", "restart", "thin_book")
EVENT_KINDS = ("duplicated_events", "reordered_events", "delayed_events", "lost_events")
STATE_KINDS = ("maintenance", "clock_offset", "missing_candles", "socket_silent")

_ALWAYS = {"kind", "seconds"}
_CHOSEN = {"endpoint", "match", "count", "skip", "probability", "seed", "via"}
_TOLD = {"topic", "match", "count", "skip", "probability", "seed"}
# the fields that mean something, by kind: any other is a misunderstanding and refused
FIELDS: dict[str, set[str]] = {
    "answer_lost": _CHOSEN | {"delay_ms"},
    "request_lost": _CHOSEN | {"delay_ms"},
    "delay": _CHOSEN | {"delay_ms", "after"},
    "http_5xx": _CHOSEN | {"status", "after"},
    "ret_code": _CHOSEN | {"code", "after"},
    "restart": _CHOSEN | {"after"},
    "thin_book": _CHOSEN | {"factor"},
    "duplicated_events": _TOLD,
    "reordered_events": _TOLD | {"window", "delay_ms"},
    "delayed_events": _TOLD | {"delay_ms"},
    "lost_events": _TOLD,
    "maintenance": {"endpoint", "status", "code"},
    "clock_offset": {"offset_ms"},
    "missing_candles": {"match", "count", "probability", "seed", "via", "open_from", "open_to"},
    "socket_silent": {"sockets", "endpoint"},
    "socket_cut": {"sockets", "endpoint"},
}
_NEEDED = {
    "delay": ("delay_ms", "how long, such as delay_ms=500"),
    "ret_code": ("code", "which retCode, such as code=10000"),
    "delayed_events": ("delay_ms", "how long, such as delay_ms=500"),
    "clock_offset": ("offset_ms", "by how much, such as offset_ms=-7000 (the exchange is behind)"),
    "thin_book": ("factor", "how much of the book is left, such as factor=0.001"),
}


class FaultSpec(BaseModel):
    """What ``POST /paper/faults`` takes.

    ``endpoint`` is the path after ``/v5/`` or its end (empty: any); ``via`` whether the request comes by REST or as an
    operation of the trade socket. ``match`` compares fields of the request, of one of a batch's items or of one of a
    message's rows: ``<field>`` for equality, ``<field>_suffix`` and ``<field>_prefix`` for the ends. ``skip`` lets that
    many go by first. ``after``: the request takes effect before the fault. Request and event kinds wear out after one
    hit unless ``count`` or ``seconds`` say otherwise (``count`` null: never); states hold for ``seconds``, or until
    cleared.

    - answer_lost, request_lost: the connection breaks, after the request took effect or before it was looked at
    - delay: by ``delay_ms``, of the request or (``after``) of its answer
    - http_5xx: ``status`` without an answer of the exchange (REST only); ret_code: an answer with ``code``
    - restart: the process kills itself, before the request or ``after`` it took effect
    - thin_book: the request's orders meet ``factor`` of the book
    - duplicated_events, delayed_events (``delay_ms``), lost_events; reordered_events: the next ``window`` messages, or
      those within ``delay_ms``, come in another order
    - maintenance: everything under ``/v5/`` is answered ``status``, or ``code``; without ``endpoint`` sockets are cut
      and refused too
    - clock_offset: the exchange's wall clock is ``offset_ms`` ahead (negative: behind)
    - missing_candles: bars opened in [``open_from``, ``open_to``] are left out of klines (rest) and not confirmed
      (socket)
    - socket_cut, socket_silent: those of ``sockets`` that are open now (``endpoint`` narrows: ``public/linear``) break,
      or hear nothing more, pongs included
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    endpoint: str = ""
    via: Channel = "any"
    topic: str = ""
    match: dict[str, str] = {}
    count: int | None = Field(None, ge=1)
    skip: int = Field(0, ge=0)
    probability: float = Field(1.0, gt=0, le=1)
    seed: int = 0
    after: bool = False
    seconds: float | None = Field(None, gt=0)
    delay_ms: int = Field(0, ge=0)
    status: int = Field(502, ge=500, le=599)
    code: int | None = None
    sockets: Sockets = "all"
    window: int = Field(3, ge=2, le=100)
    offset_ms: int = 0
    factor: float = Field(1.0, gt=0, le=1)
    open_from: AwareDatetime | None = None
    open_to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        known = FIELDS[self.kind] | _ALWAYS
        odd = sorted(self.model_fields_set - known)
        if odd:
            raise ValueError(f"{odd[0]} means nothing to {self.kind}, which takes {', '.join(sorted(known - _ALWAYS))}")
        needed = _NEEDED.get(self.kind)
        if needed is not None and not getattr(self, needed[0]):
            raise ValueError(f"say {needed[1]}")
        if self.kind == "ret_code" and self.code == TOO_MANY_VISITS and self.after:
            raise ValueError("behind 10006 nothing is ever done: leave out after")
        if self.kind == "maintenance" and "status" not in self.model_fields_set:
            self.status = 503
        if "count" not in self.model_fields_set and self.seconds is None and self.kind not in STATE_KINDS:
            self.count = 1
        return self


TOO_MANY_VISITS = 10006


@dataclass
class Fault:
    """A rule at work, and how often it hit. ``expires`` is an instant of the monotonic clock."""

    id: int
    spec: FaultSpec
    expires: float | None
    hits: int = 0
    passed: int = 0
    done: bool = False
    chance: random.Random = field(default_factory=random.Random)

    @classmethod
    def of(cls, number: int, spec: FaultSpec) -> Fault:
        expires = None if spec.seconds is None else time.monotonic() + spec.seconds
        return cls(number, spec, expires, chance=random.Random(spec.seed))

    @property
    def active(self) -> bool:
        if self.done or (self.spec.count is not None and self.hits >= self.spec.count):
            return False
        return self.expires is None or time.monotonic() < self.expires

    def row(self) -> dict[str, Any]:
        """The rule as it is listed: the fields its kind knows, ``hits``, and whether it is still ``active``."""
        known = FIELDS[self.spec.kind] | _ALWAYS
        return {
            "id": self.id,
            **self.spec.model_dump(mode="json", include=known),
            "hits": self.hits,
            "active": self.active,
        }

    def takes(self, candidates: Sequence[dict[str, str]]) -> bool:
        """Whether it hits what has these fields (one dict for each item); counts the hit."""
        if not self.matches(candidates) or self.chance.random() >= self.spec.probability:
            return False
        if self.passed < self.spec.skip:
            self.passed += 1
            return False
        self.hits += 1
        return True

    def matches(self, candidates: Sequence[dict[str, str]]) -> bool:
        """Whether one of ``candidates`` has every field as ``match`` wants it."""
        wanted = self.spec.match.items()
        return any(all(_matches(fields, name, value) for name, value in wanted) for fields in candidates)

    def leaves_out(self, bar: dict[str, str], opened: datetime) -> bool:
        """Whether the candle of ``bar`` (category, symbol, interval) opened then is missing; always the same answer."""
        spec = self.spec
        if not self.matches([bar]):
            return False
        if (spec.open_from and opened < spec.open_from) or (spec.open_to and opened > spec.open_to):
            return False
        drawn = random.Random(f"{spec.seed}/{bar['category']}/{bar['symbol']}/{bar['interval']}/{opened.isoformat()}")
        return drawn.random() < spec.probability


def _matches(fields: dict[str, str], name: str, wanted: str) -> bool:
    if name.endswith("_suffix"):
        return fields.get(name.removesuffix("_suffix"), "").endswith(wanted)
    if name.endswith("_prefix"):
        value = fields.get(name.removesuffix("_prefix"))
        return value is not None and value.startswith(wanted)
    return fields.get(name) == wanted
