"""The invariants of an hour: judged from what its snapshot has read, kept in its row, paged when they don't hold.

Reconciliation holds the account of this moment against our rows, and halts entries; this holds the books of every hour
against the exchange's log, and says by how much. What reconciliation has paged already is kept and not paged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from activities.hour_before import HourBefore
from db.models import PortfolioHourlySnapshot
from db.repositories.audit import record_event
from db.repositories.reconciliations import newest_reconciliation
from db.repositories.snapshots import LedgerAt
from domain.invariants import (
    Check,
    Invariant,
    Others,
    check_coins,
    check_equity,
    check_sizes,
    foreign_coins,
    mixed_symbols,
    sizes_at,
)
from domain.market import Category
from domain.portfolio import (
    Flows,
    Holding,
    Movement,
    Prices,
    Standing,
    difference,
    revalued,
    sold_apart,
    total,
    unexplained,
)

_EVENTS = {
    Invariant.EQUITY: "snapshot_unexplained",
    Invariant.SPOT_LOTS: "lots_unexplained",
    Invariant.LINEAR_LOTS: "lots_unexplained",
}
_PAGED_AS = {
    Invariant.SPOT_LOTS: ("coin_short", "balance"),
    Invariant.LINEAR_LOTS: ("size",),
    Invariant.EQUITY: (),
}
"""Kinds of drift by which reconciliation pages the same."""


@dataclass(frozen=True, slots=True)
class ForeignSizes:
    """What others hold of linear symbols, signed, at the hour and at the one before; ``known`` False: this market was
    never compared, so nobody knows what was there before."""

    known: bool
    now: Mapping[str, Decimal]
    before: Mapping[str, Decimal]

    @property
    def symbols(self) -> set[str]:
        return {symbol for sizes in (self.now, self.before) for symbol, size in sizes.items() if size}


@dataclass(frozen=True, slots=True)
class HourFacts:
    """What a snapshot has read. ``sizes`` is what the exchange says of linear symbols now, signed; ``stretch`` what
    the time since ``before`` brought."""

    hour: datetime
    before: HourBefore
    ledger: LedgerAt
    holdings: Sequence[Holding]
    balances: Mapping[str, Decimal]
    prices: Prices
    log: Sequence[Movement]
    sizes: Mapping[str, Decimal]
    foreign: ForeignSizes
    standing: Standing
    stretch: Flows

    @property
    def others(self) -> Others:
        coins = {fill.exec_id: (fill.base_coin, fill.quote_coin) for fill in self.ledger.fills}
        return Others(self.log, coins, self.ledger.sold_beyond)


@dataclass(frozen=True, slots=True)
class Judged:
    """``unexplained`` is of equity, others' doings in it; ``revalued`` what price moves of foreign coins and sales of
    them did to it, ``others`` what else they did; ``mixed`` the symbols where cash can't be told apart."""

    checks: Sequence[Check]
    not_judged: Sequence[str]
    unexplained: Decimal
    revalued: Decimal
    others: Decimal
    mixed: Sequence[str]

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if check.broken]

    def document(self) -> dict[str, Any]:
        """As the row keeps it."""
        return {
            "checks": [_document(check) for check in self.checks],
            "not_judged": list(self.not_judged),
            "mixed": list(self.mixed),
        }


def judge(facts: HourFacts, *, proved: bool) -> Judged:
    """Every invariant of the hour. Raises LogBehind while sizes and log don't tell the same, if ``proved``."""
    before, others = facts.before, facts.others
    first = before.row is None
    foreign = (
        None if first else foreign_coins(before.not_ours, others.changes(before.hour, facts.hour), _standing(before))
    )
    checks = check_coins(facts.balances, facts.holdings, foreign, facts.prices)
    not_judged = []
    if facts.foreign.known:
        sizes = sizes_at(facts.sizes, facts.log, facts.hour, proved=proved)
        checks += check_sizes(sizes, facts.holdings, facts.foreign.now, facts.prices)
    else:
        not_judged.append("linear symbols: the account was never compared")
    equity, mixed = _equity(facts, others), _mixed(facts, others)
    if mixed:
        not_judged.append(f"equity: others traded {', '.join(mixed)} beside us")
    elif not first:
        checks.append(equity.check)
    return Judged(checks, not_judged, equity.unexplained, equity.revalued, equity.others, mixed)


@dataclass(frozen=True, slots=True)
class _Equity:
    check: Check
    unexplained: Decimal
    revalued: Decimal
    others: Decimal


def _equity(facts: HourFacts, others: Others) -> _Equity:
    """By how much equity moved since the snapshot before, and what of it the books and others explain."""
    before, prices = facts.before, facts.prices
    if before.row is None:
        nothing = Decimal(0)
        return _Equity(check_equity(nothing, nothing, nothing), nothing, nothing, nothing)
    equity, unrealised = before.standing(facts.log)
    apart = sold_apart(facts.ledger.sold_beyond, prices, before.hour, facts.hour)
    moved = difference(facts.standing.equity, equity)
    gained = difference(facts.standing.unrealised, unrealised)
    gap = unexplained(moved, gained, facts.stretch)
    changed = total([revalued(before.not_ours, before.told("coin_prices"), prices), apart])
    brought = others.brought(prices, before.hour, facts.hour)
    check = check_equity(moved, difference(moved, gap), total([changed, brought]))
    return _Equity(check, gap, changed, brought)


def _mixed(facts: HourFacts, others: Others) -> list[str]:
    before = facts.before
    held_before, held_now = _linear(before.holdings), _linear(facts.holdings)
    filled = {
        fill.symbol
        for fill in facts.ledger.fills
        if fill.category is Category.LINEAR and before.hour < fill.executed_at <= facts.hour
    }
    ours = (held_before, held_now, filled)
    theirs = (facts.foreign.symbols, others.traded(before.hour, facts.hour))
    return sorted(mixed_symbols(ours, theirs, _mixed_before(before), held_before))


def _linear(holdings: Iterable[Holding]) -> set[str]:
    return {each.symbol for each in holdings if each.category is Category.LINEAR}


def _kept(before: HourBefore) -> Mapping[str, Any]:
    """What the snapshot before kept of its invariants; one of an older version kept nothing."""
    return {} if before.row is None else before.row.detail.get("invariants", {})


def _mixed_before(before: HourBefore) -> set[str]:
    return set(_kept(before).get("mixed", ()))


def _standing(before: HourBefore) -> dict[str, Decimal]:
    """What was unexplained of each coin."""
    told = _kept(before).get("checks", ())
    mine = ((each["subject"], Decimal(each["unexplained"])) for each in told if each["kind"] == Invariant.SPOT_LOTS)
    return {coin: gap for coin, gap in mine if gap}


def _identity(check: Check) -> tuple[str, str, str | None]:
    document = _document(check)
    return document["kind"], document["subject"], document["unexplained"]


def _document(check: Check) -> dict[str, Any]:
    amounts = ("exchange", "lots", "dust", "foreign", "unexplained", "worth")
    told = {name: getattr(check, name) for name in amounts}
    return {
        "kind": check.kind.value,
        "subject": check.subject,
        "broken": check.broken,
        "sentence": check.sentence,
        **{name: None if amount is None else f"{amount:f}" for name, amount in told.items()},
    }


async def page_broken(
    session: AsyncSession, hour: datetime, broken: Sequence[Check], before: PortfolioHourlySnapshot | None
) -> None:
    """One page for each kind of invariant that an hour breaks, with all its numbers. Once: with the hour's row, and for
    what stands as it stood in the hour before not again."""
    kept = {} if before is None else before.detail.get("invariants", {})
    told = {
        (each["kind"], each["subject"], each["unexplained"])
        for each in kept.get("checks", ())
        if each["broken"] and each["kind"] != Invariant.EQUITY
    }
    broken = [each for each in broken if _identity(each) not in told]
    if not broken:
        return
    newest = await newest_reconciliation(session)
    drift = {(each["kind"], each["subject"]) for each in (newest.drift if newest else [])}
    for kind in Invariant:
        checks = [each for each in broken if each.kind is kind]
        new = [each for each in checks if not any((name, each.subject) in drift for name in _PAGED_AS[kind])]
        if not new:
            continue
        record_event(
            session,
            _EVENTS[kind],
            f"snapshot/{hour:%Y-%m-%dT%H:%M:%SZ}",
            who="snapshot",
            severity="page",
            market_at=hour,
            detail={
                "invariant": kind.value,
                "sentence": "; ".join(each.sentence for each in new),
                "checks": [_document(each) for each in new],
            },
        )
