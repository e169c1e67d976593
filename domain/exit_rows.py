"""The exit kernel for many positions on one symbol: each trade is matched against all guards in one compiled pass."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from domain import exit_kernel as kernel
from domain.exit_policy import ExitPolicy, ExitReason
from domain.exits import GuardState, make_row, reason_of, state_of, to_milliseconds

_FIRST_CAPACITY = 16


class Fired(NamedTuple):
    """A guard that says: leave now."""

    index: int
    reason: ExitReason


class Stepped(NamedTuple):
    """What one trade did: guards that fired, and indexes of those whose stop moved or whose level was armed."""

    fired: list[Fired]
    ratcheted: list[int]


class GuardRows:
    """Guards of one symbol. An index stays a guard's own until it is removed; freed indexes are used again.

    A guard that fired is inactive: it fires once, and the caller keeps that fact until it has acted on it. ``replace``
    makes it watch again. Not safe for concurrent use.
    """

    def __init__(self) -> None:
        self._states: dict[int, GuardState] = {}
        self._free: list[int] = []
        self._count = 0  # rows in use or free, all at the front
        self._grow(_FIRST_CAPACITY)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, index: int) -> bool:
        return index in self._states

    def add(self, state: GuardState, policy: ExitPolicy) -> int:
        """Watch for this guard from now on. Gives its index."""
        if self._free:
            index = self._free.pop()
        else:
            index = self._count
            if index == len(self._rows):
                self._grow(2 * index)
            self._count += 1
        self._rows[index] = make_row(state, policy)[0]
        self._states[index] = state
        return index

    def replace(self, index: int, state: GuardState, policy: ExitPolicy) -> None:
        """New targets (or a restored state) for a guard; it is active afterwards. Raises KeyError for a free index."""
        if index not in self._states:
            raise KeyError(index)
        self._rows[index] = make_row(state, policy)[0]
        self._states[index] = state

    def remove(self, index: int) -> GuardState:
        """Stop watching. Gives the last state. Raises KeyError for a free index."""
        state = self.state(index)
        del self._states[index]
        self._rows[index, kernel.ACTIVE] = 0.0
        self._free.append(index)
        return state

    def state(self, index: int) -> GuardState:
        """The guard's state now. Raises KeyError for a free index."""
        return state_of(self._rows, index, self._states[index])

    def is_active(self, index: int) -> bool:
        """Whether the guard watches (False once it fired). Raises KeyError for a free index."""
        if index not in self._states:
            raise KeyError(index)
        return bool(self._rows[index, kernel.ACTIVE])

    def step_all(self, price: Decimal | float, at: datetime | float) -> Stepped:
        """One trade of the symbol at ``at`` (aware, or milliseconds since 1970 UTC), judged by every active guard.

        Raises ValueError for a price that isn't above 0 or a naive time; no guard changes then.
        """
        value = float(price)
        if not 0 < value < math.inf:
            raise ValueError(f"price {price} must be a number above 0")
        time_ms = to_milliseconds(at) if isinstance(at, datetime) else float(at)
        fired, ratcheted = kernel.step_rows(self._rows, self._count, value, time_ms, self._told)
        if not fired and not ratcheted:
            return Stepped([], [])
        left = []
        for index, code in self._told[: kernel.RATCHETED, :fired].T.tolist():
            reason = reason_of(code)
            assert reason is not None
            left.append(Fired(index, reason))
        return Stepped(left, self._told[kernel.RATCHETED, :ratcheted].tolist())

    def _grow(self, capacity: int) -> None:
        rows = np.zeros((capacity, kernel.WIDTH))
        rows[: self._count] = self._rows[: self._count] if self._count else 0.0
        self._rows = rows
        self._told = np.empty((3, capacity), np.int64)
