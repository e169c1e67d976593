"""``ats universe``: which of the symbols listed are traded, and why the others are not."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from cli.asking import Symbol, ask, upper
from cli.cells import instant, table
from cli.context import Json, console, print_json
from client.models import Category, UniverseView


def universe(
    category: Annotated[Category | None, typer.Option("--category", help="only spot or linear")] = None,
    symbol: Symbol = None,
    member: Annotated[
        bool | None, typer.Option("--members/--others", help="only those traded, or only those left out")
    ] = None,
    json: Json = False,
) -> None:
    """Symbols as of the last choice, members first, with the rule that makes each what it is."""
    found = ask(lambda api: api.universe(category=category, symbol=upper(symbol), member=member), json)
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    if not found:
        console.print("nothing was chosen yet, or nothing fits: the market stream chooses when it starts")
        return
    console.print(_table(found))
    console.print(_counts(found))


def _table(found: list[UniverseView]) -> Table:
    rows = table("symbol", "member", "why", "", "turnover 24 h", "spread (bps)", "age (days)", "since (UTC)")
    for each in found:
        rows.add_row(
            f"{each.symbol} {each.category}",
            "yes" if each.member else "",
            each.reason,
            "" if each.rank is None else str(each.rank),
            "?" if each.turnover_usd is None else f"{each.turnover_usd:,.0f}",
            "?" if each.spread_bps is None else f"{each.spread_bps:.1f}",
            "?" if each.age_days is None else f"{each.age_days:.0f}",
            instant(each.since),
        )
    return rows


def _counts(found: list[UniverseView]) -> str:
    counts = Counter(each.reason for each in found)
    told = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    return f"{told}; chosen at {instant(max(each.chosen_at for each in found))} UTC"
