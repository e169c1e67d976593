"""Who may go when: never too many in a second, exits before entries, one symbol after the other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.bybit.endpoints import Endpoint
from exchange.bybit.limiter import RateLimiter
from exchange.bybit.limits import Allowance, Line, Turn
from exchange.protocol import RetryLater

PLACE = Endpoint("place linear", 10, reserves=True)


def served(line: Line, now: float) -> list[Turn]:
    turns: list[Turn] = []
    while (turn := line.next(now)) is not None:
        turns.append(turn)
    return turns


arrivals = st.lists(
    st.tuples(st.floats(min_value=0, max_value=3, allow_nan=False), st.booleans(), st.sampled_from(["A", "B", "C"])),
    max_size=80,
)


@given(limit=st.integers(min_value=1, max_value=20), wanted=arrivals)
def test_never_more_than_the_limit_go_in_any_second_and_everybody_goes(
    limit: int, wanted: list[tuple[float, bool, str]]
) -> None:
    line = Line(Allowance(limit), reserves=True)
    waiting = sorted(wanted, key=lambda one: one[0])
    went: list[tuple[float, Turn]] = []
    now = 0.0
    while waiting or len(line):
        opens = line.opens_at(now)
        now = min([moment for moment in (opens, waiting[0][0] if waiting else None) if moment is not None])
        while waiting and waiting[0][0] <= now:
            _, urgent, symbol = waiting.pop(0)
            turn = Turn(symbol, urgent)
            if line.at_once(turn, now):
                went.append((now, turn))
            else:
                line.wait(turn)
        went += [(now, turn) for turn in served(line, now)]
    assert len(went) == len(wanted)
    times = [at for at, _ in went]
    for at in times:
        assert sum(at <= other < at + 1.0 for other in times) <= limit


@given(limit=st.integers(min_value=3, max_value=50))
def test_entries_leave_a_part_of_the_allowance_to_exits(limit: int) -> None:
    line = Line(Allowance(limit), reserves=True)
    for _ in range(100):
        line.wait(Turn("A"))
    entries = len(served(line, 0.0))
    assert entries == limit - line.reserved
    assert line.reserved >= 2
    assert all(line.at_once(Turn("B", urgent=True), 0.0) for _ in range(line.reserved)), "an exit doesn't wait at all"


def test_an_exit_goes_before_a_hundred_entries_that_wait() -> None:
    line = Line(Allowance(10), reserves=True)
    assert all(line.at_once(Turn("A", urgent=True), 0.0) for _ in range(10))
    for _ in range(100):
        line.wait(Turn("A"))
    exit_turn = Turn("B", urgent=True)
    assert not line.at_once(exit_turn, 0.5)
    line.wait(exit_turn)
    assert line.opens_at(0.5) == 1.0
    assert served(line, 1.0)[0] is exit_turn


def test_exits_are_served_one_symbol_after_the_other() -> None:
    line = Line(Allowance(5), reserves=True)
    for symbol, count in {"A": 12, "B": 4, "C": 2, "D": 1, "E": 1}.items():
        for _ in range(count):
            line.wait(Turn(symbol, urgent=True))
    rounds = [[turn.symbol for turn in served(line, float(second))] for second in range(4)]
    assert rounds[0] == ["A", "B", "C", "D", "E"]
    assert rounds[1] == ["A", "B", "C", "A", "B"]
    assert Counter(symbol for each in rounds for symbol in each) == Counter(A=12, B=4, C=2, D=1, E=1)


def test_who_leaves_the_line_holds_nobody_up() -> None:
    line = Line(Allowance(1), reserves=False)
    assert line.at_once(Turn("A", urgent=True), 0.0)
    first, second = Turn("A", urgent=True), Turn("B", urgent=True)
    line.wait(first)
    line.wait(second)
    line.leave(first)
    assert served(line, 1.0) == [second]
    assert len(line) == 0


def test_what_others_use_of_the_account_is_learned_and_forgotten() -> None:
    allowance = Allowance(10)
    allowance.take(0.0)
    allowance.learn(limit=10, remaining=4, now=0.1)
    assert allowance.free(0.2) == 4
    allowance.learn(limit=10, remaining=9, now=0.3)
    assert allowance.free(0.4) == 4, "an answer that counted less than we know changes nothing"
    assert allowance.free(1.2) == 10
    allowance.learn(limit=3, remaining=None, now=1.3)
    assert allowance.free(1.4) == 3


async def test_a_request_that_finds_no_room_waits_and_one_that_would_wait_too_long_is_not_sent() -> None:
    limiter = RateLimiter()
    began = time.monotonic()
    for _ in range(10):
        await limiter.turn(PLACE, until=began + 5, urgent=True)
    assert time.monotonic() - began < 0.2
    with pytest.raises(RetryLater, match="not sent"):
        await limiter.turn(PLACE, until=time.monotonic() + 0.05, urgent=True)
    await limiter.turn(PLACE, until=time.monotonic() + 5, urgent=True)
    assert 1.0 < time.monotonic() - began < 1.5
    [_, usage] = limiter.usage()
    assert (usage.name, usage.per_second, usage.waiting) == ("place linear", 10.0, 0)


async def test_a_cancelled_request_gives_its_turn_to_the_next() -> None:
    limiter = RateLimiter()
    until = time.monotonic() + 10
    for _ in range(10):
        await limiter.turn(PLACE, until=until, urgent=True)
    waiting = [asyncio.create_task(limiter.turn(PLACE, until=until, urgent=True)) for _ in range(11)]
    await asyncio.sleep(0)
    for task in waiting[:10]:
        task.cancel()
    began = time.monotonic()
    await waiting[10]
    assert time.monotonic() - began < 1.2
    assert all(task.cancelled() for task in await _settled(waiting[:10]))
    assert limiter.usage()[1].available == 9


async def _settled(tasks: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    await asyncio.gather(*tasks, return_exceptions=True)
    return tasks


async def test_a_share_of_the_limits_is_all_a_process_uses() -> None:
    limiter = RateLimiter(share=0.5)
    until = time.monotonic() + 0.1
    for _ in range(5):
        await limiter.turn(PLACE, until=until, urgent=True)
    with pytest.raises(RetryLater):
        await limiter.turn(PLACE, until=until, urgent=True)
    limiter.learn(PLACE, {"X-Bapi-Limit": "40", "X-Bapi-Limit-Status": "0"}, None, time.monotonic())
    assert limiter.usage()[1].per_second == 20.0
    await limiter.turn(PLACE, until=time.monotonic() + 0.1, urgent=True)


async def test_after_too_many_visits_nobody_goes_until_the_reset_and_it_is_counted() -> None:
    limiter = RateLimiter()
    reset = int((time.time() + 0.6) * 1000)
    limiter.learn(PLACE, {"X-Bapi-Limit": "10", "X-Bapi-Limit-Reset-Timestamp": str(reset)}, 10006, time.monotonic())
    began = time.monotonic()
    await limiter.turn(PLACE, until=began + 3, urgent=True)
    assert 0.5 < time.monotonic() - began < 1.5
    assert limiter.usage()[1].refused == 1


async def test_an_address_that_is_turned_away_pauses_everything_but_exits() -> None:
    limiter = RateLimiter()
    limiter.address_refused()
    until = time.monotonic() + 1
    with pytest.raises(RetryLater, match="paused"):
        await limiter.turn(PLACE, until=until)
    await limiter.turn(PLACE, until=until, urgent=True)
    assert limiter.usage()[0].refused == 1
