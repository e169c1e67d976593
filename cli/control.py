"""``ats trade halt | resume | flatten``: commands on the whole system."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cli.asking import Reason, Symbol, ask, checked, upper
from cli.context import Json, console, print_json
from client import new_key
from client.models import FlattenRequest, HaltRequest, HaltView


def register(trade_app: typer.Typer) -> None:
    for command in (halt, resume, flatten):
        trade_app.command()(command)


def halt(reason: Reason, json: Json = False) -> None:
    """No entries from now on; exits and stops go on."""
    request = checked(lambda: HaltRequest(reason=reason))
    _tell(ask(lambda api: api.halt(request), json), json)


def resume(reason: Reason, json: Json = False) -> None:
    """Let entries be made again."""
    request = checked(lambda: HaltRequest(reason=reason))
    _tell(ask(lambda api: api.resume(request), json), json)


def flatten(
    reason: Reason,
    symbol: Symbol = None,
    yes: Annotated[bool, typer.Option("--yes", help="don't ask")] = False,
    key: Annotated[str | None, typer.Option("--key", help="idempotency key: the same key flattens once")] = None,
    json: Json = False,
) -> None:
    """Halt entries and close every open position at market (with --symbol: close that one's, and halt nothing)."""
    request = checked(lambda: FlattenRequest(symbol=upper(symbol), reason=reason))
    if not yes:
        what = f"close every position of {request.symbol}" if request.symbol else "halt and close EVERY position"
        typer.confirm(f"Really {what} at market?", abort=True, err=True)
    used = key or new_key()
    accepted = ask(lambda api: api.flatten(request, key=used), json)
    if json:
        print_json(accepted.model_dump(mode="json"))
        return
    console.print(
        f"{accepted.positions} positions are being closed by [bold]{accepted.workflow_id}[/bold] (key {used})"
    )


def _tell(now: HaltView, as_json: bool) -> None:
    if as_json:
        print_json(now.model_dump(mode="json"))
        return
    state = "[bold red]halted[/]" if now.halted else "[green]trading[/]"
    console.print(f"{state} since {now.since:%Y-%m-%d %H:%M:%S} UTC: {escape(now.reason)} ({escape(now.changed_by)})")
