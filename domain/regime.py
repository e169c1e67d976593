"""The market's regime: one of five states of BTC, from its score, with hysteresis and confirmation."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NO_REGIME: Final = -128
"""In place of a level where no regime was known."""


class Regime(StrEnum):
    """From falling to rising; ``level`` is -2 to 2."""

    STRONG_BEAR = "strong_bear"
    BEAR = "bear"
    NEUTRAL = "neutral"
    BULL = "bull"
    STRONG_BULL = "strong_bull"

    @property
    def level(self) -> int:
        """-2 (strong bear) to 2 (strong bull)."""
        return _LEVELS[self]

    @classmethod
    def of_level(cls, level: int) -> Regime:
        """Raises ValueError outside -2 to 2."""
        if not -2 <= level <= 2:
            raise ValueError(f"a regime's level is -2 to 2, not {level}")
        return tuple(cls)[level + 2]


_LEVELS: Final = {regime: place - 2 for place, regime in enumerate(Regime)}

RISING: Final = frozenset({Regime.NEUTRAL, Regime.BULL, Regime.STRONG_BULL})
"""Where most strategies that buy may open."""
FALLING: Final = frozenset({Regime.NEUTRAL, Regime.BEAR, Regime.STRONG_BEAR})
"""Where most strategies that sell short may open."""
