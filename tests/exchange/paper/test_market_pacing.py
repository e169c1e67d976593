"""A pace leaves out what comes too soon, and never the last state."""

from __future__ import annotations

import time

from exchange.paper.pacing import Pacer
from tests.support.waiting import eventually


async def test_the_first_is_told_at_once_and_the_last_when_its_time_has_come() -> None:
    state, told = 0, list[tuple[int, float]]()

    def tell(topic: str) -> None:
        told.append((state, time.monotonic()))

    pacer: Pacer[str] = Pacer(tell)
    for number in range(1, 6):
        state = number
        pacer.changed("t", 0.1)
    assert [value for value, _ in told] == [1]

    async def second() -> bool:
        return len(told) == 2

    await eventually(second, "the last state")
    assert told[1][0] == 5
    assert told[1][1] - told[0][1] >= 0.1


async def test_a_flush_tells_what_waits_once_and_what_is_forgotten_never() -> None:
    told: list[str] = []
    pacer: Pacer[str] = Pacer(told.append)
    for _ in range(3):
        pacer.changed("kept", 60.0)
        pacer.changed("left", 60.0)
    pacer.forget("left")
    pacer.flush()
    pacer.flush()
    assert told == ["kept", "left", "kept"]
