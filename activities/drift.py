"""Drift that stands: new drift halts entries and pages once, explained drift is said; a person lets entries go on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.audit import record_event
from db.repositories.book import lock_reservations
from db.repositories.settings import set_halted
from db.session import Database
from domain.reconciling import Drift

WHO = "reconciliation"
UNEXPLAINED = "drift"
EXPLAINED = "drift_explained"

BALANCE_KINDS = frozenset({"balance", "log"})
"""Kinds that only a comparison with the balances can find, or find explained."""


def document(drift: Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind,
        "subject": drift.subject,
        "amount": f"{drift.amount:f}",
        "sentence": drift.sentence,
    }


def standing(
    known: Iterable[dict[str, Any]], found: Iterable[Drift], unjudged: Collection[str], *, whole: bool
) -> list[dict[str, Any]]:
    """Everything unexplained after a comparison: what it found, and what was known and could not be judged by it.

    ``unjudged`` are keys of drift, ``log`` standing for all of that kind; unless ``whole`` it judged no balances.
    """
    now = [document(each) for each in found]
    told = {_key(each) for each in now}

    def open_still(each: dict[str, Any]) -> bool:
        unseen = not whole and each["kind"] in BALANCE_KINDS
        return unseen or _key(each) in unjudged or each["kind"] in unjudged

    return [each for each in known if _key(each) not in told and open_still(each)] + now


def _key(each: dict[str, Any]) -> str:
    return f"{each['kind']} {each['subject']}"


async def say_drift(
    session: AsyncSession, known: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]
) -> tuple[bool, bool]:
    """Page and halt for what is new (also a known thing whose amount changed), and say what is explained by now.

    (whether anything changed, whether this halted entries). The session must carry ``reconciliation`` as its actor.
    """
    before, after = {_key(each): each["amount"] for each in known}, {_key(each) for each in now}
    new = [each for each in now if before.get(_key(each)) != each["amount"]]
    over = [each for each in known if _key(each) not in after]
    halted = False
    if new:
        await lock_reservations(session)  # a reservation under way is over before the halt, or sees it
        told = "; ".join(each["sentence"] for each in new)
        halted = await set_halted(session, True, who=WHO, reason=f"drift: {told}"[:500])
    for each in new:
        record_event(session, UNEXPLAINED, each["subject"], who=WHO, severity="page", detail=each)
    for each in over:
        record_event(session, EXPLAINED, each["subject"], who=WHO, severity="warning", detail=each)
    return bool(new or over), halted


def acting(database: Database, now: Sequence[dict[str, Any]]) -> Any:
    """A transaction whose changes of settings are reconciliation's own, for what stands unexplained."""
    told = "; ".join(each["sentence"] for each in now)
    return database.session(actor=WHO, reason=f"drift: {told}"[:500] if told else "compared")
