"""``ats data backfill``: market history, fetched durably by the workers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from cli.asking import ask, checked, instant, upper
from cli.context import Json, console, fail, print_json
from cli.decision_tables import backfill_table
from client.models import BackfillRequest, BackfillView, Timeframe

app = typer.Typer(no_args_is_help=True, help="Market data.")

_LOOK_SECONDS = 1.0

From = Annotated[
    datetime | None,
    typer.Option("--since", parser=instant, metavar="INSTANT", help="from this market time; default: enough to decide"),
]


@app.callback()
def _group() -> None:
    """Keeps ``backfill`` a command of its own while it is the only one."""


@app.command()
def backfill(
    symbol: Annotated[str | None, typer.Argument(help="default: every symbol of the universe")] = None,
    timeframe: Annotated[Timeframe | None, typer.Option("--timeframe", help="default: all five")] = None,
    since: From = None,
    follow: Annotated[bool, typer.Option("--follow", help="stay and show progress until it is done")] = False,
    json: Json = False,
) -> None:
    """Fetch candles that are missing. Exit code 1 when --follow sees one fail."""
    request = checked(lambda: BackfillRequest(symbol=upper(symbol), timeframe=timeframe, since=since))
    accepted = ask(lambda api: api.backfill(request), json)
    wanted = frozenset(accepted.workflow_ids)
    rows = _followed(wanted, json) if follow else []
    if json:
        told = [each.model_dump(mode="json") for each in rows]
        print_json({**accepted.model_dump(mode="json"), **({"backfills": told} if follow else {})})
    elif follow:
        console.print(backfill_table(rows))
    else:
        console.print(f"{len(wanted)} backfills are under way; --follow shows them")
    if failed := [each for each in rows if each.state == "failed"]:
        fail(f"{len(failed)} of {len(rows)} backfills failed")


def _followed(wanted: frozenset[str], as_json: bool) -> list[BackfillView]:
    """The backfills of these workflows, once none is under way any more."""
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, disable=as_json, transient=True) as progress:
        while True:
            rows = [each for each in ask(lambda api: api.backfills(), as_json) if _identity(each) in wanted]
            _draw(progress, bars, rows)
            if len(rows) == len(wanted) and all(each.state in ("done", "failed") for each in rows):
                return rows
            time.sleep(_LOOK_SECONDS)


def _draw(progress: Progress, bars: dict[str, TaskID], rows: Iterable[BackfillView]) -> None:
    for each in rows:
        identity = _identity(each)
        if identity not in bars:
            bars[identity] = progress.add_task(f"{each.symbol} {each.timeframe}", total=1.0)
        progress.update(bars[identity], completed=each.progress)


def _identity(row: BackfillView) -> str:
    return f"backfill/{row.symbol}/{row.timeframe}"
