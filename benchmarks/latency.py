"""From the trade that crosses a stop to the exit order at the exchange: both ends on the exchange's own clock.

A firing passes the fence first (one committed transaction of PostgreSQL, on disk), which is what makes it happen once.
The reference does the same on the same exchange without any of that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from benchmarks.registry import Figure, benchmark
from benchmarks.system import SYMBOL, MeasuredSystem, measured_system, priced
from benchmarks.timing import machine_load, percentile
from config.credentials import exchange_keys
from domain.exits import ExitPolicy, ExitReason
from domain.ids import OrderRole, order_link_id
from domain.market import Category

FIRINGS = 100
REFERENCE = "bare round trip: plain socket and order, no fence, no database"
_LEVEL, _CROSSED = Decimal(60_000), Decimal(59_000)
_TIGHT = ExitPolicy(stop_loss_pct=Decimal(1))
_BEYOND_TIGHT = Decimal("-1.1")  # through the guard's stop, not yet at the one that rests at the exchange
_WIDE = ExitPolicy(stop_loss_pct=Decimal(30))
_OPENED_AT_ONCE = 10


@benchmark("tick_to_exit")
async def tick_to_exit() -> AsyncIterator[Figure]:
    """Milliseconds from publishing the crossing trade to the exit's arrival, one guard firing among 1 and among 50."""
    async with measured_system() as system:
        bare = await bare_round_trips(system, FIRINGS)
        waiting = 0
        for guards in (1, 50):
            await add_waiting_guards(system, waiting, guards - 1)
            waiting = guards - 1
            load_before = machine_load()["load"]
            measured = await firings(system, FIRINGS, f"firing-{guards}")
            config = {"guards": guards, "firings": FIRINGS, **machine_load(), "load_before": load_before}
            for percent in (50, 99):
                name = f"tick_to_exit_p{percent}_{guards}_guard{'s' if guards > 1 else ''}"
                yield Figure(name, percentile(measured, percent), "ms", REFERENCE, percentile(bare, percent), config)


async def firings(system: MeasuredSystem, count: int, strategy: str) -> list[float]:
    """Let ``count`` guards fire one after the other, each alone, and return how long each took in ms.

    Raises AssertionError when one left for another reason than its stop.
    """
    published: dict[str, int] = {}
    upcoming = await system.open(Category.SPOT, _TIGHT, f"{strategy}-0")
    for number in range(count):
        handle = upcoming
        position = await system.watched(handle)
        link = order_link_id(position.position_id, OrderRole.EXIT)
        published[link] = await system.push(Category.SPOT, priced(position, _BEYOND_TIGHT))
        settled = await handle.result()
        if settled.exit_reason is not ExitReason.STOP_LOSS:
            raise AssertionError(f"{handle.id} left by {settled.exit_reason}: not what was to be measured")
        await system.push(Category.SPOT, _LEVEL)
        if number + 1 < count:
            upcoming = await system.open(Category.SPOT, _TIGHT, f"{strategy}-{number + 1}")
    arrived = await system.arrivals()
    return [arrived[link] - at_ns / 1e6 for link, at_ns in published.items()]


async def add_waiting_guards(system: MeasuredSystem, already: int, wanted: int) -> None:
    """Open positions whose guards see every trade and never fire, until there are ``wanted`` of them."""
    numbers = range(already, wanted)
    for start in range(0, len(numbers), _OPENED_AT_ONCE):
        names = [f"waiting-{number}" for number in numbers[start : start + _OPENED_AT_ONCE]]
        group = await asyncio.gather(*(system.open(Category.SPOT, _WIDE, name) for name in names))
        await asyncio.gather(*(system.watched(handle) for handle in group))


async def bare_round_trips(system: MeasuredSystem, count: int) -> list[float]:
    """The same way for the reference program: ms from publishing to arrival, ``count`` times."""
    published: dict[str, int] = {}
    async with bare_program(system) as told:
        for _ in range(count):
            at_ns = await system.push(Category.SPOT, _CROSSED)
            published[await next_line(told)] = at_ns
            await system.push(Category.SPOT, _LEVEL)
    arrived = await system.arrivals()
    return [arrived[link] - at_ns / 1e6 for link, at_ns in published.items()]


@asynccontextmanager
async def bare_program(system: MeasuredSystem) -> AsyncIterator[asyncio.StreamReader]:
    """The reference program, subscribed; what it prints. Killed at the end."""
    key, secret = exchange_keys(system.settings)
    command = ("-m", "benchmarks.bare_exit", system.settings.paper_url, SYMBOL, str(_CROSSED))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ATS_PAPER_KEY": key, "ATS_PAPER_SECRET": secret},
        cwd=Path(__file__).resolve().parents[1],
    )
    try:
        assert process.stdout is not None
        assert await next_line(process.stdout) == "ready"
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def next_line(told: asyncio.StreamReader) -> str:
    line = (await asyncio.wait_for(told.readline(), timeout=30)).decode().strip()
    if not line:
        raise RuntimeError("the reference program ended")
    return line
