"""Signals, what blocked them, and watchlist scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import BlockedSignal, Signal
from domain.gate_facts import GateFacts, GateVerdict

DECISION = "decision"
RESERVATION = "reservation"
_FACTS = TypeAdapter(GateFacts)
_SCORE_COLUMNS = ("strategy", "category", "symbol", "score", "evidence", "close_at")
# Arrays, not a row of values each: a scan of a whole market stores thousands.
_UPSERT_SCORES = text(
    """
    INSERT INTO watchlist AS known (strategy, category, symbol, score, evidence, close_at, updated_at)
    SELECT strategy, category, symbol, score, CAST(evidence AS jsonb), close_at, clock_timestamp()
    FROM unnest(
        CAST(:strategy AS text[]), CAST(:category AS text[]), CAST(:symbol AS text[]), CAST(:score AS float8[]),
        CAST(:evidence AS text[]), CAST(:close_at AS timestamptz[])
    ) AS told (strategy, category, symbol, score, evidence, close_at)
    ON CONFLICT (strategy, category, symbol) DO UPDATE
    SET score = excluded.score, evidence = excluded.evidence, close_at = excluded.close_at,
        updated_at = excluded.updated_at
    """
)


async def add_signal(
    session: AsyncSession, signal: Signal, facts: GateFacts, verdicts: Sequence[GateVerdict], at: datetime
) -> None:
    """Store a signal with what the gates saw and every verdict on it, and a row for each gate that blocks: the first of
    them is the reason."""
    blocks = [verdict for verdict in verdicts if not verdict.passed]
    signal.facts = json.loads(_FACTS.dump_json(facts))
    signal.verdicts = [verdict.model_dump(mode="json") for verdict in verdicts]
    signal.blocked_by = blocks[0].gate if blocks else None
    session.add(signal)
    await session.flush()  # its blocks name it
    for place, verdict in enumerate(blocks):
        session.add(_block(signal.signal_id, DECISION, place, verdict, at))


async def block_reservation(session: AsyncSession, signal_id: str, blocks: Sequence[GateVerdict], at: datetime) -> None:
    """An accepted signal whose place was gone when it was to be taken, with every gate that said so, the first of them
    the reason; a refusal that was told before changes nothing."""
    known = await session.scalar(
        select(BlockedSignal.id)
        .where(BlockedSignal.signal_id == signal_id, BlockedSignal.stage == RESERVATION)
        .limit(1)
    )
    if known is None and await session.get(Signal, signal_id) is not None:
        session.add_all(_block(signal_id, RESERVATION, place, block, at) for place, block in enumerate(blocks))


def _block(signal_id: str, stage: str, place: int, verdict: GateVerdict, at: datetime) -> BlockedSignal:
    return BlockedSignal(
        signal_id=signal_id,
        stage=stage,
        place=place,
        gate=verdict.gate,
        value=verdict.value,
        threshold=verdict.threshold,
        detail=verdict.detail,
        at=at,
    )


async def accepted_signals(session: AsyncSession, epoch: str, close_at: datetime) -> Sequence[Signal]:
    """Signals of one close that every gate let pass, in the order in which they were accepted."""
    rows = await session.scalars(
        select(Signal)
        .where(Signal.epoch == epoch, Signal.close_at == close_at, Signal.blocked_by.is_(None))
        .order_by(Signal.score.desc(), Signal.strategy, Signal.symbol)
    )
    return rows.all()


async def upsert_scores(session: AsyncSession, scores: Sequence[dict[str, Any]]) -> None:
    """Store watchlist scores ({strategy, category, symbol, score, evidence, close_at}) in place of older ones."""
    if not scores:
        return
    columns: dict[str, list[Any]] = {name: [each[name] for each in scores] for name in _SCORE_COLUMNS}
    columns["evidence"] = [json.dumps(each) for each in columns["evidence"]]
    await session.execute(_UPSERT_SCORES, columns)
