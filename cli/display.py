"""How ``ats up`` shows the stack: a table kept current on a terminal, plain lines anywhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from workers.stack.status import PartStatus, StackStatus, State

_COLOURS = {
    State.READY: "green",
    State.STARTING: "cyan",
    State.WAITING: "dim",
    State.RESTARTING: "yellow",
    State.HELD: "yellow",
    State.STOPPING: "cyan",
    State.STOPPED: "dim",
    State.FAILED: "bold red",
}


class Display(Protocol):
    """Shows a stack while it is entered."""

    def show(self, status: StackStatus) -> None: ...
    def say(self, text: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def age(since: datetime | None) -> str:
    """Time since then as ``1:02:03``."""
    return str(timedelta(seconds=int((datetime.now(UTC) - since).total_seconds()))) if since else ""


def table_of(status: StackStatus) -> Table:
    """One line a part."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, side in (("part", "left"), ("state", "left"), ("pid", "right"), ("port", "right"), ("up", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    table.add_column("restarts", justify="right")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for part in status.parts:
        state = f"[{_COLOURS[part.state]}]{part.state}[/]"
        where = status.urls.get(part.name, "") if part.state is State.READY else part.detail
        table.add_row(
            part.name, state, _text(part.pid), _text(part.port), age(part.started_at), _text(part.restarts), where
        )
    return table


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


class LiveTable:
    """On a terminal. The table is made anew at every refresh, so that the uptimes run."""

    def __init__(self, console: Console) -> None:
        self._status: StackStatus | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2)

    def show(self, status: StackStatus) -> None:
        self._status = status

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def _render(self) -> Table:
        return table_of(self._status) if self._status else Table(box=None)


class PlainLines:
    """Without a terminal: a line for each change of a part's state."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[State, int | None]] = {}

    def show(self, status: StackStatus) -> None:
        for part in status.parts:
            now = (part.state, part.pid)
            if self._shown.get(part.name, (State.WAITING, None)) != now:
                self._shown[part.name] = now
                self.say(self._line(part))

    def say(self, text: str) -> None:
        typer.echo(f"{datetime.now(UTC):%H:%M:%S} {text}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @staticmethod
    def _line(part: PartStatus) -> str:
        facts = [f"{name} {value}" for name, value in (("pid", part.pid), ("port", part.port)) if value]
        facts += [part.detail] if part.detail else []
        return f"{part.name} {part.state}" + (f" ({', '.join(facts)})" if facts else "")


class Silent:
    """For ``--json``: nothing but what the command prints itself."""

    def show(self, status: StackStatus) -> None:
        return None

    def say(self, text: str) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
