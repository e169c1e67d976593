"""The universe by rules: who is in it, which rule says so, and that nobody comes and goes at the edge."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market import Category, Instrument
from domain.universe import Choice, Market, Quote, UniverseReason, UniverseRules, choose

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = tuple(f"{letter}USDT" for letter in "ABCDEFGH")
ALL = UniverseRules(frozenset(), frozenset(), frozenset(), 200, Decimal(0), 0, 100.0)


def listed(
    symbol: str,
    category: Category = Category.SPOT,
    *,
    age_days: float | None = 400,
    tradable: bool = True,
    quote_coin: str = "USDT",
) -> Instrument:
    return Instrument(
        category=category,
        symbol=symbol,
        base_coin=symbol.removesuffix("USDT"),
        quote_coin=quote_coin,
        tick_size=Decimal("0.1"),
        qty_step=Decimal("0.1"),
        min_order_qty=Decimal("0.1"),
        min_order_amount=Decimal(5),
        max_market_qty=Decimal(1000),
        tradable=tradable,
        launched_at=None if age_days is None else NOW - timedelta(days=age_days),
    )


def quote(turnover: float | None, spread_bps: float | None = 2) -> Quote:
    turned = None if turnover is None else Decimal(str(turnover))
    if spread_bps is None:
        return Quote(turned, None, None)
    half = Decimal(str(spread_bps)) / 20_000
    return Quote(turned, 1 - half, 1 + half)


def told(
    instruments: Collection[Instrument],
    quotes: Mapping[str, Quote],
    rules: UniverseRules = ALL,
    members: Collection[str] = (),
) -> dict[str, Choice]:
    """The choice among spot symbols."""
    by_market = {(Category.SPOT, symbol): each for symbol, each in quotes.items()}
    before = {(Category.SPOT, symbol) for symbol in members}
    return {each.symbol: each for each in choose(list(instruments), by_market, rules, before, NOW)}


def reason_of(instrument: Instrument, its: Quote, rules: UniverseRules, *, member: bool = False) -> str:
    members = (instrument.symbol,) if member else ()
    return told([instrument], {instrument.symbol: its}, rules, members)[instrument.symbol].reason


@pytest.mark.parametrize(
    ("instrument", "its", "rules", "expected"),
    [
        (listed("AUSDT"), quote(1), ALL, "chosen"),
        (
            listed("AUSDT"),
            quote(1),
            replace(ALL, excluded=frozenset({"AUSDT"}), included=frozenset({"AUSDT"})),
            "excluded",
        ),
        (
            listed("AUSDT"),
            quote(1),
            replace(ALL, named=frozenset({"AUSDT"}), excluded=frozenset({"AUSDT"})),
            "excluded",
        ),
        (
            listed("AUSDT"),
            quote(1),
            replace(ALL, named=frozenset({"BUSDT"}), included=frozenset({"AUSDT"})),
            "not_named",
        ),
        (listed("AUSDT"), quote(None, None), replace(ALL, named=frozenset({"AUSDT"}), min_age_days=900), "included"),
        (listed("AUSDT", tradable=False), quote(1), replace(ALL, named=frozenset({"AUSDT"})), "not_tradable"),
        (listed("ABTC", quote_coin="BTC"), quote(1), replace(ALL, included=frozenset({"ABTC"})), "quote"),
        (listed("AUSDT"), quote(None, None), replace(ALL, included=frozenset({"AUSDT"}), size=1), "included"),
        (listed("AUSDT"), quote(99), replace(ALL, min_turnover_usd=Decimal(100)), "turnover"),
        (listed("AUSDT"), quote(None), ALL, "turnover"),
        (listed("AUSDT", age_days=29), quote(1), replace(ALL, min_age_days=30), "age"),
        (listed("AUSDT", age_days=None), quote(1), replace(ALL, min_age_days=30), "age"),
        (listed("AUSDT", age_days=None), quote(1), ALL, "chosen"),
        (listed("AUSDT"), quote(1, 101), ALL, "spread"),
        (listed("AUSDT"), quote(1, None), ALL, "spread"),
        (listed("AUSDT"), Quote(Decimal(1), Decimal(2), Decimal(1)), ALL, "spread"),
    ],
)
def test_the_first_rule_that_a_symbol_fails_is_its_reason(
    instrument: Instrument, its: Quote, rules: UniverseRules, expected: str
) -> None:
    assert reason_of(instrument, its, rules) == expected


@pytest.mark.parametrize(
    ("its", "candidate", "member"),
    [
        (quote(84), "turnover", "chosen"),
        (quote(83), "turnover", "turnover"),
        (quote(200, 119), "spread", "chosen"),
        (quote(200, 121), "spread", "spread"),
        (quote(None), "turnover", "chosen"),
        (quote(200, None), "spread", "chosen"),
    ],
)
def test_a_member_at_the_edge_stays_where_a_candidate_does_not_come_in(its: Quote, candidate: str, member: str) -> None:
    rules = replace(ALL, min_turnover_usd=Decimal(100))
    assert reason_of(listed("AUSDT"), its, rules) == candidate
    assert reason_of(listed("AUSDT"), its, rules, member=True) == member


def test_an_unknown_age_costs_a_member_nothing() -> None:
    rules = replace(ALL, min_age_days=30)
    assert reason_of(listed("AUSDT", age_days=None), quote(1), rules, member=True) == "chosen"


def test_a_candidate_takes_a_member_s_place_with_a_fifth_more_turnover() -> None:
    instruments, rules = [listed("AUSDT"), listed("BUSDT")], replace(ALL, size=1)
    for turnover, winner in ((100, "AUSDT"), (119, "AUSDT"), (121, "BUSDT")):
        chosen = told(instruments, {"AUSDT": quote(100), "BUSDT": quote(turnover)}, rules, {"AUSDT"})
        assert [symbol for symbol, each in chosen.items() if each.member] == [winner]
    (loser,) = (each for each in chosen.values() if not each.member)
    assert (loser.symbol, loser.reason, loser.rank) == ("AUSDT", "size", 2)


def test_places_are_of_each_category_and_those_included_have_theirs_first() -> None:
    instruments = [listed(name, category) for category in Category for name in NAMES]
    quotes = {(one.category, one.symbol): quote(NAMES.index(one.symbol) + 1) for one in instruments}
    rules = replace(ALL, size=3, included=frozenset({"AUSDT"}))
    chosen = choose(instruments, quotes, rules, (), NOW)
    for category in Category:
        members = {each.symbol: each.reason for each in chosen if each.category is category and each.member}
        assert members == {"AUSDT": "included", "HUSDT": "chosen", "GUSDT": "chosen"}


@pytest.mark.parametrize("field", ["named", "excluded"])
def test_what_can_not_be_traded_any_more_agrees_with_any_lists(field: str) -> None:
    rules = replace(ALL, **{field: frozenset({"AUSDT"})})
    assert rules.agree("AUSDT", UniverseReason.NOT_TRADABLE)
    assert rules.agree("BUSDT", UniverseReason.NOT_TRADABLE)


def test_a_choice_agrees_with_the_lists_it_was_made_by_and_with_no_others() -> None:
    lists = [ALL, *(replace(ALL, **{name: frozenset({"AUSDT"})}) for name in ("named", "excluded", "included"))]
    for rules in lists:
        chosen = told([listed("AUSDT"), listed("BUSDT")], {"AUSDT": quote(1), "BUSDT": quote(1)}, rules)
        for others in lists:
            agrees = all(others.agree(symbol, each.reason) for symbol, each in chosen.items())
            assert agrees is (others is rules)


def test_the_default_settings_choose_whatever_is_listed_and_quoted() -> None:
    settings = {
        "universe": [],
        "universe_exclude": [],
        "universe_include": [],
        "universe_size": 200,
        "universe_min_turnover_usd": "0",
        "universe_min_age_days": 0,
        "universe_max_spread_bps": 100,
    }
    assert UniverseRules.of(settings) == ALL
    chosen = told([listed(name, age_days=None) for name in NAMES], dict.fromkeys(NAMES, quote(0, 99)))
    assert all(each.member for each in chosen.values())


turnovers = st.none() | st.integers(0, 200)
spreads = st.none() | st.integers(1, 150)
ages = st.none() | st.integers(0, 60)
sets = st.frozensets(st.sampled_from(NAMES), max_size=3)
all_rules = st.builds(
    UniverseRules,
    named=st.just(frozenset()) | sets,
    excluded=sets,
    included=sets,
    size=st.integers(1, 6),
    min_turnover_usd=st.sampled_from([Decimal(0), Decimal(50), Decimal(100)]),
    min_age_days=st.sampled_from([0, 30]),
    max_spread_bps=st.sampled_from([10.0, 100.0]),
)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Instrument], dict[Market, Quote]]:
    instruments = [
        listed(name, category, age_days=draw(ages), tradable=draw(st.booleans() | st.just(True)))
        for name, category in draw(
            st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(Category)), unique=True, max_size=12)
        )
    ]
    return instruments, {
        (one.category, one.symbol): quote(draw(turnovers), draw(spreads)) for one in instruments if draw(st.booleans())
    }


before = st.frozensets(st.tuples(st.sampled_from(Category), st.sampled_from(NAMES)))


def members_of(choices: Collection[Choice]) -> set[Market]:
    return {(each.category, each.symbol) for each in choices if each.member}


@given(markets(), all_rules, before)
def test_every_symbol_gets_one_answer_and_no_category_more_members_than_places(market, rules, members) -> None:
    instruments, quotes = market
    chosen = choose(instruments, quotes, rules, members, NOW)
    assert [(each.category, each.symbol) for each in chosen] == [(one.category, one.symbol) for one in instruments]
    for category in Category:
        reasons = [each.reason for each in chosen if each.category is category]
        included = reasons.count(UniverseReason.INCLUDED)
        assert reasons.count(UniverseReason.CHOSEN) <= max(rules.size - included, 0)
        places = [each.rank for each in chosen if each.category is category and each.rank is not None]
        assert sorted(places) == list(range(1, len(places) + 1))
    assert all(rules.agree(each.symbol, each.reason) for each in chosen)
    for each in chosen:
        assert not (each.member and each.symbol in rules.excluded)
        assert not (each.member and rules.named and each.symbol not in rules.named)


@given(markets(), all_rules, before)
def test_choosing_again_at_once_changes_nothing(market, rules, members) -> None:
    instruments, quotes = market
    once = members_of(choose(instruments, quotes, rules, members, NOW))
    again = members_of(choose(instruments, quotes, rules, once, NOW))
    assert again == once


@given(markets(), all_rules, before, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_list(market, rules, members, random) -> None:
    instruments, quotes = market
    shuffled = random.sample(instruments, len(instruments))
    assert set(choose(instruments, quotes, rules, members, NOW)) == set(choose(shuffled, quotes, rules, members, NOW))


@given(markets(), all_rules, before, st.integers(1, 100))
def test_more_turnover_never_costs_a_symbol_its_place(market, rules, members, more) -> None:
    instruments, quotes = market
    for (category, symbol), its in quotes.items():
        if its.turnover_usd is None:
            continue
        richer = {**quotes, (category, symbol): replace(its, turnover_usd=its.turnover_usd + more)}
        if (category, symbol) in members_of(choose(instruments, quotes, rules, members, NOW)):
            assert (category, symbol) in members_of(choose(instruments, richer, rules, members, NOW))


@given(markets(), all_rules, before)
def test_a_member_does_never_worse_than_it_would_as_a_candidate(market, rules, members) -> None:
    instruments, quotes = market
    for one in instruments:
        mine = one.category, one.symbol
        as_candidate = members_of(choose(instruments, quotes, rules, members - {mine}, NOW))
        as_member = members_of(choose(instruments, quotes, rules, members | {mine}, NOW))
        assert mine not in as_candidate or mine in as_member
