"""What the journal's tables hold, and the statements that write it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from exchange.paper.core.audit import TRANSFERS
from exchange.paper.core.events import Event, Executed, Logged, OrderChanged, PnlClosed
from exchange.paper.core.model import ClosedPnl, Execution, LogRow, Order, Position
from exchange.paper.core.state import AccountState
from exchange.paper.wire import to_millis

FORMAT = 2

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE account (id INTEGER PRIMARY KEY CHECK (id = 1), position TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE orders (
    sequence INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, category TEXT NOT NULL, symbol TEXT NOT NULL,
    link_id TEXT NOT NULL, order_filter TEXT NOT NULL, status TEXT NOT NULL,
    is_open INTEGER NOT NULL, filled INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE UNIQUE INDEX orders_by_link ON orders (category, link_id) WHERE link_id <> '';
CREATE INDEX orders_open ON orders (sequence) WHERE is_open = 1;
CREATE INDEX orders_by_symbol ON orders (category, symbol, sequence);
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY, exec_id TEXT NOT NULL UNIQUE, category TEXT NOT NULL, symbol TEXT NOT NULL,
    order_id TEXT NOT NULL, link_id TEXT NOT NULL, exec_type TEXT NOT NULL, at_ms INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX executions_by_order ON executions (order_id);
CREATE INDEX executions_by_link ON executions (category, link_id);
CREATE TABLE log (
    sequence INTEGER PRIMARY KEY, row_id TEXT NOT NULL UNIQUE, category TEXT NOT NULL, coin TEXT NOT NULL,
    symbol TEXT NOT NULL, type TEXT NOT NULL, transfer_id TEXT NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX log_by_time ON log (at_ms);
CREATE UNIQUE INDEX log_by_transfer ON log (transfer_id) WHERE transfer_id <> '';
CREATE TABLE closed_pnl (
    sequence INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL, at_ms INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX closed_pnl_by_time ON closed_pnl (at_ms);
"""

TRANSFER_IDS = "SELECT transfer_id FROM log WHERE transfer_id <> ''"

_UPSERT_ORDER = """
INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (sequence) DO UPDATE SET
    status = excluded.status, is_open = excluded.is_open, filled = excluded.filled,
    updated_ms = excluded.updated_ms, body = excluded.body
"""
_UPSERT_CLOSED = """
INSERT INTO closed_pnl VALUES (?,?,?,?,?) ON CONFLICT (order_id) DO UPDATE SET
    at_ms = excluded.at_ms, body = excluded.body
"""
_UPSERT_ACCOUNT = """
INSERT INTO account VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET position = excluded.position, body = excluded.body
"""

ORDERS: TypeAdapter[Order] = TypeAdapter(Order)
EXECUTIONS: TypeAdapter[Execution] = TypeAdapter(Execution)
LOG_ROWS: TypeAdapter[LogRow] = TypeAdapter(LogRow)
CLOSED_PNLS: TypeAdapter[ClosedPnl] = TypeAdapter(ClosedPnl)

Statement = tuple[str, tuple[Any, ...]]


@dataclass
class AccountBody:
    """The part of the state that is no order; ids of transfers are in the log."""

    id_seed: str
    counter: int
    balances: dict[str, Decimal]
    realised: dict[str, Decimal]
    positions: dict[str, Position]
    leverages: dict[str, Decimal]
    funding_balances: dict[str, Decimal]


ACCOUNT: TypeAdapter[AccountBody] = TypeAdapter(AccountBody)


def event_statement(event: Event) -> Statement | None:
    """How an event is stored; None when the account row tells it."""
    match event:
        case OrderChanged(order=o):
            values = (
                o.sequence,
                o.order_id,
                o.category.value,
                o.symbol,
                o.link_id,
                o.order_filter.value,
                o.status.value,
                int(o.is_open),
                int(o.filled_qty > 0),
                to_millis(o.created_at),
                to_millis(o.updated_at),
                ORDERS.dump_json(o),
            )
            return _UPSERT_ORDER, values
        case Executed(execution=x):
            return (
                "INSERT INTO executions VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    x.sequence,
                    x.exec_id,
                    x.category.value,
                    x.symbol,
                    x.order_id,
                    x.link_id,
                    x.exec_type,
                    to_millis(x.at),
                    EXECUTIONS.dump_json(x),
                ),
            )
        case Logged(row=r):
            return (
                "INSERT INTO log VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    r.sequence,
                    r.row_id,
                    r.category,
                    r.coin,
                    r.symbol,
                    r.type,
                    r.order_id if r.type in TRANSFERS else "",
                    to_millis(r.at),
                    LOG_ROWS.dump_json(r),
                ),
            )
        case PnlClosed(closed=c):
            values = (c.sequence, c.order_id, c.symbol, to_millis(c.updated_at), CLOSED_PNLS.dump_json(c))
            return _UPSERT_CLOSED, values
    return None  # positions and the wallet are in the account row


def account_statement(state: AccountState, position: datetime) -> Statement:
    """The account as it stands at the market instant ``position``."""
    body = AccountBody(
        id_seed=state.id_seed,
        counter=state.counter,
        balances=state.balances,
        realised=state.realised,
        positions=state.positions,
        leverages=state.leverages,
        funding_balances=state.funding_balances,
    )
    return _UPSERT_ACCOUNT, (position.isoformat(), ACCOUNT.dump_json(body))
