"""Rows about what the exchange is found to hold, as the system's own writers would leave them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from db.base import Base
from db.models import ForeignOrder, ForeignPosition, OrderEvidence, OrderTransition, Reconciliation
from tests.api import rows

Story = list[tuple[str | None, str, str, float]]
"""Changes of an order's state: from, to, by what, and how many seconds ago."""

IN_DOUBT: Story = [
    (None, "prepared", "intent", 31),
    ("prepared", "sent", "submitted", 31),
    ("sent", "unknown", "OutcomeUnknown: read timed out", 28),
]
RESOLVED: Story = [*IN_DOUBT, ("unknown", "filled", "found by query", 20)]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def doubted_order(number: int, role: str, story: Story, looks: list[tuple[str, bool]]) -> list[Base]:
    """An order with its position, the changes of its state, and a look every second since it came in doubt."""
    link_id = f"{rows.position_id(number)}-{role}1"
    last = story[-1][1]
    return [
        rows.position(number, state="open"),
        rows.order(number, role, state=last, sent_at=ago(31), cum_exec_qty=Decimal(0)),
        *(
            OrderTransition(order_link_id=link_id, from_state=before, to_state=after, evidence=why, at=ago(seconds))
            for before, after, why, seconds in story
        ),
        *(
            OrderEvidence(order_link_id=link_id, source=source, found=found, at=ago(27 - second), detail={"n": second})
            for second, (source, found) in enumerate(looks)
        ),
    ]


def foreign_order(order_id: str = "stranger-1", **changes: Any) -> ForeignOrder:
    fields: dict[str, Any] = {
        "category": "spot",
        "order_id": order_id,
        "symbol": "BTCUSDT",
        "order_link_id": "",
        "side": "Buy",
        "order_type": "Limit",
        "status": "New",
        "qty": Decimal("0.25"),
        "cum_exec_qty": Decimal(0),
        "price": Decimal(50000),
        "stop_order_type": "",
        "reduce_only": False,
    }
    return ForeignOrder(**{**fields, **changes})


def foreign_position(symbol: str = "ETHUSDT", **changes: Any) -> ForeignPosition:
    fields: dict[str, Any] = {"category": "linear", "symbol": symbol, "side": "short", "size": Decimal("1.5")}
    return ForeignPosition(**{**fields, **changes})


def comparison(seconds_ago: float = 60, **changes: Any) -> Reconciliation:
    fields: dict[str, Any] = {
        "started_at": ago(seconds_ago + 2),
        "finished_at": ago(seconds_ago),
        "workflows_started": 0,
        "executions_fetched": 0,
        "orders_compared": 3,
        "positions_compared": 2,
        "balances_compared": 4,
        "detail": {"whole": True},
    }
    return Reconciliation(**{**fields, **changes})


DRIFT = {"kind": "size", "subject": "BTCUSDT", "amount": "-0.5", "sentence": "BTCUSDT: 0.5 are not there"}
