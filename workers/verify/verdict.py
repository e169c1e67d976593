"""What a verdict says: figures that are known whatever happens, and findings, one for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel


class Kind(StrEnum):
    """What can be wrong. They are counted (or summed) in the verdict's field of the same name."""

    ORDERS_LOST = "orders_lost"
    ORDERS_DOUBLED = "orders_doubled"
    ORDERS_ORPHANED = "orders_orphaned"
    STOPS_MISSED = "stops_missed"
    LEDGER_DRIFT = "ledger_drift"
    UNPROTECTED = "unprotected"
    ROWS_WITHOUT_WORKFLOW = "rows_without_workflow"
    SCANS_MISSING = "scans_missing"
    SNAPSHOTS_MISSING = "snapshots_missing"
    EXECUTIONS_MISSING = "executions_missing"
    DRIFT = "drift"
    DECISIONS_DIFFER = "decisions_differ"
    INPUTS_CHANGED = "inputs_changed"
    INVARIANTS_BROKEN = "invariants_broken"


class Finding(NamedTuple):
    """One thing that is wrong: what, about which id, in one sentence. ``amount`` is what it adds to its figure."""

    kind: Kind
    subject: str
    sentence: str
    amount: Decimal = Decimal(1)


class Figures(BaseModel):
    """What the run came to; none of it is good or bad by itself. Seconds are wall time."""

    positions_opened: int = 0
    positions_closed: int = 0
    positions_active: int = 0
    exits: dict[str, int] = {}
    orders: int = 0
    executions: int = 0
    scans: int = 0
    decisions: int = 0
    decisions_replayed: int = 0
    snapshots: int = 0
    snapshot_unexplained_max: str = "0"
    invariants_checked: int = 0
    foreign_orders: int = 0
    foreign_positions: int = 0
    unprotected_seconds_max: float = 0.0
    unwatched_seconds_max: float = 0.0
    stops_replayed: int = 0
    stop_delay_seconds_max: float = 0.0


class Verdict(Figures):
    """``ledger_drift`` is "0" when books and database agree; ``drift`` counts what reconciliation can't explain,
    ``invariants_broken`` what the newest hour's snapshot can't. ``inputs_changed`` are decisions that were made on
    other numbers than those there are now, ``decisions_differ`` those that come out otherwise on the same.

    ``not_judged`` names what could not be looked at.
    """

    orders_lost: int = 0
    orders_doubled: int = 0
    orders_orphaned: int = 0
    stops_missed: int = 0
    ledger_drift: str = "0"
    rows_without_workflow: int = 0
    scans_missing: int = 0
    snapshots_missing: int = 0
    executions_missing: int = 0
    drift: int = 0
    invariants_broken: int = 0
    decisions_differ: int = 0
    inputs_changed: int = 0
    not_judged: list[str] = []
    findings: list[str] = []
    ok: bool = True


def verdict_of(figures: Figures, findings: Iterable[Finding], not_judged: Iterable[str] = ()) -> Verdict:
    """Figures and the findings that stood up to being looked at again, as one verdict."""
    found = sorted(findings)

    def count(kind: Kind) -> int:
        return sum(1 for finding in found if finding.kind is kind)

    drift = sum((finding.amount for finding in found if finding.kind is Kind.LEDGER_DRIFT), Decimal(0))
    return Verdict(
        **figures.model_dump(),
        orders_lost=count(Kind.ORDERS_LOST),
        orders_doubled=count(Kind.ORDERS_DOUBLED),
        orders_orphaned=count(Kind.ORDERS_ORPHANED),
        stops_missed=count(Kind.STOPS_MISSED),
        ledger_drift=format(drift.normalize(), "f") if drift else "0",
        rows_without_workflow=count(Kind.ROWS_WITHOUT_WORKFLOW),
        scans_missing=count(Kind.SCANS_MISSING),
        snapshots_missing=count(Kind.SNAPSHOTS_MISSING),
        executions_missing=count(Kind.EXECUTIONS_MISSING),
        drift=count(Kind.DRIFT),
        decisions_differ=count(Kind.DECISIONS_DIFFER),
        inputs_changed=count(Kind.INPUTS_CHANGED),
        invariants_broken=count(Kind.INVARIANTS_BROKEN),
        not_judged=sorted(not_judged),
        findings=[finding.sentence for finding in found],
        ok=not found,
    )
