"""``ats signals | blocked | portfolio``: what was decided and why, and what it is all worth."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.asking import Limit, Since, Symbol, ask, upper
from cli.context import Json, console, print_json
from cli.decision_tables import blocked_table, portfolio_story, signal_table
from client.models import GateCode

Strategy = Annotated[str | None, typer.Option("--strategy", help="only this strategy's")]


def register(app: typer.Typer) -> None:
    for command in (signals, blocked, portfolio):
        app.command()(command)


def signals(
    symbol: Symbol = None,
    strategy: Strategy = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="blocked, accepted, or the state of the position it became")
    ] = None,
    since: Since = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Signals and what became of them, newest first."""
    page = ask(
        lambda api: api.signals(symbol=upper(symbol), strategy=strategy, outcome=outcome, since=since, limit=limit),
        json,
    )
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(signal_table(page.items) if page.items else "no such signal; what is watched: ats watchlist")


def blocked(
    symbol: Symbol = None,
    strategy: Strategy = None,
    gate: Annotated[GateCode | None, typer.Option("--gate", help="only what this gate stopped")] = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="every gate that blocked, not only the reason")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Why signals did not become positions, newest first."""
    code = gate.value if gate is not None else None
    page = ask(
        lambda api: api.blocked_signals(
            symbol=upper(symbol), strategy=strategy, gate=code, since=since, every=every, limit=limit
        ),
        json,
    )
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(blocked_table(page.items) if page.items else "nothing was blocked")


def portfolio(json: Json = False) -> None:
    """What the account is worth, what it brought, and where it is."""
    told = ask(lambda api: api.portfolio(), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    console.print(portfolio_story(told))
