"""The universe by rules: which of the symbols listed are traded, and which rule says so.

The rules are asked in their order, and the first that a symbol fails is the reason it is left out:

1. it is not on the list of those excluded, and if symbols are named at all it is one of them;
2. it is tradable; it is quoted in USDT;
3. one that is named, or is on the list of those included, is a member now, without further questions;
4. its turnover of 24 hours, its age, and its spread are within the limits (an age limit of 0 asks nothing);
5. it has one of the places of its category, by turnover; those included have theirs first.

What is not known of a candidate fails its rule; what is not known of a member does not cost it its place. A member's
turnover counts a fifth more than it is, for limit and place alike, and its spread may be a fifth wider: who is at the
edge doesn't come and go with every choice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from domain.market import Category, Instrument

QUOTE_COIN = "USDT"
SLACK = Decimal("1.2")
"""What a member's turnover is multiplied by, and the widest spread it may have."""

_DAY = timedelta(days=1)
_BPS = 10_000

Market = tuple[Category, str]


class UniverseReason(StrEnum):
    """Why a symbol is a member, or the rule that leaves it out."""

    INCLUDED = "included"
    CHOSEN = "chosen"
    EXCLUDED = "excluded"
    NOT_NAMED = "not_named"
    NOT_TRADABLE = "not_tradable"
    QUOTE = "quote"
    TURNOVER = "turnover"
    AGE = "age"
    SPREAD = "spread"
    SIZE = "size"


_MEMBERS = frozenset({UniverseReason.INCLUDED, UniverseReason.CHOSEN})
_OF_LISTED = frozenset({UniverseReason.INCLUDED, UniverseReason.NOT_TRADABLE, UniverseReason.QUOTE})


@dataclass(frozen=True, slots=True)
class UniverseRules:
    """The settings of the universe. ``named`` empty: every symbol may be chosen; ``size`` is of each category."""

    named: frozenset[str]
    excluded: frozenset[str]
    included: frozenset[str]
    size: int
    min_turnover_usd: Decimal
    min_age_days: int
    max_spread_bps: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> UniverseRules:
        return cls(
            named=frozenset(settings["universe"]),
            excluded=frozenset(settings["universe_exclude"]),
            included=frozenset(settings["universe_include"]),
            size=int(settings["universe_size"]),
            min_turnover_usd=Decimal(str(settings["universe_min_turnover_usd"])),
            min_age_days=int(settings["universe_min_age_days"]),
            max_spread_bps=float(settings["universe_max_spread_bps"]),
        )

    def forbids(self, symbol: str) -> bool:
        """Whether the lists say that it is never traded, whatever it is chosen by: a strategy's own symbols too."""
        return symbol in self.excluded or bool(self.named and symbol not in self.named)

    def agree(self, symbol: str, reason: UniverseReason) -> bool:
        """Whether a choice with that ``reason`` was made by the lists as they are now; numbers are not looked at.

        What can't be traded is never a member, whatever the lists say.
        """
        if reason is UniverseReason.NOT_TRADABLE:
            return True
        if symbol in self.excluded:
            return reason is UniverseReason.EXCLUDED
        if self.named and symbol not in self.named:
            return reason is UniverseReason.NOT_NAMED
        if symbol in self.named | self.included:
            return reason in _OF_LISTED
        return reason not in (UniverseReason.EXCLUDED, UniverseReason.NOT_NAMED, UniverseReason.INCLUDED)


@dataclass(frozen=True, slots=True)
class Quote:
    """What the market says of a symbol: turnover of 24 hours in its quote coin, best prices. None: unknown."""

    turnover_usd: Decimal | None
    bid: Decimal | None
    ask: Decimal | None

    @property
    def spread_bps(self) -> float | None:
        """The spread in hundredths of a percent of the middle."""
        if self.bid is None or self.ask is None or not 0 < self.bid <= self.ask:
            return None
        return float((self.ask - self.bid) / ((self.ask + self.bid) / 2) * _BPS)


@dataclass(frozen=True, slots=True)
class Choice:
    """A listed symbol and whether it is traded. ``rank`` is its place by turnover; None: it didn't come to that."""

    category: Category
    symbol: str
    reason: UniverseReason
    turnover_usd: Decimal | None
    spread_bps: float | None
    age_days: float | None
    rank: int | None

    @property
    def member(self) -> bool:
        return self.reason in _MEMBERS


@dataclass(frozen=True, slots=True)
class _Candidate:
    instrument: Instrument
    quote: Quote
    age_days: float | None
    member: bool

    @property
    def turnover(self) -> Decimal | None:
        """As it counts for limit and place."""
        told = self.quote.turnover_usd
        return told * SLACK if told is not None and self.member else told

    @property
    def place(self) -> tuple[bool, Decimal, str]:
        """Sort key of the places: a member whose turnover isn't known keeps its own, then the largest turnover."""
        return self.turnover is not None, -(self.turnover or Decimal(0)), self.instrument.symbol


def choose(
    listed: Sequence[Instrument],
    quotes: Mapping[Market, Quote],
    rules: UniverseRules,
    members: Collection[Market],
    now: datetime,
) -> list[Choice]:
    """One choice for each of ``listed``, in their order. ``members`` are those of the choice before, at ``now``."""
    candidates = [_candidate(one, quotes, members, now) for one in listed]
    reasons = {_market(each): _reason(each, rules) for each in candidates}
    ranks: dict[Market, int] = {}
    for category in Category:
        of_category = [each for each in candidates if each.instrument.category is category]
        included = sum(reasons[_market(each)] is UniverseReason.INCLUDED for each in of_category)
        room = max(rules.size - included, 0)
        contest = [each for each in of_category if reasons[_market(each)] is UniverseReason.CHOSEN]
        for rank, each in enumerate(sorted(contest, key=lambda each: each.place), start=1):
            ranks[_market(each)] = rank
            if rank > room:
                reasons[_market(each)] = UniverseReason.SIZE
    return [
        Choice(
            category=each.instrument.category,
            symbol=each.instrument.symbol,
            reason=reasons[_market(each)],
            turnover_usd=each.quote.turnover_usd,
            spread_bps=each.quote.spread_bps,
            age_days=each.age_days,
            rank=ranks.get(_market(each)),
        )
        for each in candidates
    ]


def _candidate(
    instrument: Instrument, quotes: Mapping[Market, Quote], members: Collection[Market], now: datetime
) -> _Candidate:
    market = instrument.category, instrument.symbol
    age = None if instrument.launched_at is None else (now - instrument.launched_at) / _DAY
    return _Candidate(instrument, quotes.get(market, Quote(None, None, None)), age, market in members)


def _market(candidate: _Candidate) -> Market:
    return candidate.instrument.category, candidate.instrument.symbol


def _reason(candidate: _Candidate, rules: UniverseRules) -> UniverseReason:
    """Why it is left out, or ``CHOSEN`` for one that only a place is left to be found for."""
    instrument = candidate.instrument
    named = instrument.symbol in rules.named
    asked = (
        (UniverseReason.EXCLUDED, instrument.symbol in rules.excluded),
        (UniverseReason.NOT_NAMED, bool(rules.named) and not named),
        (UniverseReason.NOT_TRADABLE, not instrument.tradable),
        (UniverseReason.QUOTE, instrument.quote_coin != QUOTE_COIN),
        (UniverseReason.INCLUDED, named or instrument.symbol in rules.included),
        (UniverseReason.TURNOVER, not _turns_over(candidate, rules)),
        (UniverseReason.AGE, not _is_old_enough(candidate, rules)),
        (UniverseReason.SPREAD, not _is_tight(candidate, rules)),
    )
    return next((reason for reason, holds in asked if holds), UniverseReason.CHOSEN)


def _turns_over(candidate: _Candidate, rules: UniverseRules) -> bool:
    return candidate.member if candidate.turnover is None else candidate.turnover >= rules.min_turnover_usd


def _is_old_enough(candidate: _Candidate, rules: UniverseRules) -> bool:
    if rules.min_age_days == 0:
        return True
    return candidate.member if candidate.age_days is None else candidate.age_days >= rules.min_age_days


def _is_tight(candidate: _Candidate, rules: UniverseRules) -> bool:
    spread = candidate.quote.spread_bps
    if spread is None:
        return candidate.member
    return spread <= rules.max_spread_bps * (float(SLACK) if candidate.member else 1.0)
