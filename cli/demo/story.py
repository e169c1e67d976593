"""The demo's story: audit events of the running system, one line each, as they are written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from client import ApiError, AtsClient, Connection
from client.models import EventView

Tell = Callable[[str], None]


def line_of(event: EventView, symbols: dict[str, str]) -> str | None:
    """The event in words, or None when it isn't part of the story. ``symbols`` remembers what a position is about."""
    detail = event.detail
    about = symbols.get(event.subject, event.subject)
    when = f"{event.market_at:%m-%d %H:%M:%S}" if event.market_at else f"{event.wall_at:%H:%M:%S}"
    if event.kind == "position_reserved":
        symbols[event.subject] = about = f"{detail['symbol']} {detail['side']}"
        return None
    if event.kind == "position_opened":
        return f"{when}  [cyan]open [/]  {about:<16} {_short(detail['qty'])} at {_short(detail['entry_price'])}"
    if event.kind == "position_closed":
        pnl = Decimal(detail["realised_pnl"])
        colour = "green" if pnl >= 0 else "red"
        return f"{when}  [bold]close[/]  {about:<16} {detail['exit_reason']:<22} [{colour}]{pnl:+.4f}[/] USDT"
    if event.kind == "scan_done":
        return f"{when}  [blue]scan [/]  {_scan(detail)}" if _worth_telling(detail) else None
    if event.kind == "signal_blocked":
        wanted = f"{detail['symbol']} {detail['strategy']}"
        return f"{when}  [magenta]block[/]  {wanted:<28} {detail['gate']}: {detail['value']} ({detail['threshold']})"
    if event.kind == "exit_requested":
        return f"{when}  [yellow]exit [/]  {about:<16} {detail['reason']} asked by {event.who}"
    if event.severity in ("warning", "page"):
        return f"{when}  [magenta]{event.kind}[/]  {about} {detail}"
    return None


def _worth_telling(detail: dict[str, Any]) -> bool:
    """A day has a scan an hour: those that came to something, and one a day."""
    return bool(detail["candidates"] or detail["exits"] or "1d" in detail["timeframes"])


def _scan(detail: dict[str, Any]) -> str:
    """A scan in words: what closed, how much was looked at, what came of it."""
    closed = "+".join(detail["timeframes"])
    counts = ", ".join(f"{detail[name]} {name}" for name in ("candidates", "accepted", "blocked", "exits"))
    return f"{closed} closed: {detail['symbols']} series, {counts}"


def _short(number: str) -> str:
    return f"{Decimal(number):.8g}"


class Story:
    """Tells events from a thread of its own until it is stopped."""

    def __init__(self, connection: Connection, tell: Tell) -> None:
        self._connection = connection
        self._tell = tell
        self._symbols: dict[str, str] = {}
        self._over = threading.Event()
        self._last = 0
        self._thread = threading.Thread(target=self._run, name="story", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell no more. The stream's end is not waited for: the thread ends with the process."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with AtsClient(self._connection) as client:
                    for event in client.event_stream(after=self._last):
                        if self._over.is_set():
                            return
                        self._last = event.id
                        line = line_of(event, self._symbols)
                        if line is not None:
                            self._tell(line)
            except ApiError:
                self._over.wait(0.5)
