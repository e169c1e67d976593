"""The invariants of the books as the newest hour's snapshot judged them: what was compared, and what doesn't hold."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.portfolio import newest_snapshot
from workers.verify.verdict import Figures, Finding, Kind


async def judge_invariants(session: AsyncSession, epoch: str, figures: Figures) -> list[Finding]:
    """One finding for each comparison that is off by more than a cent. ``figures`` tells how many there were."""
    newest = await newest_snapshot(session, epoch)
    if newest is None:
        return []
    checks = newest.detail.get("invariants", {}).get("checks", [])
    figures.invariants_checked = len(checks)
    return [
        Finding(
            Kind.INVARIANTS_BROKEN,
            f"{each['kind']} {each['subject']}",
            f"at {newest.hour:%Y-%m-%d %H:%M}: {each['sentence']}",
        )
        for each in checks
        if each["broken"]
    ]
