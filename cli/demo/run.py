"""The demo's run: a stack of its own in which the system decides for itself; an end to all positions; a verdict."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel

from cli.demo.story import Story, Tell
from client import ApiError, AtsClient, Connection
from client.models import BulkChange, BulkFields, BulkRequest, FlattenRequest, Page, StrategyChange
from config.credentials import api_key
from config.settings import Settings
from workers.stack import Stack, spare_settings
from workers.verify import Verdict, verify

_FIRST_SCAN_WITHIN = 90.0
_CLOSED_WITHIN = 45.0
_SIGNALS_KEEP = 4.0
_TICKS_PER_MINUTE = 1.0
"""A quarter of the paper exchange's own: at thousands of times market speed every tick costs wall time."""

_RATE_LIMITS = 50.0
"""Limits count wall time, in which this market lives many hours a minute."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class DemoOptions:
    """``speed`` is market seconds a wall second, or ``step``: the market waits for the system. The run ends after
    ``scans`` scans, or ``minutes`` of the wall. ``every_strategy`` may open, not those alone that do at first;
    ``every_decision`` is asked again at the end, not a sample."""

    speed: float | Literal["step"] = 2400.0
    seed: int = 31
    scans: int = 96
    minutes: float = 4.0
    every_strategy: bool = False
    every_decision: bool = False
    replay: tuple[Path, ...] = ()
    start: str | None = None
    symbols: tuple[str, ...] = field(default=())


class Outcome(BaseModel):
    """What the system did, by its own API, and the judge's verdict on it. USD."""

    seconds: float
    cpu_seconds: dict[str, float]
    market_from: datetime | None
    market_until: datetime | None
    scans: int
    signals: int
    entries: dict[str, int]
    blocked: dict[str, int]
    snapshots: int
    net_pnl: str
    equity: str
    verdict: Verdict


class DemoFailed(RuntimeError):
    """The demo could not be brought to its end; the message says where its logs are."""


async def run_demo(options: DemoOptions, tell: Tell) -> Outcome:
    """Run it to its end. Raises DemoFailed (data and logs kept), or what the stack raises when it can't start."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ats-demo-"))
    folder.chmod(0o711)  # PostgreSQL's own user must reach its data
    settings = _settings(folder, options)
    try:
        async with Stack(settings) as stack:
            ready, page = stack.seconds_to_ready, f"http://127.0.0.1:{settings.ui.port}"
            tell(f"everything is ready after {ready:.1f} s; dashboard {page}")
            outcome = await _run(stack, options, tell, began)
    except (ApiError, TimeoutError) as error:
        raise DemoFailed(f"{error} (data and logs are kept in {folder})") from error
    if outcome.verdict.ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        tell(f"data and logs are kept in {folder}")
    return outcome


def _settings(folder: Path, options: DemoOptions) -> Settings:
    paper: dict[str, object] = {
        "speed": options.speed,
        "seed": options.seed,
        "start": options.start,
        "ticks_per_minute": _TICKS_PER_MINUTE,
        "rate_limits": _RATE_LIMITS,
    }
    if options.replay:
        paper["replay"] = [_absolute(path) for path in options.replay]
    if options.symbols:
        paper["symbols"] = list(options.symbols)
    return spare_settings(folder, exchange={"paper": paper})


def _absolute(path: Path) -> str:
    """The file's full path; a prefix ``spot:`` or ``linear:`` stays in front."""
    category, colon, file = str(path).rpartition(":")
    return f"{category}{colon}{Path(file).resolve()}"


async def _run(stack: Stack, options: DemoOptions, tell: Tell, began: float) -> Outcome:
    settings = stack.settings
    connection = Connection(settings.api_url, api_key(settings))
    story = Story(connection, tell)
    story.start()
    try:
        async with _client(connection) as client:
            pace = "goes in steps" if options.speed == "step" else f"at {options.speed:g} x"
            tell(f"market {pace}; history is fetched, then every close of a candle is scanned")
            if options.every_strategy:
                await _let_every_strategy_open(client)
            if options.speed != "step":
                await _allow_for_speed(client, options.speed)
            await _let_it_decide(client, options, tell)
            await _close_everything(client, tell)
            return await _outcome(client, stack, options, began)
    finally:
        story.stop()


@asynccontextmanager
async def _client(connection: Connection) -> AsyncIterator[AtsClient]:
    client = AtsClient(connection)
    try:
        yield client
    finally:
        client.close()


async def _allow_for_speed(client: AtsClient, speed: float) -> None:
    """Signals keep for at least some wall seconds: at 2400 x an hour of the market is over in one and a half."""
    seconds = math.ceil(_SIGNALS_KEEP * speed)
    for strategy in await _asked(client.strategies):
        if strategy.signal_ttl_seconds < seconds:
            change = StrategyChange(
                signal_ttl_seconds=seconds, reason=f"a demo at {speed:g} x", expected_version=strategy.version
            )
            await _asked(client.change_strategy, strategy.strategy, change)


async def _let_every_strategy_open(client: AtsClient) -> None:
    changes = [
        BulkChange(strategy=each.strategy, seen_version=each.version, fields=BulkFields(buy_gate=True))
        for each in await _asked(client.strategies)
    ]
    await _asked(client.change_strategies, BulkRequest(changes=changes, reason="a demo of every strategy"))


async def _let_it_decide(client: AtsClient, options: DemoOptions, tell: Tell) -> None:
    """Until so many scans are done. Raises TimeoutError when not even the first comes."""
    began = time.monotonic()
    done: set[datetime] = set()
    while len(done) < options.scans:
        passed = time.monotonic() - began
        if not done and passed > _FIRST_SCAN_WITHIN:
            raise TimeoutError(f"no scan within {_FIRST_SCAN_WITHIN:g} s")
        if passed > options.minutes * 60:
            told = f"{len(done)} of {options.scans} scans in {passed:.0f} s"
            tell(f"{told}: the market is over, or this machine is busy")
            return
        await asyncio.sleep(0.5)
        done |= {scan.close_at for scan in (await _asked(client.scans, limit=50)).items if scan.state == "done"}


async def _every(call: Callable[..., Page[Answer]], **named: object) -> list[Answer]:
    """Everything that a list has, page by page."""
    found: list[Answer] = []
    page = await _asked(call, limit=200, **named)
    while True:
        found += page.items
        if page.next_cursor is None:
            return found
        page = await _asked(call, limit=200, cursor=page.next_cursor, **named)


async def _asked(call: Callable[..., Answer], *arguments: object, **named: object) -> Answer:
    return await asyncio.to_thread(call, *arguments, **named)


async def _close_everything(client: AtsClient, tell: Tell) -> None:
    tell("no more entries; what is still open is closed at market")
    await _asked(client.flatten, FlattenRequest(reason="the demo is over"))
    deadline = time.monotonic() + _CLOSED_WITHIN
    while (await _asked(client.positions, state="active", limit=200)).items:
        if time.monotonic() > deadline:
            raise TimeoutError(f"positions did not close within {_CLOSED_WITHIN:g} s")
        await asyncio.sleep(0.3)


async def _outcome(client: AtsClient, stack: Stack, options: DemoOptions, began: float) -> Outcome:
    spent = {name: round(seconds, 1) for name, seconds in sorted(stack.cpu_seconds().items())}
    verdict = await verify(stack.settings, every_decision=options.every_decision)
    scans = [scan for scan in await _every(client.scans) if scan.state == "done"]
    blocked, opened = await _every(client.blocked_signals), await _every(client.positions)
    portfolio, pnl = await _asked(client.portfolio), await _asked(client.pnl, "all")
    return Outcome(
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=spent,
        market_from=min((scan.close_at for scan in scans), default=None),
        market_until=max((scan.close_at for scan in scans), default=None),
        scans=len(scans),
        signals=sum(scan.candidates for scan in scans),
        entries=dict(sorted(Counter(one.strategy for one in opened if one.opened_at is not None).items())),
        blocked=dict(sorted(Counter(f"{one.strategy}: {one.gate}" for one in blocked).items())),
        snapshots=len(pnl.hours),
        net_pnl=f"{pnl.net_pnl:.4f}",
        equity=f"{portfolio.equity:.4f}" if portfolio.equity is not None else "unknown",
        verdict=verdict,
    )
