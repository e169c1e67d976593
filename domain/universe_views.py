"""Wire models of the universe, shared by server and client. The rules of ``domain.views`` hold here too."""

from __future__ import annotations

from domain.market import Category
from domain.universe import UniverseReason
from domain.views import Answer, Instant, Plain


class UniverseView(Answer):
    """A listed symbol as of the last choice (``chosen_at``), and the rule that makes it a member or leaves it out.

    ``turnover_usd`` is of 24 hours, ``rank`` the place in its category by it (None: it didn't come to that). ``since``
    is when it became what it is. None: unknown.
    """

    category: Category
    symbol: str
    member: bool
    reason: UniverseReason
    turnover_usd: Plain | None
    spread_bps: float | None
    age_days: float | None
    rank: int | None
    chosen_at: Instant
    since: Instant
