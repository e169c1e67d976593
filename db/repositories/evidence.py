"""What was looked for when an order was in doubt, and the orders that are or were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import Order, OrderEvidence, OrderTransition
from domain.order import OrderState

IN_DOUBT = (OrderState.SENT, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Doubt:
    """An order that is in doubt, or was. ``resolved`` is the transition that ended it; ``looks`` the newest first."""

    order: Order
    since: OrderTransition
    resolved: OrderTransition | None
    looks: Sequence[OrderEvidence]
    look_count: int
    attempts: int


def add_evidence(session: AsyncSession, order: Order, source: str, found: bool, **detail: Any) -> None:
    """Write down one look for ``order``; nothing for one that is in no doubt. Call it before what was found is applied.

    ``source`` is query, executions, stream, resend or cancel; ``detail`` must be JSON (Decimals as strings).
    """
    if order.state in IN_DOUBT:
        session.add(OrderEvidence(order_link_id=order.order_link_id, source=source, found=found, detail=detail))


async def orders_in_doubt(session: AsyncSession, order_link_ids: Iterable[str]) -> dict[str, Order]:
    """Those of the orders whose answer was lost, by id. One whose answer is still on its way is in no doubt."""
    wanted = sorted({each for each in order_link_ids if each})
    found: dict[str, Order] = {}
    for chunk in in_chunks(wanted):
        query = select(Order).where(Order.order_link_id.in_(chunk), Order.state == OrderState.UNKNOWN)
        found |= {row.order_link_id: row for row in await session.scalars(query)}
    return found


async def evidence_of(session: AsyncSession, order_link_id: str, limit: int) -> Sequence[OrderEvidence]:
    """The newest looks for an order, oldest first."""
    query = select(OrderEvidence).where(OrderEvidence.order_link_id == order_link_id)
    rows = (await session.scalars(query.order_by(OrderEvidence.id.desc()).limit(limit))).all()
    return list(reversed(rows))


async def transitions_of(session: AsyncSession, order_link_id: str) -> Sequence[OrderTransition]:
    """Every change of an order's state, oldest first."""
    query = select(OrderTransition).where(OrderTransition.order_link_id == order_link_id)
    return (await session.scalars(query.order_by(OrderTransition.id))).all()


async def doubts(session: AsyncSession, resolved_after: datetime, limit: int, looks: int = 20) -> list[Doubt]:
    """Orders that are UNKNOWN now, the longest first, then those that were and whose doubt ended after
    ``resolved_after`` (wall), the latest first."""
    ended = (
        select(OrderTransition.order_link_id, func.max(OrderTransition.id).label("id"))
        .where(OrderTransition.from_state == OrderState.UNKNOWN, OrderTransition.at >= resolved_after)
        .group_by(OrderTransition.order_link_id)
        .subquery()
    )
    query = (
        select(Order)
        .outerjoin(ended, ended.c.order_link_id == Order.order_link_id)
        .where(or_(Order.state == OrderState.UNKNOWN, ended.c.id.is_not(None)))
        .order_by((Order.state == OrderState.UNKNOWN).desc(), ended.c.id.desc(), Order.created_at)
        .limit(limit)
    )
    orders = (await session.scalars(query)).all()
    ids = [order.order_link_id for order in orders]
    stories = await _stories(session, ids)
    newest = await _newest_looks(session, ids, looks)
    counts = await _counts(session, ids)
    return [
        _doubt(order, stories[order.order_link_id], newest.get(order.order_link_id, []), counts) for order in orders
    ]


def _doubt(
    order: Order, story: Sequence[OrderTransition], looks: Sequence[OrderEvidence], counts: dict[tuple[str, str], int]
) -> Doubt:
    left = [row for row in story if row.from_state == OrderState.UNKNOWN]
    mine = {source: count for (order_link_id, source), count in counts.items() if order_link_id == order.order_link_id}
    return Doubt(
        order=order,
        since=next(row for row in story if row.to_state == OrderState.UNKNOWN),
        resolved=left[-1] if left and order.state != OrderState.UNKNOWN else None,
        looks=looks,
        look_count=sum(mine.values()),
        attempts=1 + mine.get("resend", 0),
    )


async def _stories(session: AsyncSession, ids: Sequence[str]) -> dict[str, list[OrderTransition]]:
    query = select(OrderTransition).where(OrderTransition.order_link_id.in_(ids)).order_by(OrderTransition.id)
    found: dict[str, list[OrderTransition]] = {}
    for row in await session.scalars(query):
        found.setdefault(row.order_link_id, []).append(row)
    return found


async def _newest_looks(session: AsyncSession, ids: Sequence[str], looks: int) -> dict[str, list[OrderEvidence]]:
    place = func.row_number().over(partition_by=OrderEvidence.order_link_id, order_by=OrderEvidence.id.desc())
    placed = select(OrderEvidence.id, place.label("place")).where(OrderEvidence.order_link_id.in_(ids)).subquery()
    query = select(OrderEvidence).join(placed, placed.c.id == OrderEvidence.id).where(placed.c.place <= looks)
    found: dict[str, list[OrderEvidence]] = {}
    for row in await session.scalars(query.order_by(OrderEvidence.id.desc())):
        found.setdefault(row.order_link_id, []).append(row)
    return found


async def _counts(session: AsyncSession, ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Looks by order and source."""
    key = (OrderEvidence.order_link_id, OrderEvidence.source)
    query = select(*key, func.count()).where(OrderEvidence.order_link_id.in_(ids)).group_by(*key)
    return {(row[0], row[1]): row[2] for row in await session.execute(query)}
