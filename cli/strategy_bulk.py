"""``ats strategy bulk``: several strategies changed for one reason, all of them or none."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.asking import Reason, ask, checked
from cli.context import Json, console, print_json
from cli.strategy_tables import strategy_table
from cli.strategy_values import merged, pair
from client import AtsClient
from client.models import BulkRequest, StrategyView


def bulk(
    reason: Reason,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="JSON: [{strategy, fields}, ...]")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="STRATEGY.KEY=VALUE", help="one value; may be repeated")
    ] = None,
    json: Json = False,
) -> None:
    """Change several strategies at once, all or none: --set momentum.trade_usd=500 --set btc_trend.buy_gate=off,
    or a file whose entries may name the version they were decided on (seen_version; else the one in force)."""
    if (file is None) == (not values):
        raise typer.BadParameter("give either --file or --set")
    typed = _typed(values or [])

    def send(api: AtsClient) -> list[StrategyView]:
        known = {each.strategy: each for each in api.strategies()}
        changes = read_changes(file) if file is not None else _changes(known, typed)
        for change in changes:
            seen = known.get(str(change.get("strategy")))
            change.setdefault("seen_version", seen.version if seen is not None else 1)
        return api.change_strategies(
            checked(lambda: BulkRequest.model_validate({"changes": changes, "reason": reason}))
        )

    changed = ask(send, json)
    if json:
        print_json([each.model_dump(mode="json") for each in changed])
        return
    console.print(strategy_table(changed))


def _typed(values: list[str]) -> dict[str, dict[str, Any]]:
    """The pairs of each strategy, in the order in which the strategies were first named."""
    found: dict[str, dict[str, Any]] = {}
    for text in values:
        name, dot, rest = text.partition(".")
        if not dot or "=" in name:
            raise typer.BadParameter(f"{text!r} is not STRATEGY.KEY=VALUE")
        key, value = pair(rest)
        found.setdefault(name, {})[key] = value
    return found


def _changes(known: dict[str, StrategyView], typed: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    unknown = sorted(typed.keys() - known.keys())
    if unknown:
        raise typer.BadParameter(f"there is no strategy {unknown[0]}: see ats strategy list")
    return [{"strategy": name, "fields": merged(known[name], pairs)} for name, pairs in typed.items()]


def read_changes(file: Path) -> list[dict[str, Any]]:
    """The list of changes in a JSON file, or wrong usage."""
    try:
        told = jsonlib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise typer.BadParameter(f"{file} can't be read as JSON: {error}") from None
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise typer.BadParameter(f"{file} is not a list of changes")
    return told
