"""What the stack is made of: services (children that run for ever) and tasks (done once at the start)."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from workers.stack.process import ChildSpec


@dataclass(frozen=True, slots=True)
class Port:
    """A port the stack needs, and the environment variable that moves it."""

    number: int
    use: str
    setting: str
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Service:
    """A supervised child.

    ``child`` is asked for the command at every start, in a thread (it may prepare files). ``ready`` is asked with the
    child's pid until it says yes; after ``ready_seconds`` the child counts as dead. ``after_ready`` runs at every start
    before the service counts as ready. Errors of all three that aren't OSError end the stack: they need a person.
    """

    name: str
    child: Callable[[], ChildSpec]
    ready: Callable[[int], Awaitable[bool]]
    log: Path
    requires: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    after_ready: Callable[[], Awaitable[None]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0
    ready_seconds: float = 120.0
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done once before others may start."""

    name: str
    run: Callable[[], Awaitable[None]]
    requires: tuple[str, ...] = ()


Part = Service | Task


def in_levels(parts: list[Part]) -> list[list[Part]]:
    """Parts grouped so that each level requires only parts of earlier ones. Requirements that aren't among ``parts``
    (external servers) count as met. Raises ValueError for a circle."""
    names = {part.name for part in parts}
    placed: set[str] = set()
    levels: list[list[Part]] = []
    left = list(parts)
    while left:
        level = [part for part in left if all(name in placed or name not in names for name in part.requires)]
        if not level:
            raise ValueError(f"parts require each other: {', '.join(part.name for part in left)}")
        levels.append(level)
        placed |= {part.name for part in level}
        left = [part for part in left if part.name not in placed]
    return levels
