"""The command ``ats demo``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.context import Json, console, errors, fail, print_json
from cli.demo.run import DemoFailed, DemoOptions, run_demo
from workers.candle_files import first_defect
from workers.judge import Verdict
from workers.stack import PortTaken, StackFailed


def demo(
    replay: Annotated[
        list[Path] | None, typer.Option(help="Play the candles of this file (parquet or CSV); may be given again.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="Further files to play.")] = None,
    start: Annotated[str | None, typer.Option(help="Market time at which to begin, ISO 8601.")] = None,
    speed: Annotated[float, typer.Option(min=1, max=5000, help="Market seconds a wall second.")] = 300.0,
    seconds: Annotated[float, typer.Option(min=10, max=3600, help="How long positions are opened (wall).")] = 75.0,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
    as_json: Json = False,
) -> None:
    """The main job in one go: a stack of its own, entries, trailing exits, and a ledger that balances."""
    files: tuple[Path, ...] = (*(replay or ()), *(more or ()))
    missing = [str(path) for path in files if not Path(str(path).split(":", 1)[-1]).is_file()]
    if missing:
        fail(f"no such candle file: {', '.join(missing)}", code=2)
    defect = first_defect(files)
    if defect is not None:
        if as_json:
            print_json({"error": defect})
        fail(defect)
    began = time.monotonic()
    teller = errors if as_json else console
    try:
        verdict = asyncio.run(
            run_demo(
                DemoOptions(speed=speed, seed=seed, seconds=seconds, replay=files, start=start),
                lambda line: teller.print(line, highlight=False),
            )
        )
    except (DemoFailed, StackFailed, PortTaken, OSError) as error:
        if as_json:
            print_json({"error": str(error)})
        fail(str(error))
    if as_json:
        print_json(verdict.model_dump())
    else:
        _show(verdict, time.monotonic() - began)
    if verdict.ledger_drift != "0" or verdict.duplicate_orders:
        fail("the ledger and the exchange's books disagree")


def _show(verdict: Verdict, seconds: float) -> None:
    table = Table(title=f"The run, judged by the exchange's books and the database ({seconds:.0f} s)")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in verdict.model_dump().items():
        if name == "exits":
            for reason, count in value.items():
                table.add_row(f"closed: {reason}", str(count))
        else:
            table.add_row(name.replace("_", " "), str(value))
    console.print(table)
