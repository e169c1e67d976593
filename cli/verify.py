"""``ats verify``: does what happened agree with the exchange's books, and is everything under way that should be?"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from cli.context import Json, console, errors, fail, load_settings, print_json
from workers.verify import MAX_UNPROTECTED_SECONDS, CannotVerify, Verdict
from workers.verify import verify as judge


def verify(
    max_unprotected: Annotated[
        float, typer.Option(min=0, help="Seconds for which a position may have been without any protection.")
    ] = MAX_UNPROTECTED_SECONDS,
    every_decision: Annotated[
        bool, typer.Option("--every-decision", help="Ask every decision again, not a sample: some 30 a second.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge the system by the exchange's books, the database and the running workflows. Exit code 1 when something
    is wrong, with a sentence for each finding."""
    try:
        verdict = asyncio.run(judge(load_settings(), max_unprotected, every_decision=every_decision))
    except CannotVerify as error:
        if as_json:
            print_json({"ok": False, "error": str(error)})
        fail(f"can't verify: {error}")
    if as_json:
        print_json(verdict.model_dump())
    else:
        show(verdict)
    for finding in verdict.findings:
        errors.print(finding, highlight=False, soft_wrap=True, markup=False)
    if not verdict.ok:
        raise typer.Exit(1)


def show(
    verdict: Verdict, title: str = "Judged by the exchange's books, the database and the running workflows"
) -> None:
    """The verdict's figures as a table."""
    table = Table(title=title)
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in verdict.model_dump(exclude={"findings", "exits", "not_judged", "ok"}).items():
        table.add_row(name.replace("_", " "), str(value))
        if name == "positions_active":
            for reason, count in verdict.exits.items():
                table.add_row(f"  closed by {reason}", str(count))
    for name in verdict.not_judged:
        table.add_row(name.replace("_", " "), "can't be judged here")
    console.print(table)
    console.print("[green]all of it agrees[/]" if verdict.ok else f"[red]{len(verdict.findings)} findings[/]")
