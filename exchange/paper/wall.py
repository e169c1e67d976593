"""Wall time as the exchange tells it and judges signatures by it."""

from __future__ import annotations

import time
from collections.abc import Callable


class WallClock:
    """The machine's time, shifted by ``offset_ms`` (asked at each reading; a fault may set it)."""

    def __init__(self, offset_ms: Callable[[], int] = lambda: 0) -> None:
        self._offset_ms = offset_ms

    def now_ns(self) -> int:
        return time.time_ns() + self._offset_ms() * 1_000_000

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000
