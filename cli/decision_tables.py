"""Strategies, settings, signals, scores and the portfolio as tables for a terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import gain, instant, number, switch, table
from client.models import (
    BackfillView,
    BlockedSignalView,
    PortfolioView,
    SettingVersionView,
    SettingView,
    SignalView,
    StrategyVersionView,
    StrategyView,
    WatchlistView,
)


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
    for key, value in strategy.exit_policy:
        if value is not None:
            numbers.add_row(f"exit_policy.{key}", str(value))
    for key, value in strategy.parameters.items():
        numbers.add_row(f"parameters.{key}", _plain(value))
    return Group(Text(strategy.title, "bold"), strategy_table([strategy]), numbers)


def version_table(versions: list[StrategyVersionView]) -> Table:
    """Each version with what it changed against the one before it (where that one is shown too)."""
    rows = table("v", "from (UTC)", "to (UTC)", "by", "reason", "changed")
    for each, before in zip(versions, [*versions[1:], None], strict=True):
        changed = _difference(before.row, each.row) if before is not None else ""
        until = instant(each.valid_to) or "now"
        rows.add_row(str(each.version), instant(each.valid_from), until, each.changed_by, Text(each.reason), changed)
    return rows


def _difference(old: dict[str, Any], new: dict[str, Any]) -> Text:
    ignored = {"version", "updated_at"}
    before, after = _flat(old), _flat(new)
    changed = [
        f"{key} {_plain(before.get(key))} -> {_plain(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if key not in ignored and before.get(key) != after.get(key)
    ]
    return Text(", ".join(changed))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat |= {f"{key}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def setting_table(settings: list[SettingView]) -> Table:
    rows = table("setting", "value", "v", "meaning")
    for each in settings:
        rows.add_row(each.key, _plain(each.value), str(each.version), Text(each.description))
    return rows


def setting_version_table(versions: list[SettingVersionView]) -> Table:
    rows = table("v", "value", "from (UTC)", "to (UTC)", "by", "reason")
    for each in versions:
        until = instant(each.valid_to) or "now"
        value, reason = _plain(each.value), Text(each.reason)
        rows.add_row(str(each.version), value, instant(each.valid_from), until, each.changed_by, reason)
    return rows


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


def watchlist_table(scores: list[WatchlistView]) -> Table:
    rows = table("score", "symbol", "strategy", "close (UTC)", "evidence")
    for each in scores:
        evidence = " ".join(f"{name}={_plain(value)}" for name, value in each.evidence.items())
        symbol = f"{each.symbol} {each.category}"
        rows.add_row(f"{each.score:.1f}", symbol, each.strategy, instant(each.close_at), Text(evidence))
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
    return Group(value, net, _asset_table(portfolio))


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


def _plain(value: Any) -> str:
    """A configured value as it is typed: text bare, everything else as JSON."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value)
