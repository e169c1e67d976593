"""Which tests run beside each other where several processes share them (``-n``)."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadFileScheduling

_WHOLE_SYSTEMS = (
    "tests/chaos/",
    "tests/e2e/",
    "tests/workers/stack/test_stack.py",
    "tests/workers/stack/test_whole_stack.py",
)
_LONG = "slow", "chaos", "browser"


class OneWholeSystemAtATime(LoadFileScheduling):
    """Each file to whoever is free; those that start whole systems, a dozen processes each, to one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "whole systems" if file.startswith(_WHOLE_SYSTEMS) else file


def long_ones_first(items: list[pytest.Item], root: PurePath) -> None:
    """Whole systems, then files with long tests, then the others: what is long and begins last would run on alone."""
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in _LONG)}

    def turn(item: pytest.Item) -> int:
        if item.path.relative_to(root).as_posix().startswith(_WHOLE_SYSTEMS):
            return 0
        return 1 if item.path in long else 2

    items.sort(key=turn)
