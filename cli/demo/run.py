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
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from cli.demo.story import Story, Tell
from client import ApiError, AtsClient, Connection
from client.models import FlattenRequest, ScanView, StrategyChange
from config.credentials import api_key
from config.settings import Settings
from workers.stack import Stack, spare_settings
from workers.verify import Verdict, verify

_MOST_SECONDS = 240.0
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
    """``speed`` is market seconds a wall second; the run ends after ``scans`` scans (or four minutes)."""

    speed: float = 2400.0
    seed: int = 31
    scans: int = 96
    replay: tuple[Path, ...] = ()
    start: str | None = None
    symbols: tuple[str, ...] = field(default=())


class Outcome(BaseModel):
    """What the system did, by its own API, and the judge's verdict on it. USD."""

    seconds: float
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
            outcome = await _run(settings, options, tell, began)
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


async def _run(settings: Settings, options: DemoOptions, tell: Tell, began: float) -> Outcome:
    connection = Connection(settings.api_url, api_key(settings))
    story = Story(connection, tell)
    story.start()
    try:
        async with _client(connection) as client:
            tell(f"market at {options.speed:g} x; history is fetched, then every close of a candle is scanned")
            await _allow_for_speed(client, options.speed)
            await _let_it_decide(client, options.scans, tell)
            await _close_everything(client, tell)
            return await _outcome(client, settings, began)
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


async def _let_it_decide(client: AtsClient, wanted: int, tell: Tell) -> None:
    """Until so many scans are done. Raises TimeoutError when not even the first comes."""
    began = time.monotonic()
    done = 0
    while done < wanted:
        passed = time.monotonic() - began
        if not done and passed > _FIRST_SCAN_WITHIN:
            raise TimeoutError(f"no scan within {_FIRST_SCAN_WITHIN:g} s")
        if passed > _MOST_SECONDS:
            tell(f"{done} of {wanted} scans in {passed:.0f} s: the market is over, or this machine is busy")
            return
        await asyncio.sleep(0.5)
        done = len([scan for scan in await _scans(client) if scan.state == "done"])


async def _scans(client: AtsClient) -> list[ScanView]:
    return (await _asked(client.scans, limit=200)).items


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


async def _outcome(client: AtsClient, settings: Settings, began: float) -> Outcome:
    verdict = await verify(settings)
    scans = await _scans(client)
    blocked = (await _asked(client.blocked_signals, limit=200)).items
    opened = (await _asked(client.positions, limit=200)).items
    portfolio, pnl = await _asked(client.portfolio), await _asked(client.pnl, "all")
    return Outcome(
        seconds=round(time.monotonic() - began, 1),
        scans=len([scan for scan in scans if scan.state == "done"]),
        signals=sum(scan.candidates for scan in scans),
        entries=dict(sorted(Counter(one.strategy for one in opened if one.opened_at is not None).items())),
        blocked=dict(sorted(Counter(f"{one.strategy}: {one.gate}" for one in blocked).items())),
        snapshots=len(pnl.hours),
        net_pnl=f"{pnl.net_pnl:.4f}",
        equity=f"{portfolio.equity:.4f}" if portfolio.equity is not None else "unknown",
        verdict=verdict,
    )
