"""Market time as a value: an epoch, an instant and a speed."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict


class MarketClock(BaseModel):
    """A reading of the market's clock.

    ``epoch`` names one market (a new replay is a new epoch), ``now`` is market time at the reading, ``speed`` is
    market seconds per wall second (1.0 outside paper mode), ``read_at`` the wall time of the reading. ``step``: the
    market stands still until it is told to advance, and ``speed`` is 0.
    """

    model_config = ConfigDict(frozen=True)

    epoch: str
    now: AwareDatetime
    speed: float
    read_at: AwareDatetime
    step: bool = False

    def at(self, wall: datetime) -> datetime:
        """Market time at wall time ``wall``, extrapolated from this reading."""
        return self.now + (wall - self.read_at) * self.speed

    def wall_until(self, instant: datetime) -> timedelta:
        """Wall time from the reading until market time reaches ``instant`` (zero if past)."""
        if self.speed <= 0:
            return timedelta.max
        return max((instant - self.now) / self.speed, timedelta(0))
