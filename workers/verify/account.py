"""What reconciliation last said of the account: what others hold is a figure, what nothing explains is wrong."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.repositories.foreign import open_foreign_orders, open_foreign_positions
from db.repositories.reconciliations import newest_reconciliation
from workers.verify.verdict import Figures, Finding, Kind


async def measure_foreign(session: AsyncSession, figures: Figures) -> None:
    """Fill in what others hold on the account."""
    figures.foreign_orders = len(await open_foreign_orders(session))
    figures.foreign_positions = len(await open_foreign_positions(session))


async def judge_drift(session: AsyncSession) -> list[Finding]:
    """What stands unexplained after the newest comparison that was written down."""
    newest = await newest_reconciliation(session)
    if newest is None:
        return []
    return [
        Finding(Kind.DRIFT, f"{each['kind']} {each['subject']}", f"unexplained: {each['sentence']}")
        for each in newest.drift
    ]
