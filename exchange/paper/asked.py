"""A signed request as its handler gets it, and what a handler answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from exchange.paper.auth import ApiKey
from exchange.paper.params import Params
from exchange.paper.venue import Venue

Result = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request whose signature was checked. ``received_wall_ms`` is when it reached the server."""

    venue: Venue
    params: Params
    key: ApiKey
    received_wall_ms: float


@dataclass(frozen=True)
class BatchResult:
    """What a batch answers: a row for each of its items and, in the same order, each one's (code, message)."""

    rows: list[Result]
    outcomes: list[tuple[int, str]]


Handler = Callable[[Asked], Awaitable[Result | BatchResult]]
