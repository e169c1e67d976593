"""Strategies, what can be set of them and what changed, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import gain, instant, number, plain, switch, table
from client.models import ParametersView, StrategyDiffView, StrategyVersionView, StrategyView, differences


def strategy_table(strategies: list[StrategyView]) -> Table:
    rows = table(
        "strategy", "stage", "watchlist", "buy", "sell", "market", "timeframe", "USD", "open", "signals 24h", "P&L", "v"
    )
    for each in strategies:
        rows.add_row(
            each.strategy,
            each.stage,
            switch(each.watchlist_gate),
            switch(each.buy_gate),
            switch(each.sell_gate),
            f"{each.category} {each.side}",
            each.timeframe,
            number(each.trade_usd),
            f"{each.open_positions}/{each.max_positions}",
            str(each.signals_24h),
            gain(each.realised_pnl),
            str(each.version),
        )
    return rows


def strategy_story(strategy: StrategyView) -> RenderableType:
    """The strategy's line, and under it its numbers."""
    numbers = table("key", "value")
    for key in ("max_trades_per_day", "cooldown_seconds", "signal_ttl_seconds"):
        numbers.add_row(key, str(getattr(strategy, key)))
    numbers.add_row("regimes", ",".join(strategy.regimes))
    numbers.add_row("regime_exit", strategy.regime_exit)
    if strategy.max_funding_cost_pct is not None:
        numbers.add_row("max_funding_cost_pct", number(strategy.max_funding_cost_pct))
    for key, value in strategy.exit_policy:
        if value is not None:
            numbers.add_row(f"exit_policy.{key}", str(value))
    for key, value in strategy.parameters.items():
        numbers.add_row(f"parameters.{key}", plain(value))
    return Group(Text(strategy.title, "bold"), strategy_table([strategy]), numbers)


def parameter_table(told: ParametersView) -> Table:
    rows = table("parameter", "value", "default", "may be")
    for each in told.parameters:
        rows.add_row(f"parameters.{each.name}", plain(each.value), plain(each.default), each.bounds)
    return rows


def version_table(versions: list[StrategyVersionView]) -> Table:
    """Each version with what it changed against the one before it (where that one is shown too)."""
    rows = table("v", "from (UTC)", "to (UTC)", "by", "reason", "changed")
    for each, before in zip(versions, [*versions[1:], None], strict=True):
        changed = _difference(before.row, each.row) if before is not None else ""
        until = instant(each.valid_to) or "now"
        rows.add_row(str(each.version), instant(each.valid_from), until, each.changed_by, Text(each.reason), changed)
    return rows


def diff_story(diff: StrategyDiffView) -> RenderableType:
    """What differs, and under it who changed it, why and when."""
    changes = table("field", f"version {diff.from_version}", f"version {diff.to_version}")
    for each in diff.changes:
        changes.add_row(each.field, plain(each.was), plain(each.now))
    steps = table("v", "at (UTC)", "by", "reason")
    for step in diff.steps:
        steps.add_row(str(step.version), instant(step.at), step.changed_by, Text(step.reason))
    said = changes if diff.changes else Text("these two versions say the same")
    return Group(said, Text(""), steps) if diff.steps else said


def _difference(old: dict[str, Any], new: dict[str, Any]) -> Text:
    changed = [f"{each.field} {plain(each.was)} -> {plain(each.now)}" for each in differences(old, new)]
    return Text(", ".join(changed))
