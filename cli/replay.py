"""``ats replay``: decisions asked again, and what is different now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from cli.asking import Since, ask
from cli.cells import instant, table
from cli.context import Json, console, print_json
from client import ApiProblem, AtsClient
from client.models import GateVerdictView, ReplayView

_PAGE = 200
_NOT_REPLAYABLE = "not-replayable"

Failures = dict[str, str]
"""Why a decision can't be asked again, by its name."""


def replay(
    decision: Annotated[
        str | None, typer.Argument(metavar="DECISION", help="a signal's id, or STRATEGY@CLOSE for all of a scan")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="every decision since an instant")] = False,
    since: Since = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="with --all: only this strategy's")] = None,
    json: Json = False,
) -> None:
    """Ask decisions again from their stored inputs, blocks just as acceptances. Exit code 1 when anything is different:
    then it says which input changed, which number came out otherwise, which gate says something else."""
    if every:
        if decision is not None or since is None:
            raise typer.BadParameter("--all needs --since INSTANT, and no DECISION")
        _replay_all(since, strategy, json)
        return
    if decision is None or since is not None or strategy is not None:
        raise typer.BadParameter("name a DECISION, or every one with --all --since INSTANT")
    told = ask(lambda api: api.replay(decision), json)
    if json:
        print_json(told.model_dump(mode="json"))
    else:
        console.print(replay_story(told))
    if not told.same:
        raise typer.Exit(1)


def _replay_all(since: datetime, strategy: str | None, as_json: bool) -> None:
    failures: Failures = {}
    found = ask(lambda api: list(_every(api, since, strategy, failures)), as_json)
    different = [each for each in found if not each.same]
    if as_json:
        print_json(
            {
                "same": not different and not failures,
                "decisions": len(found),
                "different": [each.model_dump(mode="json") for each in different],
                "not_replayable": failures,
            }
        )
    else:
        for each in different:
            console.print(replay_story(each))
        for name, reason in failures.items():
            console.print(Text(f"{name} can't be asked again: {reason}", "yellow"))
        signals = sum(each.signals for each in found)
        told = f"{len(found)} decisions with {signals} signals asked again: {len(found) - len(different)} the same"
        console.print(Text(told, "red" if different else "green"))
    if different or failures:
        raise typer.Exit(1)


def _every(api: AtsClient, since: datetime, strategy: str | None, failures: Failures) -> Iterator[ReplayView]:
    cursor = None
    while True:
        page = api.decisions(strategy=strategy, since=since, limit=_PAGE, cursor=cursor)
        for each in page.items:
            try:
                yield api.replay(each.decision)
            except ApiProblem as problem:
                if problem.code != _NOT_REPLAYABLE:
                    raise
                failures[each.decision] = problem.detail
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def replay_story(told: ReplayView) -> RenderableType:
    """What was asked again by what, and under it everything that is different."""
    asked = f"{told.decision}  {told.strategy} {told.timeframe} of {instant(told.close_at)}"
    by = (
        f"configuration v{told.config_version}, settings v{told.settings_version}, regime {told.regime_id or 'unknown'}"
    )
    answer = Text("the same", "green") if told.same else Text("different", "red")
    lines: list[RenderableType] = [
        Text.assemble((asked, "bold"), "  ", answer),
        Text(f"{told.signals} signals, {by}", "dim"),
    ]
    if told.changed_inputs:
        rows = table("input", "symbol", "timeframe", "how")
        for changed in told.changed_inputs:
            rows.add_row(changed.part, changed.symbol or "market", changed.timeframe, changed.how)
        lines.append(rows)
    if told.differences:
        rows = table("different", "symbol", "was", "is")
        for each in told.differences:
            rows.add_row(each.name, each.symbol or "", Text(_value(each.was)), Text(_value(each.now)))
        lines.append(rows)
    if told.verdicts:
        rows = table("gate", "symbol", "said", "says")
        for verdict in told.verdicts:
            rows.add_row(verdict.gate, verdict.symbol, Text(_said(verdict.was)), Text(_said(verdict.now)))
        lines.append(rows)
    return Group(*lines)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _said(verdict: GateVerdictView | None) -> str:
    if verdict is None:
        return "not asked"
    bound = f" against {verdict.threshold}" if verdict.threshold else ""
    return f"{'pass' if verdict.passed else 'block'} {verdict.value}{bound}"
