"""Positions, orders and fills as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import gain, instant, number, table
from client.models import (
    ExecutionView,
    FundingView,
    MatchView,
    OrderView,
    PositionDetail,
    PositionView,
    TargetsView,
)


def position_table(positions: list[PositionView]) -> Table:
    rows = table(
        "position", "symbol", "side", "state", "qty", "entry", "price", "P&L", "target", "stop", "guard", "exit"
    )
    for each in positions:
        price = each.price.last_price if each.price else each.exit_price
        gained = each.unrealised_pnl if each.unrealised_pnl is not None else each.net_pnl
        rows.add_row(
            each.id,
            f"{each.symbol} {each.category}",
            each.side,
            each.state,
            number(each.qty),
            number(each.entry_price),
            number(price),
            gain(gained),
            number(each.take_profit_price),
            number(each.stop_price),
            _guard(each),
            each.exit_reason or "",
        )
    return rows


def position_story(position: PositionDetail) -> RenderableType:
    """The position, and under it every part of its history that is not empty."""
    said = f"{position.reason} ({position.requested_by})"
    if position.config_version is not None:
        said += f"; decided by version {position.config_version} of {position.strategy}"
    parts: list[RenderableType] = [position_table([position]), Text(said)]
    if position.targets:
        parts.append(_targets_table(position.targets))
    if position.evaluations:
        rows = table("guard", "market time", "price", "best", "stop", "armed", "reason")
        for step in position.evaluations[-20:]:
            best, stop = number(step.best_price), number(step.stop_price)
            armed = "yes" if step.armed else "no"
            rows.add_row(step.kind, instant(step.at), number(step.price), best, stop, armed, step.reason or "")
        parts.append(rows)
    if position.orders:
        parts.append(order_table(position.orders))
    if position.executions:
        parts.append(execution_table(position.executions))
    if position.matches:
        parts.append(_match_table(position.matches))
    if position.funding_payments:
        parts.append(_funding_table(position.funding_payments))
    if position.opened_at is not None:
        parts.append(_result(position))
    return Group(*parts)


def _targets_table(targets: list[TargetsView]) -> Table:
    rows = table("targets", "policy", "set by", "reason", "at")
    for each in targets:
        policy = " ".join(f"{name}={value}" for name, value in each.policy if value)
        rows.add_row(str(each.version), policy, each.set_by, each.reason, instant(each.wall_at))
    return rows


def _match_table(matches: list[MatchView]) -> Table:
    rows = table("closed by", "qty", "gross", "fees", "net")
    for match in matches:
        fees = match.open_fee + match.close_fee
        rows.add_row(match.close_exec_id, number(match.qty), gain(match.gross), number(fees), gain(match.net))
    return rows


def _funding_table(payments: list[FundingView]) -> Table:
    rows = table("funding", "rate", "size", "paid for all", "market time (UTC)")
    for payment in payments:
        rate = "" if payment.rate is None else f"{payment.rate * 100:.4f} %"
        rows.add_row(gain(payment.amount), rate, number(payment.size), gain(payment.paid), instant(payment.at))
    return rows


def _result(position: PositionView) -> Table:
    """What the position brought so far, and what that is made of."""
    rows = table("result", "gross", "fees", "funding", "net")
    gross, funding, net = (gain(each) for each in (position.gross_pnl, position.funding, position.net_pnl))
    rows.add_row("quote coin", gross, gain(-position.fees), funding, net)
    return rows


def order_table(orders: list[OrderView]) -> Table:
    columns = ("symbol", "side", "state", "qty", "filled", "average", "trigger", "decided by", "created (UTC)")
    rows = table("order", "role", *columns)
    for each in orders:
        rows.add_row(
            each.order_link_id,
            each.role,
            f"{each.symbol} {each.category}",
            each.side,
            each.state,
            number(each.qty),
            number(each.filled_qty),
            number(each.average_price),
            number(each.trigger_price or each.stop_loss),
            _decided_by(each),
            instant(each.created_at),
        )
    return rows


def _decided_by(order: OrderView) -> str:
    """The version of the strategy's configuration, and of the settings."""
    if order.settings_version is None:
        return ""
    decided = "by hand" if order.config_version is None else f"v{order.config_version}"
    return f"{decided}, settings {order.settings_version}"


def execution_table(executions: list[ExecutionView]) -> Table:
    rows = table("execution", "order", "symbol", "side", "qty", "price", "value", "fee", "market time (UTC)")
    for each in executions:
        rows.add_row(
            each.exec_id,
            each.order_link_id or "not ours",
            f"{each.symbol} {each.category}",
            each.side,
            number(each.qty),
            number(each.price),
            number(each.value),
            f"{number(each.fee)} {each.fee_coin}",
            instant(each.executed_at),
        )
    return rows


def _guard(position: PositionView) -> str:
    protection = position.protection
    if protection is None or position.state not in ("open", "exiting"):
        return ""
    watched = {"watching": "live"}.get(position.watch, position.watch)
    return f"{watched}+stop" if protection.resting_stop else watched
