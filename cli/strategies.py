"""``ats strategy list | show | gate | set | history``: what each strategy may do, and how much of it."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any, Literal

import typer

from cli.asking import AsOf, Limit, Reason, ask, checked
from cli.context import Json, console, print_json
from cli.decision_tables import strategy_story, strategy_table, version_table
from client import AtsClient
from client.models import Gate, GateRequest, StrategyChange, StrategyView

app = typer.Typer(no_args_is_help=True, help="Strategies: their gates, numbers and every version they had.")

Name = Annotated[str, typer.Argument(metavar="STRATEGY", help="such as momentum")]


@app.command("list")
def list_strategies(json: Json = False) -> None:
    """Every strategy with its stage, gates and figures."""
    found = ask(lambda api: api.strategies(), json)
    if json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    console.print(strategy_table(found) if found else "no strategy yet: the trading worker adds them when it starts")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """One strategy with everything it is configured with."""
    _tell(ask(lambda api: api.strategy(name), json), json)


@app.command()
def gate(
    name: Name,
    which: Annotated[Gate, typer.Argument(metavar="watchlist|buy|sell")],
    to: Annotated[Literal["on", "off"], typer.Argument(metavar="on|off")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Switch one gate: watchlist (its scores count), buy (it may open), sell (its own exits count)."""
    request = checked(lambda: GateRequest(gate=which, on=to == "on", reason=reason))
    _tell(ask(lambda api: api.switch_gate(name, request), json), json)


@app.command("set")
def change(
    name: Name,
    values: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Change numbers: trade_usd=500, max_positions=3, timeframe=1h, parameters.roc_over_pct=5,
    exit_policy.stop_loss_pct=2 (none takes an exit away)."""
    pairs = dict(_pair(text) for text in values)

    def send(api: AtsClient) -> StrategyView:
        before = api.strategy(name)
        fields = {**_merged(before, pairs), "reason": reason, "expected_version": before.version}
        return api.change_strategy(name, checked(lambda: StrategyChange.model_validate(fields)))

    _tell(ask(send, json), json)


@app.command()
def history(name: Name, as_of: AsOf = None, limit: Limit = 50, json: Json = False) -> None:
    """Every version of the configuration with who made it and why, newest first."""
    page = ask(lambda api: api.strategy_history(name, as_of=as_of, limit=limit), json)
    if json:
        print_json(page.model_dump(mode="json"))
        return
    console.print(version_table(page.items) if page.items else "none was in force then")


def _tell(strategy: StrategyView, as_json: bool) -> None:
    if as_json:
        print_json(strategy.model_dump(mode="json"))
        return
    console.print(strategy_story(strategy))


def _pair(text: str) -> tuple[str, Any]:
    """A key and its value: JSON where it is JSON, else the text itself. Amounts stay text, which is exact."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    if value.lower() == "none":
        return key, None
    if not key.startswith("parameters."):
        return key, value
    try:
        return key, jsonlib.loads(value)
    except ValueError:
        return key, value


def _merged(before: StrategyView, pairs: dict[str, Any]) -> dict[str, Any]:
    """The change ``pairs`` ask for: dotted keys are parts of ``parameters`` and of ``exit_policy``, which travels
    whole."""
    fields: dict[str, Any] = {}
    for key, value in pairs.items():
        head, _, part = key.partition(".")
        if not part:
            fields[key] = value
            continue
        if head not in ("parameters", "exit_policy"):
            raise typer.BadParameter(f"{key}: only parameters and exit_policy have parts")
        whole = {} if head == "parameters" else before.exit_policy.model_dump(mode="json")
        fields.setdefault(head, whole)[part] = value
    return fields
