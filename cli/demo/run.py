"""The demo's run: a whole stack of its own, entries as an operator orders them, an end to all of them, a verdict."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cli.demo.plan import entries
from cli.demo.story import Story, Tell
from client import ApiError, AtsClient, Connection
from client.models import Category, CloseRequest, InstrumentView, TradeRequest
from config.credentials import api_key
from config.settings import Settings
from workers.judge import Verdict, judge_run
from workers.stack import Stack, spare_settings

_AT_ONCE = 8
_READY_WITHIN = 60.0
_CLOSED_WITHIN = 45.0


@dataclass(frozen=True)
class DemoOptions:
    """``speed`` is market seconds a wall second; ``seconds`` (wall) is for how long new positions are opened."""

    speed: float = 300.0
    seed: int = 7
    seconds: float = 75.0
    replay: tuple[Path, ...] = ()
    start: str | None = None
    symbols: tuple[str, ...] = field(default=())


class DemoFailed(RuntimeError):
    """The demo could not be brought to its end; the message says where its logs are."""


async def run_demo(options: DemoOptions, tell: Tell) -> Verdict:
    """Run it to its end. Raises DemoFailed (data and logs kept), or what the stack raises when it can't start."""
    folder = Path(tempfile.mkdtemp(prefix="ats-demo-"))
    folder.chmod(0o711)  # PostgreSQL's own user must reach its data
    settings = _settings(folder, options)
    try:
        async with Stack(settings) as stack:
            tell(
                f"everything is ready after {stack.seconds_to_ready:.1f} s; dashboard http://127.0.0.1:{settings.ui.port}"
            )
            verdict = await _trade(settings, options, tell)
    except (ApiError, TimeoutError) as error:
        raise DemoFailed(f"{error} (data and logs are kept in {folder})") from error
    shutil.rmtree(folder, ignore_errors=True)
    return verdict


def _settings(folder: Path, options: DemoOptions) -> Settings:
    paper: dict[str, object] = {"speed": options.speed, "seed": options.seed, "start": options.start}
    if options.replay:
        paper["replay"] = [_absolute(path) for path in options.replay]
    if options.symbols:
        paper["symbols"] = list(options.symbols)
    return spare_settings(folder, exchange={"paper": paper})


def _absolute(path: Path) -> str:
    """The file's full path; a prefix ``spot:`` or ``linear:`` stays in front."""
    category, colon, file = str(path).rpartition(":")
    return f"{category}{colon}{Path(file).resolve()}"


async def _trade(settings: Settings, options: DemoOptions, tell: Tell) -> Verdict:
    connection = Connection(settings.api_url, api_key(settings))
    story = Story(connection, tell)
    story.start()
    try:
        async with _client(connection) as client:
            instruments = await _instruments(client)
            tell(f"trading {len(instruments)} instruments at {options.speed:g} x market speed")
            await _keep_opening(client, instruments, options.seconds, tell)
            await _close_the_rest(client, tell)
    finally:
        story.stop()
    return await judge_run(settings)


@asynccontextmanager
async def _client(connection: Connection) -> AsyncIterator[AtsClient]:
    client = AtsClient(connection)
    try:
        yield client
    finally:
        client.close()


async def _instruments(client: AtsClient) -> list[InstrumentView]:
    """What can be traded, once the market stream has told it."""
    deadline = time.monotonic() + _READY_WITHIN
    while True:
        found = [one for one in await asyncio.to_thread(client.instruments) if one.tradable]
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError("no instruments: the market stream did not start")
        await asyncio.sleep(0.2)


async def _keep_opening(client: AtsClient, instruments: list[InstrumentView], seconds: float, tell: Tell) -> None:
    """Keep some positions open: a new one for each that closed, until the time is over."""
    wanted = entries(instruments)
    places = min(_AT_ONCE, len(instruments))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        held = await asyncio.to_thread(client.positions, state="active", limit=200)
        taken = {(position.category, position.symbol) for position in held.items}
        request = _next_free(wanted, taken, 2 * len(instruments))
        if len(held.items) >= places or request is None:
            await asyncio.sleep(0.5)
            continue
        try:
            await asyncio.to_thread(client.trade, request)
        except ApiError as refused:
            tell(f"          refused {request.symbol}: {refused}")
            await asyncio.sleep(0.5)


def _next_free(wanted: Iterator[TradeRequest], taken: set[tuple[Category, str]], tries: int) -> TradeRequest | None:
    """The next entry whose symbol nobody holds, if one comes within ``tries``."""
    return next((one for one in islice(wanted, tries) if (one.market, one.symbol) not in taken), None)


async def _close_the_rest(client: AtsClient, tell: Tell) -> None:
    tell("no more entries; what is still open is closed by hand")
    deadline = time.monotonic() + _CLOSED_WITHIN
    asked: set[str] = set()
    while True:
        held = (await asyncio.to_thread(client.positions, state="active", limit=200)).items
        if not held:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(held)} positions did not close within {_CLOSED_WITHIN:g} s")
        for position in held:
            if position.state == "open" and position.id not in asked:
                try:
                    request = CloseRequest(reason="the demo is over")
                    await asyncio.to_thread(client.close_position, position.id, request)
                    asked.add(position.id)
                except ApiError as refused:  # it closed by itself in the meantime
                    tell(f"          not closed by hand {position.symbol}: {refused}")
                    asked.add(position.id)
        await asyncio.sleep(0.3)
