"""Benchmarks by name: what one is, what it yields, and where it is found.

A benchmark is a function (or coroutine function) decorated with ``@benchmark("name")`` in any module of this package;
it yields or returns ``Figure`` values. It measures its reference in the same run, on the same input, and should check
that both gave the same answer before it believes a clock.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import benchmarks


@dataclass(frozen=True)
class Figure:
    """One measured figure. ``reference`` says in words what ``reference_value`` (same unit) was measured on."""

    name: str
    value: float
    unit: str
    reference: str | None = None
    reference_value: float | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """``value`` over ``reference_value``; None without a reference."""
        return self.value / self.reference_value if self.reference_value else None

    def to_json(self) -> str:
        """One line: name, value, unit, reference, reference_value, ratio, config. Numbers have four digits."""
        fields = asdict(self)
        config = fields.pop("config")
        for key in ("value", "reference_value"):
            fields[key] = _rounded(fields[key])
        return json.dumps({**fields, "ratio": _rounded(self.ratio), "config": config})


Outcome = Iterable[Figure] | Awaitable[Iterable[Figure]] | AsyncIterator[Figure]
Benchmark = Callable[[], Outcome]
B = TypeVar("B", bound=Benchmark)

_REGISTERED: dict[str, Benchmark] = {}
_PROGRAMS = frozenset({"benchmarks.__main__", "benchmarks.run", "benchmarks.bare_exit"})


def benchmark(name: str) -> Callable[[B], B]:
    """Register the decorated function under ``name``. Raises ValueError when the name is taken."""

    def register(function: B) -> B:
        if name in _REGISTERED:
            raise ValueError(f"two benchmarks are named {name!r}")
        _REGISTERED[name] = function
        return function

    return register


def discover() -> dict[str, Benchmark]:
    """Every benchmark of this package by name, in alphabetical order."""
    for module in pkgutil.iter_modules(benchmarks.__path__, prefix="benchmarks."):
        if module.name not in _PROGRAMS:
            importlib.import_module(module.name)
    return dict(sorted(_REGISTERED.items()))


def select(names: Iterable[str]) -> dict[str, Benchmark]:
    """The benchmarks that match one of ``names`` (shell patterns); all for no names.

    Raises LookupError for a name that matches nothing, naming what there is.
    """
    known, wanted = discover(), list(names)
    for name in wanted:
        if not any(fnmatchcase(each, name) for each in known):
            raise LookupError(f"no benchmark is named {name!r}; there are {', '.join(known)}")
    return {
        name: function for name, function in known.items() if not wanted or any(fnmatchcase(name, w) for w in wanted)
    }


def measure(function: Benchmark) -> Iterable[Figure]:
    """Run a benchmark of either kind. A plain generator yields its figures as they are measured."""
    outcome = function()
    if isinstance(outcome, AsyncIterator):
        return asyncio.run(_collect(outcome))
    if inspect.isawaitable(outcome):
        return asyncio.run(_await(outcome))
    assert not isinstance(outcome, Awaitable)
    return outcome


async def _collect(figures: AsyncIterator[Figure]) -> list[Figure]:
    return [figure async for figure in figures]


async def _await(figures: Awaitable[Iterable[Figure]]) -> Iterable[Figure]:
    return await figures


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
