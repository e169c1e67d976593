"""Orders in doubt, what others hold, and comparisons as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cells import instant, number, table
from client.models import DoubtView, DriftView, EvidenceView, ForeignView, ReconciliationView


def doubt_table(doubts: list[DoubtView]) -> Table:
    rows = table("order", "symbol", "in doubt since (UTC)", "for", "sent", "looks", "last look", "then")
    for each in doubts:
        last = each.evidence[0] if each.evidence else None
        ended = f"{each.resolved_to}: {each.resolved_by}" if each.resolved_to else each.next_step or ""
        rows.add_row(
            each.order.order_link_id,
            f"{each.order.symbol} {each.order.category}",
            instant(each.since),
            f"{each.age_seconds:.0f} s",
            f"{each.attempts}x",
            str(each.looks),
            _look(last),
            Text(ended, "" if each.resolved_to else "yellow"),
        )
    return rows


def foreign_story(told: ForeignView) -> RenderableType:
    """What others hold, each kind that there is."""
    parts: list[RenderableType] = []
    if told.orders:
        rows = table("foreign order", "symbol", "side", "type", "qty", "price", "status", "seen (UTC)", "gone (UTC)")
        for order in told.orders:
            rows.add_row(
                order.order_id,
                f"{order.symbol} {order.category}",
                order.side,
                order.stop_order_type or order.order_type,
                number(order.qty),
                number(order.trigger_price or order.price),
                order.status,
                instant(order.first_seen_at),
                instant(order.gone_at),
            )
        parts.append(rows)
    if told.positions:
        rows = table("foreign position", "side", "size", "entry", "seen (UTC)", "gone (UTC)")
        for position in told.positions:
            rows.add_row(
                position.symbol,
                position.side,
                number(position.size),
                number(position.entry_price),
                instant(position.first_seen_at),
                instant(position.gone_at),
            )
        parts.append(rows)
    if told.coins:
        rows = table("foreign coin", "foreign", "ours", "dust", "balance")
        for coin in told.coins:
            rows.add_row(coin.coin, number(coin.foreign), number(coin.ours), number(coin.dust), number(coin.balance))
        parts.append(rows)
    return Group(*parts)


def reconciliation_table(found: list[ReconciliationView]) -> Table:
    rows = table("id", "finished (UTC)", "orders", "positions", "coins", "foreign", "did", "drift")
    for each in found:
        rows.add_row(
            str(each.id),
            instant(each.finished_at),
            str(each.orders_compared),
            str(each.positions_compared),
            str(each.balances_compared),
            str(each.foreign_orders + each.foreign_positions),
            _did(each),
            _drift(each),
        )
    return rows


def reconciliation_story(one: ReconciliationView) -> RenderableType:
    """The comparison, and under it what nothing explains and what it did."""
    parts: list[RenderableType] = [reconciliation_table([one])]
    if one.drift:
        parts.append(_drift_table(one.drift))
    for name, value in one.detail.items():
        if value and value is not True:
            told = ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)
            parts.append(Text(f"{name.replace('_', ' ')}: {told}"))
    return Group(*parts)


def _drift_table(found: list[DriftView]) -> Table:
    rows = table("drift", "subject", "amount", "what is wrong")
    for each in found:
        rows.add_row(each.kind, each.subject, number(each.amount), each.sentence)
    return rows


def _look(look: EvidenceView | None) -> str:
    if look is None:
        return ""
    return f"{look.source}: {'found' if look.found else 'nothing'}"


def _did(one: ReconciliationView) -> str:
    done = {
        "workflows": one.workflows_started,
        "executions": one.executions_fetched,
        "stops": one.stops_repaired,
    }
    return ", ".join(f"{count} {name}" for name, count in done.items() if count)


def _drift(one: ReconciliationView) -> Text:
    if not one.drift:
        return Text("none", "green")
    return Text(f"{len(one.drift)}{', halted' if one.halted else ''}", "bold red")
