"""How much of the heavy tests is run: a part that fits between two commits, or all of it (``make test-full``)."""

from __future__ import annotations

import os

FULL = os.environ.get("TESTS_FULL") == "1"


def at_scale(part: int, full: int) -> int:
    """``part`` in an ordinary run, ``full`` where everything is asked for."""
    return full if FULL else part
