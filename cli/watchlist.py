"""``ats watchlist show | history | capture``: what is interesting now, what was, and what the list was worth."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from cli.asking import AsOf, Limit, Since, Symbol, ask, instant, upper
from cli.context import Json, console, print_json
from cli.watchlist_tables import capture_story, entry_table, kept_table, watchlist_table
from client.models import PositionSide

app = typer.Typer()

Side = Annotated[PositionSide | None, typer.Option("--side", help="only this side's")]
Strategy = Annotated[str | None, typer.Option("--strategy", help="only what this strategy scored")]
Places = Annotated[int, typer.Option("--limit", min=1, max=1000, help="places of each side")]
From = Annotated[
    datetime | None,
    typer.Option("--from", parser=instant, metavar="INSTANT", help="market time; default: four weeks before the end"),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", parser=instant, metavar="INSTANT", help="market time; default: the close decided last"),
]


@app.command()
def show(
    side: Side = None,
    strategy: Strategy = None,
    symbol: Symbol = None,
    limit: Places = 20,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Both sides now, the highest composite first, with the scores behind it; as of an instant, the list kept then."""
    if as_of is not None:
        _show_kept(as_of, side, strategy, symbol, limit, json)
        return
    found = ask(lambda api: api.watchlist(side=side, strategy=strategy, symbol=upper(symbol), limit=limit), json)
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    console.print(watchlist_table(found) if found else "nothing is watched yet: the next scan writes it")


def _show_kept(
    as_of: datetime, side: PositionSide | None, strategy: str | None, symbol: str | None, limit: int, json: bool
) -> None:
    kept = ask(
        lambda api: api.watchlist_kept(as_of=as_of, side=side, strategy=strategy, symbol=upper(symbol)),
        json,
    )
    shown = [each for one in PositionSide for each in [each for each in kept if each.side is one][:limit]]
    if json:
        print_json([each.model_dump(mode="json") for each in shown])
        return
    console.print(kept_table(shown) if shown else "nothing was on the watchlist then")


@app.callback(invoke_without_command=True)
def watchlist(
    context: typer.Context,
    side: Side = None,
    strategy: Strategy = None,
    symbol: Symbol = None,
    limit: Places = 20,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """The watchlist: symbols by how interesting they are to all strategies of a side together. Alone it is ``show``."""
    if context.invoked_subcommand is None:
        show(side, strategy, symbol, limit, as_of, json)


@app.command()
def history(
    symbol: Annotated[str, typer.Argument(help="such as BTCUSDT")],
    side: Side = None,
    since: Since = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """The places a symbol had, newest candle close first."""
    page = ask(lambda api: api.watchlist_history(symbol.upper(), side=side, since=since, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(entry_table(page.items) if page.items else f"{symbol.upper()} was never on the watchlist")


@app.command()
def capture(
    since: From = None,
    until: To = None,
    k: Annotated[int, typer.Option("--k", min=1, max=100, help="top movers of each side in each seven days")] = 10,
    json: Json = False,
) -> None:
    """How many of the top movers of each seven days were listed, how purely and how early."""
    told = ask(lambda api: api.watchlist_capture(since=since, until=until, k=k), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    console.print(capture_story(told))
