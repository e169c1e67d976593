"""Whether silence means something: a quiet symbol says nothing for minutes, one that talks all the time doesn't stop.

A socket that answers pings and tells nothing is noticed by those of its topics that normally speak.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_SECONDS = 8.0
"""So long a socket (pongs included), or a topic that normally speaks, may be silent (wall)."""
_PAUSE_SECONDS = 2.0
_REGULAR_SECONDS = 60.0


@dataclass
class Talk:
    """When something was told. ``since`` is the beginning of the stretch without a pause in which ``last`` lies."""

    since: float | None = None
    last: float | None = None

    def heard(self, now: float) -> None:
        if self.last is None or now - self.last > _PAUSE_SECONDS:
            self.since = now
        self.last = now

    def forget(self) -> None:
        """Whatever it was used to counts no more: the market stands still."""
        self.since = self.last = None

    @property
    def regular(self) -> bool:
        """Whether it spoke for a minute without a pause, so that silence would be news."""
        return self.since is not None and self.last is not None and self.last - self.since >= _REGULAR_SECONDS

    def fell_silent(self, now: float) -> bool:
        return self.regular and self.last is not None and now - self.last > SILENCE_SECONDS
