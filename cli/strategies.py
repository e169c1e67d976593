"""``ats strategy``: what each may do and how much of it, its gates and stage, its versions and what they differ in."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.asking import AsOf, Limit, Reason, ask, checked
from cli.context import Json, console, print_json
from cli.strategy_bulk import bulk
from cli.strategy_tables import diff_story, parameter_table, strategy_story, strategy_table, version_table
from cli.strategy_values import merged, pair
from client import AtsClient
from client.models import Gate, GateRequest, Stage, StageRequest, StrategyChange, StrategyView

app = typer.Typer(no_args_is_help=True, help="Strategies: their gates, numbers and every version they had.")
app.command()(bulk)

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
def parameters(name: Name, json: Json = False) -> None:
    """What can be set of a strategy: each parameter with its value, default and bounds."""
    told = ask(lambda api: api.strategy_parameters(name), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    console.print(parameter_table(told))


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


@app.command()
def stage(
    name: Name,
    to: Annotated[Stage, typer.Argument(metavar="off|watchlist|active|reduce_only")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Set all three gates at once: off, watchlist (opens nothing), active (may open), reduce_only (only leaves)."""
    request = checked(lambda: StageRequest(stage=to, reason=reason))
    _tell(ask(lambda api: api.set_stage(name, request), json), json)


@app.command("set")
def change(
    name: Name,
    values: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
    reason: Reason,
    json: Json = False,
) -> None:
    """Change numbers: trade_usd=500, max_positions=3, timeframe=1h, regimes=neutral,bull, regime_exit=close,
    max_funding_cost_pct=0.5, parameters.roc_over_pct=5, exit_policy.stop_loss_pct=2 (none takes an exit or a limit
    away). What parameters may be: ats strategy parameters."""
    pairs = dict(pair(text) for text in values)

    def send(api: AtsClient) -> StrategyView:
        before = api.strategy(name)
        fields = {**merged(before, pairs), "reason": reason, "expected_version": before.version}
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


@app.command()
def diff(
    name: Name,
    earlier: Annotated[
        int | None, typer.Option("--from", min=1, help="a version; unless given the one before the other")
    ] = None,
    later: Annotated[int | None, typer.Option("--to", min=1, help="a version; unless given the newest")] = None,
    json: Json = False,
) -> None:
    """What differs between two versions, and who changed it, why and when."""
    told = ask(lambda api: api.strategy_diff(name, from_version=earlier, to_version=later), json)
    if json:
        print_json(told.model_dump(mode="json"))
        return
    console.print(diff_story(told))


def _tell(strategy: StrategyView, as_json: bool) -> None:
    if as_json:
        print_json(strategy.model_dump(mode="json"))
        return
    console.print(strategy_story(strategy))
