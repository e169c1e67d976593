"""The command ``ats demo``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from cli.context import Json, console, errors, fail, print_json
from cli.demo.run import DemoFailed, DemoOptions, Outcome, run_demo
from workers.candle_files import first_defect
from workers.stack import PortTaken, StackFailed
from workers.verify import CannotVerify


def demo(
    replay: Annotated[
        list[Path] | None, typer.Option(help="Play the candles of this file (parquet or CSV); may be given again.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="Further files to play.")] = None,
    start: Annotated[str | None, typer.Option(help="Market time at which to begin, ISO 8601.")] = None,
    speed: Annotated[
        str, typer.Option(help="Market seconds a wall second, 1 to 5000, or step: the market waits for the system.")
    ] = "2400",
    scans: Annotated[
        int, typer.Option(min=1, max=10_000, help="End after so many scans (one an hour of the market).")
    ] = 96,
    minutes: Annotated[float, typer.Option(min=0.5, help="End after so many minutes of the wall all the same.")] = 4.0,
    every_strategy: Annotated[
        bool, typer.Option("--every-strategy", help="All eleven may open, not the two alone that do at first.")
    ] = False,
    every_decision: Annotated[
        bool, typer.Option("--every-decision", help="Ask every decision again at the end, not a sample.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 31,
    as_json: Json = False,
) -> None:
    """The main job in one go: candles close, scans decide, positions trail and exit, and the books balance."""
    files: tuple[Path, ...] = (*(replay or ()), *(more or ()))
    missing = [str(path) for path in files if not Path(str(path).split(":", 1)[-1]).is_file()]
    if missing:
        fail(f"no such candle file: {', '.join(missing)}", code=2)
    defect = first_defect(files)
    if defect is not None:
        if as_json:
            print_json({"error": defect})
        fail(defect)
    teller = errors if as_json else console
    options = DemoOptions(
        speed=_speed(speed),
        seed=seed,
        scans=scans,
        minutes=minutes,
        every_strategy=every_strategy,
        every_decision=every_decision,
        replay=files,
        start=start,
    )
    try:
        outcome = asyncio.run(run_demo(options, lambda line: teller.print(line, highlight=False)))
    except (DemoFailed, StackFailed, PortTaken, CannotVerify, OSError) as error:
        if as_json:
            print_json({"error": str(error)})
        fail(str(error))
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    else:
        _show(outcome)
    if not outcome.verdict.ok:
        fail("the judge found something: see above")


def _speed(text: str) -> float | Literal["step"]:
    if text == "step":
        return text
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 1 <= speed <= 5000:
        fail(f"--speed is a number from 1 to 5000, or step, not {text}", code=2)
    return speed


def _show(outcome: Outcome) -> None:
    table = Table(title=f"The run in figures ({outcome.seconds:.0f} s)")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in outcome.model_dump(exclude={"verdict", "seconds"}).items():
        _add(table, name, value)
    table.add_section()
    for name, value in outcome.verdict.model_dump(mode="json").items():
        _add(table, name, value)
    console.print(table)


def _add(table: Table, name: str, value: object) -> None:
    """A row, or one for each entry of a mapping or list."""
    label = name.replace("_", " ")
    if isinstance(value, dict):
        for key, each in value.items():
            table.add_row(f"{label}: {key}", str(each))
    elif isinstance(value, list):
        for each in value:
            table.add_row(label, str(each))
    else:
        table.add_row(label, str(value))
