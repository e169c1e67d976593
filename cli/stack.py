"""``ats up | down | status``: the local stack."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from cli.context import Json, api_connection, console, fail, load_settings, print_json
from cli.display import Display, LiveTable, PlainLines, Silent, table_of
from client import ApiError, AtsClient
from client.models import StatusView
from config.credentials import credentials_path
from config.settings import Settings
from workers.stack.binaries import MissingBinary
from workers.stack.lock import AlreadyRunning
from workers.stack.ports import PortTaken
from workers.stack.remote import DownFailed, end_running_stack, launch_detached, running_stack
from workers.stack.stack import Stack
from workers.stack.status import StackStatus
from workers.stack.supervisor import StackFailed

_EXPECTED = (AlreadyRunning, PortTaken, StackFailed, MissingBinary, OSError)


def up(
    as_json: Json = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return as soon as everything is ready.")] = False,
    ready_file: Annotated[Path | None, typer.Option(help="Write the status here when everything is ready.")] = None,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or `ats down`."""
    settings = load_settings()
    try:
        if detach:
            status = launch_detached(settings)
            _announce(status, settings, as_json, Silent() if as_json else PlainLines(), ready_file)
        else:
            asyncio.run(_foreground(settings, as_json, ready_file))
    except _EXPECTED as error:
        if as_json:
            print_json({"ready": False, "error": str(error)})
        fail(str(error))


def down(as_json: Json = False) -> None:
    """End the stack that runs here, wherever it was started."""
    settings = load_settings()
    try:
        pid = end_running_stack(settings)
    except DownFailed as error:
        fail(str(error))
    if as_json:
        print_json({"ended": pid is not None, "pid": pid})
    else:
        typer.echo(f"ended (launcher {pid})" if pid else "nothing to end: no stack runs here")


def status(as_json: Json = False) -> None:
    """Show each process of the running stack, and what the API says of the system. Exit code 1 when no stack runs
    here or a process isn't ready."""
    settings = load_settings()
    told = running_stack(settings)
    system = _system(settings)
    if as_json:
        summary = _summary(told, settings) if told else {}
        print_json({"running": told is not None, **summary, "system": system and system.model_dump(mode="json")})
    else:
        _show(told, system)
    if told is None or not told.ready:
        raise typer.Exit(1)


def _show(told: StackStatus | None, system: StatusView | None) -> None:
    if told is None:
        typer.echo("no stack runs here: start it with `make up` or `ats up`")
    else:
        console.print(table_of(told))
    if system is None:
        return
    console.print(f"\n{system.mode} trading, {system.open_positions} open positions")
    for component in (*system.components, *system.workers):
        mark = "[green]ok[/]  " if component.ok else "[yellow]wait[/]"
        console.print(f"{mark} {component.name:<14} {component.detail}", highlight=False)
    _show_exchange(system)


def _show_exchange(system: StatusView) -> None:
    """How the processes stand with the exchange: clock, order entry, streams that are not whole, busy rate limits."""
    for link in system.links:
        offset = "not measured yet" if link.clock_offset_ms is None else f"{link.clock_offset_ms:+.0f} ms"
        age = "" if link.clock_age_seconds is None else f", {link.clock_age_seconds:.0f} s ago"
        line = f"{link.process}: orders by {link.order_entry}, exchange's clock {offset}{age}"
        console.print(line, highlight=False)
    broken = [stream for stream in system.streams if not stream.connected]
    oldest = max((stream.age_seconds for stream in system.streams if stream.age_seconds is not None), default=None)
    told = "" if oldest is None else f", the oldest heard {oldest:.1f} s ago"
    console.print(f"{len(system.streams) - len(broken)} of {len(system.streams)} streams live{told}", highlight=False)
    for stream in broken:
        age = "never heard" if stream.age_seconds is None else f"last heard {stream.age_seconds:.0f} s ago"
        console.print(f"[yellow]wait[/] {stream.name} {age}", highlight=False)
    for rate in system.rates:
        if rate.waiting or rate.refused:
            line = f"{rate.name}: {rate.per_second:g} a second, {rate.waiting} waiting, {rate.refused} refused"
            console.print(f"[yellow]rate[/] {line}", highlight=False)


def _system(settings: Settings) -> StatusView | None:
    """What the API says; None without an API to ask."""
    try:
        with AtsClient(api_connection(settings), timeout_seconds=3) as api:
            return api.status()
    except ApiError:
        return None


async def _foreground(settings: Settings, as_json: bool, ready_file: Path | None) -> None:
    """Start, stay until a signal or a failure, end. A second signal ends at once, the hard way."""
    display: Display = Silent() if as_json else LiveTable(console) if console.is_terminal else PlainLines()
    asked_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if asked_to_end.is_set():
            # children die with us: the system sees to it
            os.kill(os.getpid(), signal.SIGKILL)
        asked_to_end.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    stack = Stack(settings, on_change=display.show)
    with display:
        try:
            started = await _unless(asked_to_end, stack.start())
            if started:
                _announce(stack.status(), settings, as_json, display, ready_file)
                await _unless(asked_to_end, stack.wait())
        finally:
            await stack.stop()


async def _unless(event: asyncio.Event, work) -> bool:
    """Do ``work`` to its end (True) or until ``event`` (False). Errors of the work pass."""
    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if doing.done():
        await doing
        return True
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    return False


def _announce(
    status: StackStatus, settings: Settings, as_json: bool, display: Display, ready_file: Path | None
) -> None:
    summary = _summary(status, settings)
    if ready_file is not None:
        ready_file.write_text(json.dumps(summary, default=str))
    if as_json:
        print_json(summary)
        return
    display.say(f"ready in {status.seconds_to_ready} s, {settings.exchange.mode} trading")
    for title, url in _addresses(status, settings).items():
        display.say(f"  {title:<16} {url}")
    display.say(f"  {'API key':<16} in {credentials_path(settings)}")
    display.say("Ctrl-C or `make down` ends it; everything is kept and found again by the next `make up`")


def _addresses(status: StackStatus, settings: Settings) -> dict[str, str]:
    titles = {"ui": "web UI", "api": "API", "temporal": "Temporal", "exchange": "paper exchange"}
    found = {titles[name]: status.urls[name] for name in titles if name in status.urls}
    if "API" in found:
        found["API docs"] = f"{found['API']}/docs"
    return found


def _summary(status: StackStatus, settings: Settings) -> dict[str, object]:
    return {
        "ready": status.ready,
        "seconds_to_ready": status.seconds_to_ready,
        "launcher_pid": status.launcher_pid,
        "mode": settings.exchange.mode,
        "urls": status.urls,
        "parts": [part.model_dump(mode="json", exclude={"born", "stop_signal"}) for part in status.parts],
    }
