"""The life of a position, as states and the values that describe one."""

from __future__ import annotations

from enum import StrEnum


class PositionState(StrEnum):
    """Where a position stands. ``ACTIVE_STATES`` hold their symbol: no second position may be reserved beside them."""

    RESERVED = "reserved"
    ENTERING = "entering"
    OPEN = "open"
    EXITING = "exiting"
    CLOSED = "closed"
    NOT_ENTERED = "not_entered"


ACTIVE_STATES = (PositionState.RESERVED, PositionState.ENTERING, PositionState.OPEN, PositionState.EXITING)

_NEXT: dict[PositionState, frozenset[PositionState]] = {
    PositionState.RESERVED: frozenset({PositionState.ENTERING, PositionState.NOT_ENTERED}),
    PositionState.ENTERING: frozenset({PositionState.OPEN, PositionState.NOT_ENTERED}),
    PositionState.OPEN: frozenset({PositionState.EXITING, PositionState.CLOSED}),
    PositionState.EXITING: frozenset({PositionState.CLOSED}),
    PositionState.CLOSED: frozenset(),
    # a fill that surfaces after the entry was given up is a position after all
    PositionState.NOT_ENTERED: frozenset({PositionState.OPEN}),
}


class IllegalPositionStep(ValueError):
    """A position was asked to go where no arrow leads."""


def advance(current: PositionState, new: PositionState) -> PositionState:
    """``new`` if the step is legal or repeats ``current``; raises IllegalPositionStep otherwise."""
    if new is not current and new not in _NEXT[current]:
        raise IllegalPositionStep(f"a position can't go from {current} to {new}")
    return new
