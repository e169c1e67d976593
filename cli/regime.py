"""``ats regime show | history | rebuild``: the market's regime, what it was, and computing a past without one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from cli.asking import AsOf, Limit, Reason, Since, ask, checked, instant
from cli.context import Json, console, print_json
from cli.regime_tables import regime_story, regimes_table, terms_table
from client.models import RegimeRebuildRequest

app = typer.Typer(no_args_is_help=True, help="The market's regime.")

From = Annotated[datetime, typer.Option("--from", parser=instant, metavar="INSTANT", help="first 4h close")]
To = Annotated[
    datetime | None, typer.Option("--to", parser=instant, metavar="INSTANT", help="last 4h close; default: now")
]


@app.command()
def show(as_of: AsOf = None, json: Json = False) -> None:
    """The regime in force, and the newest score with its terms; as of an instant, what was known then."""
    now = ask(lambda api: api.regime(as_of=as_of), json)
    if json:
        print_json(now.model_dump(mode="json"))
        return
    console.print(regime_story(now))
    if now.newest is not None:
        console.print(terms_table(now.newest))


@app.command()
def history(since: Since = None, limit: Limit = 50, json: Json = False) -> None:
    """The regime at every 4h close, newest first."""
    page = ask(lambda api: api.regime_history(since=since, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(regimes_table(page.items) if page.items else "no regime was computed yet")


@app.command()
def rebuild(since: From, reason: Reason, until: To = None, json: Json = False) -> None:
    """Compute the regime of 4h closes that have none; what is recorded stays as it was known."""
    request = checked(lambda: RegimeRebuildRequest(since=since, until=until, reason=reason))
    accepted = ask(lambda api: api.rebuild_regime(request), json)
    if json:
        print_json(accepted.model_dump(mode="json"))
        return
    console.print(f"{accepted.workflow_id} is under way; the event regime_rebuild_done says what it came to")
