"""The stage of a strategy: one word for what its gates together let it do, and the gates that make it so."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from domain.faults import BadValue


class Stage(StrEnum):
    """From nothing to everything, and then to leaving only."""

    OFF = "off"
    """It does nothing; what it holds is left to guards and stops."""
    WATCHLIST = "watchlist"
    """Its scores count and nothing is opened."""
    SOAK = "soak"
    """It is observed as if it traded."""
    ACTIVE = "active"
    """It may open."""
    REDUCE_ONLY = "reduce_only"
    """It only leaves what it holds."""


class Gates(BaseModel):
    """The three gates of a strategy, by the names of its configuration."""

    model_config = ConfigDict(frozen=True)

    watchlist_gate: bool
    buy_gate: bool
    sell_gate: bool


_GATES = {
    Stage.OFF: Gates(watchlist_gate=False, buy_gate=False, sell_gate=False),
    Stage.WATCHLIST: Gates(watchlist_gate=True, buy_gate=False, sell_gate=True),
    Stage.ACTIVE: Gates(watchlist_gate=True, buy_gate=True, sell_gate=True),
    Stage.REDUCE_ONLY: Gates(watchlist_gate=False, buy_gate=False, sell_gate=True),
}


def stage_of(*, watchlist_gate: bool, buy_gate: bool, sell_gate: bool, soaking: bool = False) -> Stage:
    """The stage that these gates make. ``soaking``: a soak of the strategy runs, which counts unless it may open."""
    if buy_gate:
        return Stage.ACTIVE
    if soaking:
        return Stage.SOAK
    if watchlist_gate:
        return Stage.WATCHLIST
    return Stage.REDUCE_ONLY if sell_gate else Stage.OFF


def gates_of(stage: Stage) -> Gates:
    """The gates that make ``stage``. Raises BadValue for a soak, which gates alone don't make."""
    gates = _GATES.get(stage)
    if gates is None:
        raise BadValue("stage", f"no gates make a {stage}: {Stage.WATCHLIST} shows what it would do and opens nothing")
    return gates
