"""The universe: its members now, every symbol's standing with the reason, and the choice that made it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.chunks import in_chunks
from db.models import UniverseMember
from db.repositories.market import list_instruments
from db.repositories.settings import current_settings
from domain.market import Category, Instrument
from domain.universe import Choice, Market, UniverseReason, UniverseRules

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('universe', 0))")
_VALUES = ("member", "reason", "turnover_usd", "spread_bps", "age_days", "rank", "chosen_at")


@dataclass(frozen=True, slots=True)
class UniverseChange:
    """Markets that joined and left with the reason of each; both empty when the members stayed the same."""

    joined: dict[Market, UniverseReason]
    left: dict[Market, UniverseReason]


async def members(session: AsyncSession) -> list[Instrument]:
    """Instruments that are traded, by category and symbol.

    Where the setting ``universe`` names symbols these are known ones it names, else those chosen last, and every one
    known until there was a choice. What the setting ``universe_exclude`` names is left out from the moment it does.
    """
    rules = UniverseRules.of(await current_settings(session))
    known = [one for one in await list_instruments(session) if not rules.forbids(one.symbol)]
    if rules.named:
        return known
    rows = await session.execute(select(UniverseMember.category, UniverseMember.symbol, UniverseMember.member))
    standing = {(row.category, row.symbol): row.member for row in rows}
    return [one for one in known if not standing or standing.get((one.category, one.symbol), False)]


async def chosen_at(session: AsyncSession) -> datetime | None:
    """When the members were chosen last (market time); None: never."""
    return await session.scalar(select(func.max(UniverseMember.chosen_at)))


async def lock_universe(session: AsyncSession) -> None:
    """Nobody else chooses until the transaction ends."""
    await session.execute(_LOCK)


async def chosen_markets(session: AsyncSession) -> frozenset[Market]:
    """The members of the last choice."""
    rows = await session.execute(select(UniverseMember.category, UniverseMember.symbol).where(UniverseMember.member))
    return frozenset((Category(row.category), row.symbol) for row in rows)


async def reasons(session: AsyncSession) -> dict[Market, UniverseReason]:
    """Every market that a choice was made about, with its reason."""
    rows = await session.execute(select(UniverseMember.category, UniverseMember.symbol, UniverseMember.reason))
    return {(Category(row.category), row.symbol): UniverseReason(row.reason) for row in rows}


async def store_choice(session: AsyncSession, choices: Sequence[Choice], at: datetime) -> UniverseChange:
    """Keep a choice made at market time ``at`` and tell what it changed; the universe is locked.

    What is no longer listed in a category of ``choices`` can't be traded any more.
    """
    before = await chosen_markets(session)
    for chunk in in_chunks([_row(each, at) for each in choices]):
        statement = insert(UniverseMember).values(list(chunk))
        turned = UniverseMember.member != statement.excluded.member
        since = case((turned, statement.excluded.since), else_=UniverseMember.since)
        told = {name: statement.excluded[name] for name in _VALUES}
        await session.execute(
            statement.on_conflict_do_update(index_elements=["category", "symbol"], set_={**told, "since": since})
        )
    listed = {(each.category, each.symbol): each.reason for each in choices}
    categories = {category for category, _ in listed}
    await session.execute(  # what this choice did not reach
        update(UniverseMember)
        .where(UniverseMember.category.in_(categories), UniverseMember.chosen_at != at)
        .values(
            member=False,
            reason=UniverseReason.NOT_TRADABLE,
            rank=None,
            chosen_at=at,
            since=case((UniverseMember.member, at), else_=UniverseMember.since),
        )
    )
    now = {(each.category, each.symbol) for each in choices if each.member}
    return UniverseChange(
        joined={market: listed[market] for market in sorted(now - before)},
        left={
            market: listed.get(market, UniverseReason.NOT_TRADABLE)
            for market in sorted(before - now)
            if market[0] in categories
        },
    )


def _row(choice: Choice, at: datetime) -> dict[str, Any]:
    return {
        "category": choice.category,
        "symbol": choice.symbol,
        "member": choice.member,
        "reason": choice.reason,
        "turnover_usd": choice.turnover_usd,
        "spread_bps": choice.spread_bps,
        "age_days": choice.age_days,
        "rank": choice.rank,
        "chosen_at": at,
        "since": at,
    }


async def standings(
    session: AsyncSession, *, category: Category | None, symbol: str | None, member: bool | None
) -> Sequence[UniverseMember]:
    """Every listed symbol as of the last choice: members first, then by category, place and symbol."""
    row = UniverseMember
    query = select(row).order_by(row.member.desc(), row.category, row.rank.asc().nulls_first(), row.symbol)
    if category is not None:
        query = query.where(row.category == category)
    if symbol is not None:
        query = query.where(row.symbol == symbol)
    if member is not None:
        query = query.where(row.member == member)
    return (await session.scalars(query)).all()
