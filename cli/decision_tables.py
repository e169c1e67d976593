"""Settings, signals and the portfolio as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import gain, instant, number, plain, table
from client.models import (
    BackfillView,
    BlockedSignalView,
    PortfolioView,
    SettingsDiffView,
    SettingVersionView,
    SettingView,
    SignalView,
)


def setting_table(settings: list[SettingView]) -> Table:
    rows = table("setting", "value", "v", "meaning")
    for each in settings:
        rows.add_row(each.key, plain(each.value), str(each.version), Text(each.description))
    return rows


def setting_version_table(versions: list[SettingVersionView]) -> Table:
    rows = table("v", "value", "from (UTC)", "to (UTC)", "by", "reason")
    for each in versions:
        until = instant(each.valid_to) or "now"
        value, reason = plain(each.value), Text(each.reason)
        rows.add_row(str(each.version), value, instant(each.valid_from), until, each.changed_by, reason)
    return rows


def settings_diff_story(diff: SettingsDiffView) -> RenderableType:
    """What differs, and under it who changed it, why and when."""
    changes = table("setting", f"at {instant(diff.since)}", f"at {instant(diff.until)}")
    for each in diff.changes:
        changes.add_row(each.field, plain(each.was), plain(each.now))
    steps = table("setting", "v", "at (UTC)", "by", "reason")
    for step in diff.steps:
        steps.add_row(step.key, str(step.version), instant(step.at), step.changed_by, Text(step.reason))
    said = changes if diff.changes else Text("the settings were the same at both times")
    return Group(said, Text(""), steps) if diff.steps else said


def signal_table(signals: list[SignalView]) -> Table:
    rows = table("signal", "close (UTC)", "strategy", "symbol", "side", "score", "price", "outcome", "blocked by")
    for each in signals:
        rows.add_row(
            each.signal_id,
            instant(each.close_at),
            each.strategy,
            f"{each.symbol} {each.category}",
            each.side,
            f"{each.score:.1f}",
            number(each.price),
            each.outcome,
            each.blocked_by or "",
        )
    return rows


def blocked_table(blocks: list[BlockedSignalView]) -> Table:
    rows = table("close (UTC)", "strategy", "symbol", "gate", "value", "threshold", "detail", "stage", "signal")
    for each in blocks:
        rows.add_row(
            instant(each.close_at),
            each.strategy,
            f"{each.symbol} {each.category}",
            each.gate,
            Text(each.value),
            Text(each.threshold),
            Text(each.detail),
            each.stage,
            each.signal_id,
        )
    return rows


def portfolio_story(portfolio: PortfolioView) -> RenderableType:
    """Equity and net P&L, and under them every market owned, traded or watched."""
    value = table("equity", "unified", "funding", "invested", "unrealised", "open", "as of (UTC)")
    value.add_row(
        number(portfolio.equity),
        number(portfolio.unified_balance),
        number(portfolio.funding_balance),
        number(portfolio.invested),
        gain(portfolio.unrealised_pnl),
        str(portfolio.open_positions),
        instant(portfolio.as_of),
    )
    net = table(*(f"net P&L {period}" for period in portfolio.pnl))
    net.add_row(*(gain(amount) for amount in portfolio.pnl.values()))
    broken = [
        Text(f"{instant(portfolio.snapshot_hour)}: {each.sentence}", "red")
        for each in portfolio.invariants
        if each.broken
    ]
    return Group(value, net, *broken, _asset_table(portfolio))


def _asset_table(portfolio: PortfolioView) -> Table:
    rows = table("symbol", "", "qty", "price", "value", "invested", "unrealised", "realised", "protected", "score")
    for each in portfolio.assets:
        protected = "" if each.protected is None else ("yes" if each.protected else "NO")
        rows.add_row(
            f"{each.symbol} {each.category}",
            each.kind,
            number(each.qty),
            number(each.price),
            number(each.value),
            number(each.invested),
            gain(each.unrealised_pnl),
            gain(each.realised_pnl),
            protected,
            f"{each.score:.1f}" if each.score is not None else "",
        )
    return rows


def backfill_table(backfills: list[BackfillView]) -> Table:
    rows = table("symbol", "timeframe", "state", "progress", "candles", "from (UTC)", "to (UTC)", "error")
    for each in backfills:
        rows.add_row(
            each.symbol,
            each.timeframe,
            each.state,
            f"{each.progress:.0%}",
            str(each.candles),
            instant(each.start_at),
            instant(each.end_at),
            Text(each.error or ""),
        )
    return rows
