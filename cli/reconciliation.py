"""``ats foreign | reconciliations | reconcile``, and the orders in doubt: the exchange held against our books."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.asking import Limit, ask, checked
from cli.context import Json, console, print_json
from cli.exchange_tables import doubt_table, foreign_story, reconciliation_story, reconciliation_table
from client import new_key
from client.models import ReconcileNow

Hours = Annotated[int, typer.Option("--hours", min=0, max=720, help="also what ended within so many hours")]


def register(app: typer.Typer) -> None:
    for command in (foreign, reconciliations, reconcile):
        app.command()(command)


def unknown_orders(limit: int, as_json: bool) -> None:
    """Orders whose answer was lost: in doubt now, and resolved within the last day."""
    told = ask(lambda api: api.unknown_orders(limit=limit), as_json)
    if as_json:
        print_json(told.model_dump(mode="json"))
        return
    shown = [*told.in_doubt, *told.resolved]
    console.print(doubt_table(shown) if shown else "no order is in doubt, and none was within the last day")


def foreign(hours: Hours = 24, json: Json = False) -> None:
    """Orders, positions and coins on the account that are none of ours."""
    told = ask(lambda api: api.foreign(gone_hours=hours), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    empty = not (told.orders or told.positions or told.coins)
    console.print("nothing on the account is foreign" if empty else foreign_story(told))


def reconciliations(
    identity: Annotated[int | None, typer.Argument(metavar="ID", min=1, help="show this one in full")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """Comparisons of our books with the exchange, newest first; with an ID all that one did and found."""
    if identity is not None:
        one = ask(lambda api: api.reconciliation(identity), json)
        if json:
            print_json(one.model_dump(mode="json"))
        else:
            console.print(reconciliation_story(one))
        return
    page = ask(lambda api: api.reconciliations(limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(reconciliation_table(page.items) if page.items else "nothing was compared yet")


def reconcile(
    reason: Annotated[str, typer.Option("--reason", help="why; it goes into the audit log")] = "by hand",
    key: Annotated[str | None, typer.Option("--key", help="idempotency key: the same key compares once")] = None,
    json: Json = False,
) -> None:
    """Compare the whole account now. Exit code 1 when something stands unexplained."""
    request = checked(lambda: ReconcileNow(reason=reason))
    used = key or new_key()
    done = ask(lambda api: api.reconcile(request, key=used), json)
    if json:
        print_json(done.model_dump(mode="json"))
    else:
        console.print(reconciliation_story(done))
    if done.drift:
        raise typer.Exit(1)
