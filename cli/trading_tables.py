"""Positions, orders and fills as tables for a terminal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.models import ExecutionView, OrderView, PositionDetail, PositionView

_TIME = "%Y-%m-%d %H:%M:%S"


def position_table(positions: list[PositionView]) -> Table:
    table = _table(
        "position", "symbol", "side", "state", "qty", "entry", "price", "P&L", "target", "stop", "guard", "exit"
    )
    for each in positions:
        price = each.price.last_price if each.price else each.exit_price
        gain = each.unrealised_pnl if each.unrealised_pnl is not None else each.realised_pnl
        table.add_row(
            each.id,
            f"{each.symbol} {each.category}",
            each.side,
            each.state,
            _number(each.qty),
            _number(each.entry_price),
            _number(price),
            _gain(gain),
            _number(each.take_profit_price),
            _number(each.stop_price),
            _guard(each),
            each.exit_reason or "",
        )
    return table


def position_story(position: PositionDetail) -> RenderableType:
    """The position, and under it every part of its history that is not empty."""
    parts: list[RenderableType] = [position_table([position]), Text(f"{position.reason} ({position.requested_by})")]
    if position.targets:
        table = _table("targets", "policy", "set by", "reason", "at")
        for each in position.targets:
            policy = " ".join(f"{name}={value}" for name, value in each.policy if value)
            table.add_row(str(each.version), policy, each.set_by, each.reason, _time(each.wall_at))
        parts.append(table)
    if position.evaluations:
        table = _table("guard", "market time", "price", "best", "stop", "armed", "reason")
        for step in position.evaluations[-20:]:
            best, stop = _number(step.best_price), _number(step.stop_price)
            armed = "yes" if step.armed else "no"
            table.add_row(step.kind, _time(step.at), _number(step.price), best, stop, armed, step.reason or "")
        parts.append(table)
    if position.orders:
        parts.append(order_table(position.orders))
    if position.executions:
        parts.append(execution_table(position.executions))
    if position.matches:
        table = _table("closed by", "qty", "gross", "fees", "net")
        for match in position.matches:
            fees = match.open_fee + match.close_fee
            table.add_row(match.close_exec_id, _number(match.qty), _gain(match.gross), _number(fees), _gain(match.net))
        parts.append(table)
    return Group(*parts)


def order_table(orders: list[OrderView]) -> Table:
    table = _table("order", "role", "symbol", "side", "state", "qty", "filled", "average", "trigger", "created (UTC)")
    for each in orders:
        table.add_row(
            each.order_link_id,
            each.role,
            f"{each.symbol} {each.category}",
            each.side,
            each.state,
            _number(each.qty),
            _number(each.filled_qty),
            _number(each.average_price),
            _number(each.trigger_price or each.stop_loss),
            _time(each.created_at),
        )
    return table


def execution_table(executions: list[ExecutionView]) -> Table:
    table = _table("execution", "order", "symbol", "side", "qty", "price", "value", "fee", "market time (UTC)")
    for each in executions:
        table.add_row(
            each.exec_id,
            each.order_link_id or "not ours",
            f"{each.symbol} {each.category}",
            each.side,
            _number(each.qty),
            _number(each.price),
            _number(each.value),
            f"{_number(each.fee)} {each.fee_coin}",
            _time(each.executed_at),
        )
    return table


_IDS = ("position", "order", "execution")


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        # an id is for copying: it is never broken, the other columns give way
        table.add_column(heading, overflow="fold", no_wrap=heading in _IDS)
    return table


def _number(value: Decimal | None) -> str:
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _gain(value: Decimal) -> Text:
    style = "" if value == 0 else ("green" if value > 0 else "red")
    return Text(f"{value:+.4f}", style)


def _time(at: datetime) -> str:
    return at.strftime(_TIME)


def _guard(position: PositionView) -> str:
    protection = position.protection
    if protection is None or position.state not in ("open", "exiting"):
        return ""
    watched = "live" if protection.guard_live else "none"
    return f"{watched}+stop" if protection.resting_stop else watched
